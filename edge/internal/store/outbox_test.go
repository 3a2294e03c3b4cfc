package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
)

func TestTelemetryIsBoundedAndSaysWhatItDropped(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), TelemetryBytes: 200 * pageSize})
	ctx := t.Context()
	const total = 40_000
	for i := 0; i < total; i += 200 {
		batch := make([]devices.Reading, 200)
		for j := range batch {
			batch[j] = reading(i + j)
		}
		must(t, s.SaveReadings(ctx, batch))
	}
	must(t, s.telemetry.write(ctx, func(tx *tx) error {
		used, err := usedBytes(tx)
		if used > 220*pageSize {
			t.Errorf("the file uses %d pages of 200", used/pageSize)
		}
		return err
	}))
	got, lost := drain(t, s)
	if len(got) == 0 || uint64(len(got))+lost != total {
		t.Errorf("%d readings arrived and gaps name %d, want %d together", len(got), lost, total)
	}
	if _, ok := got[reading(total-1)]; !ok {
		t.Error("the newest reading was dropped")
	}
	if n := s.Waiting()[api.LaneTelemetry]; n != 0 {
		t.Errorf("%d wait after everything was delivered", n)
	}
	// Delivered readings make room without a gap.
	for i := total; i < total+2000; i += 200 {
		batch := make([]devices.Reading, 200)
		for j := range batch {
			batch[j] = reading(i + j)
		}
		must(t, s.SaveReadings(ctx, batch))
	}
	if got, lost := drain(t, s); len(got) != 2000 || lost != 0 {
		t.Errorf("%d readings arrived and gaps name %d, want 2000 and none", len(got), lost)
	}
}

// drain delivers all telemetry. It returns the readings that arrived, each once, and how many the
// gaps name.
func drain(t *testing.T, s *Store) (got map[devices.Reading]struct{}, lost uint64) {
	t.Helper()
	ctx := context.Background()
	got = map[devices.Reading]struct{}{}
	gaps := map[string]uint64{}
	for {
		events, err := s.Telemetry(ctx, 7, 20<<10)
		must(t, err)
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			switch e.Kind {
			case api.KindReadings:
				var some []devices.Reading
				must(t, json.Unmarshal(e.Data, &some))
				for _, r := range some {
					if _, again := got[r]; again {
						t.Errorf("%v arrived twice", r)
					}
					got[r] = struct{}{}
				}
			case api.KindGap:
				var g api.Gap
				must(t, json.Unmarshal(e.Data, &g))
				gaps[g.ID] = g.Count
			}
		}
		must(t, s.TelemetryDelivered(ctx, events[len(events)-1].Seq))
	}
	for _, n := range gaps {
		lost += n
	}
	return got, lost
}

func TestLanesHaveTheirOwnOrder(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	ctx := t.Context()
	a, b := incident(1), incident(2)
	must(t, save(ctx, s, a))
	must(t, save(ctx, s, b))
	must(t, s.SaveReadings(ctx, []devices.Reading{reading(1)}))

	alerts := outbox(t, s, api.LaneAlerts)
	if len(alerts) != 2 || alerts[0].Seq >= alerts[1].Seq {
		t.Errorf("alerts: %+v", alerts)
	}
	if alerts[0].AgeMS == nil || alerts[0].Clock == "" {
		t.Errorf("an alert without its age or the grade of its clock: %+v", alerts[0])
	}
	telemetry := outbox(t, s, api.LaneTelemetry)
	if len(telemetry) != 1 {
		t.Fatalf("telemetry: %+v", telemetry)
	}
	must(t, s.SaveReadings(ctx, []devices.Reading{reading(2), reading(1)}))
	if n := s.Waiting()[api.LaneTelemetry]; n != 2 {
		t.Errorf("%d readings wait, want two: one was repeated", n)
	}
	must(t, s.TelemetryDelivered(ctx, telemetry[0].Seq))
	must(t, s.AlertsDelivered(ctx, alerts[0].Seq, nil))
	if left := outbox(t, s, api.LaneTelemetry); len(left) != 1 || !strings.Contains(string(left[0].Data), `"value":2`) {
		t.Errorf("telemetry after the first reading was confirmed: %+v", left)
	}
	if left := outbox(t, s, api.LaneAlerts); len(left) != 1 || left[0].Seq != alerts[1].Seq {
		t.Errorf("alerts after the first was confirmed: %+v", left)
	}
	select {
	case <-s.AlertsWaiting():
	default:
		t.Error("no signal after saving")
	}
}

