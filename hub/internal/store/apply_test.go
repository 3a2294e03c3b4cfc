package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/notify"
)

// applyEvents applies events as of an edge of protocol 1, which does not greet.
func applyEvents(ctx context.Context, s *Store, edge, epoch string, events []Event) (Applied, error) {
	return s.Apply(ctx, Batch{Edge: edge, Epoch: epoch, Protocol: 1, Events: events})
}

// TestExactlyOnce sends the same alerts again and again, in overlapping batches, from several
// goroutines at once.
func TestExactlyOnce(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	const n = 60
	events := make([]Event, n)
	for i := range events {
		events[i] = opened(t, uint64(i+1))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			acked := uint64(0)
			for acked < n {
				// An edge sends from its last acknowledgement on; here sometimes from far before it.
				from := acked - rand.Uint64N(acked+1)
				to := min(from+1+rand.Uint64N(20), n)
				if to <= acked {
					to = acked + 1
				}
				batch := append([]Event(nil), events[from:to]...)
				rand.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
				got, err := applyEvents(t.Context(), s, "gate-7", "epoch", batch)
				if err != nil {
					t.Error(err)
					return
				}
				acked = got.Ack.Committed[api.LaneAlerts]
			}
		})
	}
	wg.Wait()
	for query, want := range map[string]int{
		`SELECT count(*) FROM incidents`:                                  n,
		`SELECT count(*) FROM timeline`:                                   n,
		`SELECT count(*) FROM changes WHERE kind = 'incident'`:            n,
		`SELECT count(*) FROM incidents WHERE version != 1`:               0,
		`SELECT seq FROM marks WHERE edge = 'gate-7' AND lane = 'alerts'`: n,
	} {
		if got := count(t, s, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
}

func TestNewEpochTellsAgain(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	first := opened(t, 1)
	second := first
	a := first.Value.(Alert)
	a.Incident.Version, a.Incident.Count = 2, 5
	second.Seq, second.Value = 2, a
	for _, step := range []struct {
		epoch  string
		events []Event
	}{{"a", []Event{first, second}}, {"b", []Event{first, second}}, {"a", []Event{first}}} {
		if _, err := applyEvents(t.Context(), s, "gate-7", step.epoch, step.events); err != nil {
			t.Fatal(err)
		}
	}
	inc, err := s.Incident(t.Context(), a.Incident.ID)
	if err != nil || inc.Count != 5 || inc.Version != 2 || len(inc.Timeline) != 2 {
		t.Fatalf("%+v, %v", inc, err)
	}
	for i := range 3 * keepEpochs {
		if _, err := applyEvents(t.Context(), s, "gate-7", "epoch "+strconv.Itoa(i), []Event{opened(t, 1)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, s, `SELECT count(DISTINCT epoch) FROM marks`); n > keepEpochs {
		t.Errorf("%d epochs are remembered", n)
	}
}

func TestPoisonDoesNotBlock(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	withEdge(t, s, "gate-8")
	theirs := opened(t, 1)
	if _, err := applyEvents(t.Context(), s, "gate-8", "x", []Event{theirs}); err != nil {
		t.Fatal(err)
	}
	stolen := theirs
	stolen.Seq = 2
	got, err := applyEvents(t.Context(), s, "gate-7", "x", []Event{
		{Lane: api.LaneAlerts, Seq: 1, Refuse: "its data does not parse"},
		stolen,
		{Lane: api.LaneAlerts, Seq: 3, Value: api.Evidence{Incident: theirs.Value.(Alert).Incident.ID, Name: "a.jpg"}},
		opened(t, 4),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Applied != 1 || len(got.Ack.Refused) != 3 || got.Ack.Committed[api.LaneAlerts] != 4 {
		t.Fatalf("%+v", got)
	}
	inc, err := s.Incident(t.Context(), theirs.Value.(Alert).Incident.ID)
	if err != nil || inc.Edge != "gate-8" || inc.Version != 1 || len(inc.Evidence) != 0 {
		t.Fatalf("%+v, %v", inc, err)
	}
}

func TestRevokedEdgeAppliesNothing(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	if err := s.RevokeEdge(t.Context(), "test", "gate-7"); err != nil {
		t.Fatal(err)
	}
	if _, err := applyEvents(t.Context(), s, "gate-7", "x", []Event{opened(t, 1)}); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v", err)
	}
}

func TestAlertQueuesDeliveriesInOrder(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	for _, id := range []string{"one", "two"} {
		if err := s.AddWebhook(t.Context(), "test", Webhook{ID: id, URL: "https://x.example", Secrets: []string{"whsec_AA=="}}); err != nil {
			t.Fatal(err)
		}
	}
	first := opened(t, 1)
	a := first.Value.(Alert)
	a.Incident.Version, a.Incident.State, a.Incident.Closed = 2, detection.Closed, time.Now()
	other := opened(t, 3)
	if _, err := applyEvents(t.Context(), s, "gate-7", "x", []Event{first, {Lane: api.LaneAlerts, Seq: 2, Value: a}, other}); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(time.Second)
	due, next, err := s.DueDeliveries(t.Context(), "one", now, 10)
	if err != nil || len(due) != 2 || !next.IsZero() {
		t.Fatalf("%d due, next %v, %v: want the first of each incident", len(due), next, err)
	}
	if due[0].Alert.Kind != notify.Opened || due[0].Alert.Device != "gate-7/yard" || due[1].Alert.Incident != other.Value.(Alert).Incident.ID {
		t.Fatalf("%+v", due)
	}
	if _, next, err = s.DueDeliveries(t.Context(), "one", now, 1); err != nil || next.IsZero() || next.After(now) {
		t.Fatalf("next %v, %v: want now, for the one beyond the limit", next, err)
	}
	done := notify.Outcome{Delivery: due[0].ID, Target: "one", Attempt: 1, At: now, Status: 204, State: notify.Delivered}
	for range 2 { // a second outcome of the same delivery changes nothing
		if err := s.RecordDelivery(t.Context(), done); err != nil {
			t.Fatal(err)
		}
	}
	if due, _, err = s.DueDeliveries(t.Context(), "one", now, 10); err != nil || len(due) != 2 || due[0].Alert.Kind != notify.Closed {
		t.Fatalf("%+v, %v", due, err)
	}
	retry := notify.Outcome{Delivery: due[0].ID, Target: "one", Attempt: 1, At: now, State: notify.Pending, Next: now.Add(time.Minute), Cause: "refused"}
	if err := s.RecordDelivery(t.Context(), retry); err != nil {
		t.Fatal(err)
	}
	if due, next, err = s.DueDeliveries(t.Context(), "one", now, 10); err != nil || len(due) != 1 || next.Sub(now).Round(time.Second) != time.Minute {
		t.Fatalf("%d due, next %v, %v", len(due), next, err)
	}
	gone := notify.Outcome{Delivery: due[0].ID, Target: "one", Attempt: 1, At: now, Status: 410, State: notify.Dead, Cause: "gone", Disable: "gone (410)"}
	if err := s.RecordDelivery(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	targets, err := s.WebhookTargets(t.Context())
	if err != nil || len(targets) != 1 || targets[0].ID != "two" {
		t.Fatalf("%+v, %v", targets, err)
	}
	if due, _, err = s.DueDeliveries(t.Context(), "two", now, 10); err != nil || len(due) != 2 {
		t.Fatalf("%d due for the other target, %v", len(due), err)
	}
}

func TestChangesAreKeptWithinBounds(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	for i := range 50 {
		if _, err := applyEvents(t.Context(), s, "gate-7", "x", []Event{opened(t, uint64(i+1))}); err != nil {
			t.Fatal(err)
		}
	}
	last, err := s.LastChange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Prune(t.Context(), Retention{Changes: 10}); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, `SELECT count(*) FROM changes`); n != 10 {
		t.Errorf("%d lines are kept, want 10", n)
	}
	for after, kept := range map[int64]bool{last: true, last - 10: true, last - 11: false, 0: false, last + 5: false} {
		lines, got, err := s.ChangesAfter(t.Context(), after, 100)
		if err != nil || got != kept || kept && int64(len(lines)) != last-after {
			t.Errorf("after %d of %d: %d lines, kept %v, %v; want kept %v", after, last, len(lines), got, err, kept)
		}
	}
	if err := s.Prune(t.Context(), Retention{Changes: -1}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.LastChange(t.Context()); err != nil || got != last {
		t.Errorf("numbers went back from %d to %d, %v", last, got, err)
	}
}

// BenchmarkApply commits batches of 100 alerts, each with its line in the live stream.
func BenchmarkApply(b *testing.B) {
	for _, kind := range []string{"alerts", "readings"} {
		b.Run(kind, func(b *testing.B) { benchmarkApply(b, kind) })
	}
}

func benchmarkApply(b *testing.B, kind string) {
	s := newStore(b)
	withEdge(b, s, "gate-7")
	const batch = 100
	seq := uint64(0)
	start := time.Now()
	for b.Loop() {
		events := make([]Event, batch)
		for i := range events {
			seq++
			events[i] = opened(b, seq)
			if kind == "readings" {
				events[i] = reading(seq, start)
			}
		}
		if _, err := applyEvents(b.Context(), s, "gate-7", "x", events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}

func reading(seq uint64, start time.Time) Event {
	return Event{Lane: api.LaneTelemetry, Seq: seq, Value: []devices.Reading{{
		Device: "river", Time: start.Add(time.Duration(seq) * time.Second), Value: 3, Unit: "m", Quality: devices.Good,
	}}}
}
