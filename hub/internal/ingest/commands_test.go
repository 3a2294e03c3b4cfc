package ingest

import (
	"bufio"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/incidents"
)

func TestCommandsComeAndAreAnswered(t *testing.T) {
	p := newPort(t)
	c := p.enrol(t, "gate-7")
	queue := func(id, edge string) {
		t.Helper()
		if err := p.edges.AddCommand(t.Context(), edge, api.Command{ID: id, Kind: api.CommandPublish, Device: "yard", Issued: p.now}, p.now.Add(10*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	queue("before", "gate-7")
	p.token(t, "gate-8", "another")
	queue("for another", "gate-8")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/edge/v1/commands", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // ended by the hub below
	lines := bufio.NewScanner(res.Body)
	next := func() (command api.Command, ok bool) {
		t.Helper()
		for lines.Scan() {
			if data, found := strings.CutPrefix(lines.Text(), "data: "); found {
				if err := json.Unmarshal([]byte(data), &command); err != nil {
					t.Fatal(err)
				}
				return command, true
			}
		}
		return command, false
	}
	if got, ok := next(); !ok || got.ID != "before" {
		t.Fatalf("%+v", got)
	}
	queue("after", "gate-7")
	if got, ok := next(); !ok || got.ID != "after" {
		t.Fatalf("%+v", got)
	}
	e, err := p.edges.Edge(t.Context(), scope.All(), "gate-7")
	if err != nil || e.State != "online" {
		t.Errorf("%+v, %v", e, err)
	}
	for _, answer := range []api.Result{{OK: false, Cause: devices.Cause{Text: "no such camera"}}, {OK: true}} {
		if res := p.call(t, c, "POST", "/edge/v1/commands/after", answer, nil); res.StatusCode != http.StatusNoContent {
			t.Errorf("answering: %s", res.Status)
		}
	}
	if got, done, err := p.edges.CommandResult(t.Context(), "after"); !done || got.OK || got.Cause.Text != "no such camera" || err != nil {
		t.Errorf("%+v, %v, %v: want the first answer", got, done, err)
	}
	if res := p.call(t, c, "POST", "/edge/v1/commands/for%20another", api.Result{OK: true}, nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("answering for another edge: %s", res.Status)
	}
	// Commands in memory: the database is not involved.
	answered := make(chan api.Result, 1)
	go func() {
		got, err := p.server.o.Commands.Send(t.Context(), "gate-7", api.Command{ID: "live", Kind: api.CommandStop, Device: "yard"})
		if err != nil {
			t.Error(err)
		}
		answered <- got
	}()
	if got, ok := next(); !ok || got.ID != "live" || got.Kind != api.CommandStop {
		t.Fatalf("%+v", got)
	}
	if res := p.call(t, c, "POST", "/edge/v1/commands/live", api.Result{OK: true}, nil); res.StatusCode != http.StatusNoContent {
		t.Errorf("answering: %s", res.Status)
	}
	if got := <-answered; !got.OK {
		t.Errorf("the answer: %+v", got)
	}
	if n := p.count(t, `SELECT count(*) FROM commands WHERE id = 'live'`); n != 0 {
		t.Errorf("%d rows of a command in memory", n)
	}
	// As "hub edge revoke" does: the stream ends.
	if err := p.edges.Revoke(t.Context(), "test", "gate-7"); err != nil {
		t.Fatal(err)
	}
	if got, ok := next(); ok {
		t.Errorf("a revoked edge got %+v", got)
	}
}

// FuzzBatch decodes bodies of a hostile edge. Whatever is accepted is within bounds and can be stored.
func FuzzBatch(f *testing.F) {
	f.Add([]byte(`{"epoch":"a","sent":"2026-01-01T00:00:00Z","events":[{"lane":"alerts","seq":1,"kind":"incident","time":"1970-01-01T00:00:00Z","age_ms":5,"data":{"id":"0190f000-0000-7000-8000-000000000001","device":"yard","kind":"zone","severity":"minor","state":"open","version":1}}]}`))
	f.Add([]byte(`{"hello":{"open":[{"id":"x","version":-1}]},"events":[{"lane":"telemetry","seq":18446744073709551615,"kind":"readings","age_ms":-1,"data":[]},{"lane":"","kind":"\u0000"}]}`))
	f.Add([]byte(`{"sent":"9999-12-31T23:59:59Z","events":[{"lane":"state","seq":2,"kind":"status","clock":"synchronized","age_ms":9223372036854775807,"data":{"device":"yard","state":"offline","since":"0001-01-01T00:00:00Z"}}]}`))
	c, now := newChecks(), time.Date(2026, 11, 30, 6, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte) {
		var in api.Batch
		if json.Unmarshal(body, &in) != nil {
			return
		}
		d := decoder{checks: c, clock: newClocks().batch("gate-7", in.Sent, now), protocol: 2, log: slog.New(slog.DiscardHandler)}
		events, beyond := d.events(in.Events)
		if len(events)+len(beyond) != len(in.Events) {
			t.Fatalf("of %d events, %d and %d came", len(in.Events), len(events), len(beyond))
		}
		for _, e := range events {
			if n := count(e.value != nil, e.refused != nil, e.notYet != nil); n != 1 {
				t.Fatalf("%+v: %d outcomes", e, n)
			}
			if e.notYet != nil && e.notYet.code == api.RefusedHubFault {
				t.Fatalf("%+v: the decoder panicked", e)
			}
			if a, ok := e.value.(incidents.Alert); ok && (a.Occurred.After(now) || a.Occurred.Before(now.Add(-maxAge))) {
				t.Fatalf("it occurred at %v", a.Occurred)
			}
		}
		for _, ref := range c.refs([]api.IncidentRef{{ID: in.Epoch}}) {
			if len(ref.ID) != 36 {
				t.Fatalf("ref %q", ref.ID)
			}
		}
	})
}

func count(all ...bool) (n int) {
	for _, one := range all {
		if one {
			n++
		}
	}
	return n
}

func FuzzDecode(f *testing.F) {
	for _, kind := range []api.Kind{api.KindIncident, api.KindEvidence, api.KindInventory, api.KindStatus, api.KindReadings, api.KindHealth, api.KindGap} {
		f.Add(string(kind), []byte(`{"id":"0190f000-0000-7000-8000-000000000001","device":"yard","severity":"minor","state":"open","box":[0,0,1,1]}`))
		f.Add(string(kind), []byte(`[{"device":"river","time":"2026-01-01T00:00:00Z","value":1e308}]`))
	}
	c := newChecks()
	f.Fuzz(func(_ *testing.T, kind string, data []byte) {
		_, _ = c.decode(api.Event{Lane: api.LaneAlerts, Seq: 1, Kind: api.Kind(kind), Data: data}, edgeClock{received: time.Now()}.of(api.Event{}))
	})
}
