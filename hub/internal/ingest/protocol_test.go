package ingest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/api/public"
	"gridpost/hub/internal/scope"
)

const protocol2 = "2"

func zipped(t *testing.T, body []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// exchange posts a batch as an edge of protocol 2.
func (p *port) exchange(t *testing.T, c *http.Client, batch api.Batch) (api.Ack, reply) {
	t.Helper()
	var ack api.Ack
	res := p.call(t, c, "POST", "/edge/v1/events", batch, &ack, api.HeaderProtocol, protocol2)
	return ack, res
}

func TestGreeting(t *testing.T) {
	p := newPort(t)
	c := p.enrol(t, "gate-7")
	if _, res := p.exchange(t, c, api.Batch{Epoch: "a", Events: []api.Event{}}); res.StatusCode != http.StatusConflict || res.Header.Get(api.HeaderProtocol) != protocol2 {
		t.Fatalf("without a greeting: %s, protocol %q", res.Status, res.Header.Get(api.HeaderProtocol))
	}
	ack, res := p.exchange(t, c, api.Batch{Epoch: "a", Hello: &api.Hello{Open: []api.IncidentRef{{ID: someIncident, Version: 1}, {ID: "nonsense"}}}})
	if res.StatusCode != http.StatusOK || ack.Hub == "" || !slices.Contains(ack.Kinds, api.KindGap) || !slices.Equal(ack.Missing, []string{someIncident}) {
		t.Fatalf("%s %+v", res.Status, ack)
	}
	again, _ := p.exchange(t, c, api.Batch{Epoch: "a", Events: []api.Event{newEvent(t, api.LaneAlerts, 1, api.KindIncident, incident(someIncident))}})
	if again.Hub != ack.Hub || again.Committed[api.LaneAlerts] != 1 {
		t.Errorf("%+v", again)
	}
	var missing api.CheckAnswer
	check := api.Check{Epoch: "a", Incidents: []api.IncidentRef{{ID: someIncident, Version: 1}, {ID: "0190f000-0000-7000-8000-000000000009", Version: 1}}}
	if res := p.call(t, c, "POST", "/edge/v1/incidents/check", check, &missing, api.HeaderProtocol, protocol2); res.StatusCode != http.StatusOK || len(missing.Missing) != 1 {
		t.Errorf("check: %s %+v", res.Status, missing)
	}
	check.Epoch = "other"
	if res := p.call(t, c, "POST", "/edge/v1/incidents/check", check, nil, api.HeaderProtocol, protocol2); res.StatusCode != http.StatusConflict {
		t.Errorf("check of another epoch: %s", res.Status)
	}
	if res := p.call(t, c, "POST", "/edge/v1/events", api.Batch{Epoch: "a"}, nil, api.HeaderProtocol, "3"); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a later protocol: %s", res.Status)
	}
}

func TestUnknownKindsAreHeldByTheEdge(t *testing.T) {
	p := newPort(t)
	c := p.enrol(t, "gate-7")
	p.exchange(t, c, api.Batch{Epoch: "a", Hello: &api.Hello{}})
	for range 2 { // the first answer is lost
		ack, _ := p.exchange(t, c, api.Batch{Epoch: "a", Events: []api.Event{
			newEvent(t, api.LaneAlerts, 1, "weather", "rain"), newEvent(t, api.LaneAlerts, 2, api.KindIncident, incident(someIncident)),
		}})
		if ack.Committed[api.LaneAlerts] != 2 || len(ack.NotYet) != 1 || ack.NotYet[0].Seq != 1 || len(ack.Refused) != 0 {
			t.Errorf("%+v", ack)
		}
	}
}

func TestCompressedBodiesAreBounded(t *testing.T) {
	p := newPort(t)
	c := p.enrol(t, "gate-7")
	batch, err := json.Marshal(api.Batch{Epoch: "a", Events: []api.Event{newEvent(t, api.LaneAlerts, 1, api.KindIncident, incident(someIncident))}})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		body     []byte
		encoding string
		want     int
	}{
		"a batch":          {zipped(t, batch), "gzip", http.StatusOK},
		"a bomb":           {zipped(t, bytes.Repeat([]byte(" "), 100*api.MaxBatchBytes)), "gzip", http.StatusRequestEntityTooLarge},
		"garbage":          {[]byte("garbage"), "gzip", http.StatusBadRequest},
		"half a batch":     {zipped(t, batch)[:40], "gzip", http.StatusBadRequest},
		"another encoding": {batch, "br", http.StatusUnsupportedMediaType},
	} {
		if res := p.call(t, c, "POST", "/edge/v1/events", test.body, nil, "Content-Encoding", test.encoding); res.StatusCode != test.want {
			t.Errorf("%s: %s, want %d", name, res.Status, test.want)
		}
	}
	if _, err := p.incidents.Get(t.Context(), scope.All(), someIncident); err != nil {
		t.Error(err)
	}
}

// TestNoClockRefusesAnEvent: whatever the edge's clock says, its events are stored, and dated by the
// hub's clock.
func TestNoClockRefusesAnEvent(t *testing.T) {
	p := newPort(t)
	c := p.enrol(t, "gate-7")
	p.exchange(t, c, api.Batch{Epoch: "a", Hello: &api.Hello{}})
	age := (90 * time.Minute).Milliseconds()
	for i, clock := range []time.Time{
		{}, time.Unix(0, 0), time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
	} {
		inc := incident("0190f000-0000-7000-8000-00000000000" + string(rune('0'+i)))
		inc.Opened, inc.Updated, inc.Closed, inc.State, inc.Version = clock, clock.Add(time.Minute), clock.Add(time.Minute), detection.Closed, 2
		if i == 4 {
			inc.Updated, inc.Closed = clock, clock
		}
		alert := newEvent(t, api.LaneAlerts, uint64(3*i+1), api.KindIncident, inc)
		alert.Clock, alert.AgeMS = api.ClockUnsynchronized, &age
		ack, res := p.exchange(t, c, api.Batch{Epoch: "a", Sent: clock, Events: []api.Event{
			alert,
			newEvent(t, api.LaneState, uint64(3*i+2), api.KindHealth, api.Health{Time: clock}),
			newEvent(t, api.LaneTelemetry, uint64(3*i+3), api.KindReadings, []devices.Reading{{Device: "river", Time: clock, Value: float64(i)}}),
		}})
		if res.StatusCode != http.StatusOK || len(ack.Refused) != 0 {
			t.Errorf("with the clock at %v: %s %+v", clock, res.Status, ack.Refused)
			continue
		}
		got, err := p.incidents.Get(t.Context(), scope.All(), inc.ID)
		if err != nil {
			t.Fatal(err)
		}
		ago := p.now.Sub(got.OccurredAt).Round(time.Minute)
		if ago < 90*time.Minute || ago > 91*time.Minute || got.Clock != string(public.ClockUnsynchronized) {
			t.Errorf("with the clock at %v it occurred %v ago, clock %q; want 90 minutes and perhaps one", clock, ago, got.Clock)
		}
	}
	if _, err := p.edges.Edges(t.Context(), scope.All()); err != nil {
		t.Error(err)
	}
}
