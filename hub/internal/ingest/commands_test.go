package ingest

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
)

func TestCommandsComeAndAreAnswered(t *testing.T) {
	p := newPort(t)
	c := p.enrol(t, "gate-7")
	queue := func(id, edge string) {
		t.Helper()
		if err := p.store.AddCommand(t.Context(), edge, api.Command{ID: id, Kind: api.CommandPublish, Device: "yard", Issued: p.now}, p.now.Add(10*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	queue("before", "gate-7")
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
	e, err := p.store.Edge(t.Context(), "gate-7")
	if err != nil || e.State != "online" {
		t.Errorf("%+v, %v", e, err)
	}
	for _, answer := range []api.Result{{OK: false, Cause: devices.Cause{Text: "no such camera"}}, {OK: true}} {
		if res := p.call(t, c, "POST", "/edge/v1/commands/after", answer, nil); res.StatusCode != http.StatusNoContent {
			t.Errorf("answering: %s", res.Status)
		}
	}
	if got, done, err := p.store.CommandResult(t.Context(), "after"); !done || got.OK || got.Cause.Text != "no such camera" || err != nil {
		t.Errorf("%+v, %v, %v: want the first answer", got, done, err)
	}
	if res := p.call(t, c, "POST", "/edge/v1/commands/for%20another", api.Result{OK: true}, nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("answering for another edge: %s", res.Status)
	}
	// As "hub edge revoke" does: the stream ends.
	if err := p.store.RevokeEdge(t.Context(), "test", "gate-7"); err != nil {
		t.Fatal(err)
	}
	if got, ok := next(); ok {
		t.Errorf("a revoked edge got %+v", got)
	}
}

func FuzzDecode(f *testing.F) {
	for _, kind := range []api.Kind{api.KindIncident, api.KindEvidence, api.KindInventory, api.KindStatus, api.KindReadings, api.KindHealth, api.KindGap} {
		f.Add(string(kind), []byte(`{"id":"0190f000-0000-7000-8000-000000000001","device":"yard","severity":"minor","state":"open","box":[0,0,1,1]}`))
		f.Add(string(kind), []byte(`[{"device":"river","time":"2026-01-01T00:00:00Z","value":1e308}]`))
	}
	c := newChecks()
	f.Fuzz(func(_ *testing.T, kind string, data []byte) {
		_, _ = c.decode(api.Event{Lane: api.LaneAlerts, Seq: 1, Kind: api.Kind(kind), Data: data}, time.Now())
	})
}