func TestConfirmationsOfNumbersThatWereNotSentChangeNothing(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	ctx := t.Context()
	must(t, save(ctx, s, incident(1)))
	must(t, s.SaveReadings(ctx, []devices.Reading{reading(1)}))
	must(t, s.AlertsDelivered(ctx, 1<<40, nil))
	must(t, s.TelemetryDelivered(ctx, 1<<40))
	if w := s.Waiting(); w[api.LaneAlerts] != 1 || w[api.LaneTelemetry] != 1 {
		t.Errorf("waiting: %v, want one of each", w)
	}
}

func TestAlertsMakeWayButNeverTheFirstAndLast(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	ctx := t.Context()
	inc := incident(1)
	for v := 1; v <= 10; v++ {
		inc.Version = v
		if v == 10 {
			inc.State = detection.Closed
		}
		must(t, save(ctx, s, inc))
		if v == 6 {
			must(t, save(ctx, s, inc)) // the same version again is no alert
			if got := outbox(t, s, api.LaneAlerts); len(got) != 2 {
				t.Fatalf("after six versions %d alerts wait, want the first and the sixth", len(got))
			}
		}
	}
	if got := versions(t, s); fmt.Sprint(got) != "[1 10]" {
		t.Errorf("versions %v wait, want opening and closing", got)
	}
	if still, err := s.OpenIncidents(ctx); err != nil || len(still) != 0 {
		t.Errorf("open incidents: %v, %v", still, err)
	}
	if n := s.Waiting()[api.LaneAlerts]; n != 2 {
		t.Errorf("%d alerts are counted, want two", n)
	}
}

func versions(t *testing.T, s *Store) (out []int) {
	t.Helper()
	for _, e := range outbox(t, s, api.LaneAlerts) {
		if e.Kind == api.KindIncident {
			var got detection.Incident
			must(t, json.Unmarshal(e.Data, &got))
			out = append(out, got.Version)
		}
	}
	return out
}

func gapsOf(t *testing.T, s *Store, lane api.Lane) (out []api.Gap) {
	t.Helper()
	for _, e := range outbox(t, s, lane) {
		if e.Kind == api.KindGap {
			var g api.Gap
			must(t, json.Unmarshal(e.Data, &g))
			out = append(out, g)
		}
	}
	return out
}

func TestOutboxIsBounded(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), OutboxEvents: 100})
	ctx := t.Context()
	for i := range 250 {
		must(t, save(ctx, s, incident(i)))
		if n := s.Waiting()[api.LaneAlerts]; n > 100 {
			t.Fatalf("%d alerts wait, the bound is 100", n)
		}
	}
	gaps := gapsOf(t, s, api.LaneAlerts)
	n := len(versions(t, s))
	if len(gaps) != 1 || gaps[0].Reason != reasonFull || uint64(n)+gaps[0].Count != 250 {
		t.Fatalf("%d alerts wait, gaps %+v", n, gaps)
	}
	// The gap was read for sending; when it grows, its new content has a new number.
	events := outbox(t, s, api.LaneAlerts)
	for i := range 10 {
		must(t, save(ctx, s, incident(1000+i)))
	}
	must(t, s.AlertsDelivered(ctx, events[len(events)-1].Seq, nil))
	after := gapsOf(t, s, api.LaneAlerts)
	if len(after) != 1 || after[0].ID != gaps[0].ID || after[0].Count <= gaps[0].Count {
		t.Errorf("a gap that grew while it was sent: %+v, then %+v", gaps, after)
	}
	if p := s.Problems(); len(p) != 1 || p[0].Code != "outbox_full" {
		t.Errorf("problems: %v", p)
	}
}

func TestHeldEventsWaitForTheirKind(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	ctx := t.Context()
	a, b := incident(1), incident(2)
	must(t, save(ctx, s, a, b))
	events := outbox(t, s, api.LaneAlerts)
	must(t, s.AlertsDelivered(ctx, events[1].Seq, []api.Refusal{{Lane: api.LaneAlerts, Seq: events[0].Seq}}))
	if left := outbox(t, s, api.LaneAlerts); len(left) != 0 {
		t.Fatalf("still waiting: %+v", left)
	}
	refs, err := s.OpenRefs(ctx)
	must(t, err)
	if len(refs) != 2 {
		t.Errorf("open: %v", refs)
	}
	must(t, s.ReleaseHeld(ctx, []api.Kind{"other"}))
	must(t, s.ReleaseHeld(ctx, []api.Kind{api.KindIncident, "other"}))
	left := outbox(t, s, api.LaneAlerts)
	if len(left) != 1 || left[0].Seq <= events[1].Seq || !strings.Contains(string(left[0].Data), a.ID) {
		t.Errorf("after the hub knows the kind: %+v", left)
	}
	if n := s.Waiting()[api.LaneAlerts]; n != 1 {
		t.Errorf("%d alerts are counted, want one", n)
	}
}

func TestDroppedEventsAreGaps(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	ctx := t.Context()
	must(t, save(ctx, s, incident(1), incident(2)))
	must(t, s.SaveReadings(ctx, []devices.Reading{reading(1), reading(2), reading(3)}))
	must(t, s.Drop(ctx, api.LaneAlerts, outbox(t, s, api.LaneAlerts)[0].Seq))
	must(t, s.Drop(ctx, api.LaneTelemetry, outbox(t, s, api.LaneTelemetry)[0].Seq))
	if g := gapsOf(t, s, api.LaneAlerts); len(g) != 1 || g[0].Count != 1 || g[0].Kind != api.GapAlerts || len(versions(t, s)) != 1 {
		t.Errorf("after dropping an alert: %+v", g)
	}
	if g := gapsOf(t, s, api.LaneTelemetry); len(g) != 1 || g[0].Count != 3 || g[0].Device != "river" {
		t.Errorf("after dropping readings: %+v", g)
	}
	// Gaps that the hub cannot take are dropped without another gap.
	must(t, s.Drop(ctx, api.LaneTelemetry, outbox(t, s, api.LaneTelemetry)[0].Seq))
	if left := outbox(t, s, api.LaneTelemetry); len(left) != 0 {
		t.Errorf("still waiting: %+v", left)
	}
	if err := s.Drop(ctx, api.LaneState, 1); err == nil {
		t.Error("the store has no lane of states")
	}
	if w := s.Waiting(); w[api.LaneTelemetry] != 0 || w[api.LaneAlerts] != 2 {
		t.Errorf("waiting: %v", w)
	}
}

func TestEnqueueSendsIncidentsWholeWithTheirEvidence(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	ctx := t.Context()
	inc := incident(1)
	must(t, save(ctx, s, inc))
	meta := snapshot(t, s, inc, 10)
	events := outbox(t, s, api.LaneAlerts)
	must(t, s.AlertsDelivered(ctx, events[len(events)-1].Seq, nil))
	must(t, s.EvidenceDelivered(ctx, meta))
	must(t, s.Enqueue(ctx, []string{inc.ID, "unknown", inc.ID}))
	again := outbox(t, s, api.LaneAlerts)
	if len(again) != 2 || again[0].Kind != api.KindIncident || again[1].Kind != api.KindEvidence {
		t.Fatalf("enqueued: %+v", again)
	}
	must(t, s.AlertsDelivered(ctx, again[1].Seq, nil))
	if w, err := s.WaitingEvidence(ctx, 10, nil); err != nil || len(w) != 1 || w[0] != meta {
		t.Errorf("evidence to upload again: %+v, %v", w, err)
	}
}

func TestWithoutAHubNothingWaitsForOne(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), EvidenceBytes: 100})
	ctx := t.Context()
	s.Deliver(false)
	closed, still := incident(1), incident(2)
	must(t, save(ctx, s, closed, still))
	closed.Version, closed.State = 2, detection.Closed
	must(t, save(ctx, s, closed))
	for i := range 5 {
		inc := incident(10 + i)
		must(t, save(ctx, s, inc))
		snapshot(t, s, inc, 60) // each makes room for the next
		inc.Version, inc.State = 2, detection.Closed
		must(t, save(ctx, s, inc))
	}
	meta := snapshot(t, s, still, 40)
	if n := s.Waiting()[api.LaneAlerts]; n != 0 {
		t.Errorf("%d alerts wait for no hub", n)
	}
	if w, err := s.WaitingEvidence(ctx, 10, nil); err != nil || len(w) != 0 {
		t.Errorf("evidence waits for no hub: %v, %v", w, err)
	}
	s.Deliver(true)
	s.Deliver(true)
	events := outbox(t, s, api.LaneAlerts)
	if len(events) != 2 || !strings.Contains(string(events[0].Data), still.ID) || events[1].Kind != api.KindEvidence {
		t.Fatalf("when there is a hub, %+v waits, want the open incident and its snapshot", events)
	}
	must(t, s.AlertsDelivered(ctx, events[1].Seq, nil))
	if w, err := s.WaitingEvidence(ctx, 10, nil); err != nil || len(w) != 1 || w[0] != meta {
		t.Errorf("evidence to upload: %+v, %v", w, err)
	}
}

func TestThinning(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	s := open(t, Options{Dir: t.TempDir(), Now: func() time.Time { return now }})
	s.machine.fixed = func() moment { return moment{clock: api.ClockSynchronized} }
	ctx := t.Context()
	count := func() (n int) {
		must(t, s.telemetry.read(ctx, func(q querier) error { return q.QueryRowContext(ctx, `SELECT count(*) FROM readings`).Scan(&n) }))
		return n
	}
	var batch []devices.Reading
	for i := range 600 { // ten minutes two days ago, and ten minutes just now
		batch = append(batch,
			devices.Reading{Device: "river", Time: now.Add(-48*time.Hour + time.Duration(i)*time.Second), Value: float64(i), Quality: devices.Good},
			devices.Reading{Device: "river", Time: now.Add(-time.Duration(i) * time.Second), Value: float64(i), Quality: devices.Good})
	}
	batch = append(batch, devices.Reading{Device: "old", Time: time.Unix(0, 0).UTC(), Quality: devices.Good})
	must(t, s.SaveReadings(ctx, batch))
	for range 2 {
		must(t, s.Maintain(ctx))
		if n := count(); n != 610 {
			t.Errorf("%d readings are left, want 600 new ones and ten old ones", n)
		}
	}
	got, lost := drain(t, s)
	if len(got) != 610 || lost != 591 {
		t.Errorf("%d readings arrived, gaps name %d; want 610 and 591", len(got), lost)
	}
	inc := incident(1)
	inc.State, inc.Version = detection.Closed, 2
	inc.Updated = now.Add(-31 * 24 * time.Hour)
	must(t, save(ctx, s, inc))
	must(t, s.Maintain(ctx))
	events := outbox(t, s, api.LaneAlerts)
	if len(events) != 1 {
		t.Fatal("an old incident that the hub does not have was removed")
	}
	must(t, s.AlertsDelivered(ctx, events[0].Seq, nil))
	must(t, s.Maintain(ctx))
	must(t, s.incidents.read(ctx, func(q querier) error {
		var n int
		err := q.QueryRowContext(ctx, `SELECT count(*) FROM incidents`).Scan(&n)
		if n != 0 {
			t.Error("an old incident that the hub has is still there")
		}
		return err
	}))
}
