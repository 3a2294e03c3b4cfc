package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
)

// session is an edge of protocol 2 in one of its epochs.
type session struct {
	t     *testing.T
	store *Store
	edge  string
	epoch string
	seq   uint64
}

func (e *session) try(hello *api.Hello, values ...any) (Applied, error) {
	e.t.Helper()
	b := Batch{Edge: e.edge, Epoch: e.epoch, Protocol: 2, Hello: hello}
	for _, v := range values {
		e.seq++
		b.Events = append(b.Events, Event{Lane: api.LaneAlerts, Seq: e.seq, Value: v})
	}
	return e.store.Apply(e.t.Context(), b)
}

func (e *session) send(values ...any) {
	e.t.Helper()
	if got, err := e.try(nil, values...); err != nil || len(got.Ack.Refused) > 0 {
		e.t.Fatalf("%+v, %v", got, err)
	}
}

// greet begins an epoch with what is open.
func greet(t *testing.T, s *Store, epoch string, open ...api.IncidentRef) *session {
	t.Helper()
	e := &session{t: t, store: s, edge: "gate-7", epoch: epoch}
	if open == nil {
		open = []api.IncidentRef{}
	}
	if _, err := e.try(&api.Hello{Open: open}); err != nil {
		t.Fatal(err)
	}
	return e
}

func version(a Alert, n int, state detection.IncidentState) Alert {
	a.Incident.Version, a.Incident.State = n, state
	if state == detection.Closed {
		a.Incident.Closed = time.Now()
	}
	return a
}

func ref(a Alert) api.IncidentRef {
	return api.IncidentRef{ID: a.Incident.ID, Version: a.Incident.Version}
}

// closedEvents counts the deliveries that say that an incident was closed.
func closedEvents(t *testing.T, s *Store, id string) int {
	t.Helper()
	var n int
	if err := s.read.QueryRow(`SELECT count(*) FROM deliveries d JOIN alerts a ON a.seq = d.seq WHERE a.incident = ? AND a.kind = 'closed'`, id).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEpochsFenceEachOther(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	stranger := &session{t: t, store: s, edge: "gate-7", epoch: "never greeted"}
	if _, err := stranger.try(nil, opened(t, 1).Value); !errors.Is(err, ErrSuperseded) {
		t.Errorf("an epoch that has not greeted: %v", err)
	}
	first := greet(t, s, "first")
	first.send(opened(t, 1).Value)
	second := greet(t, s, "second")
	if _, err := first.try(nil, opened(t, 1).Value); !errors.Is(err, ErrSuperseded) {
		t.Errorf("a superseded epoch: %v", err)
	}
	if _, err := first.try(&api.Hello{Open: []api.IncidentRef{}}); !errors.Is(err, ErrSuperseded) {
		t.Errorf("the greeting of a superseded epoch, delayed: %v", err)
	}
	second.send(opened(t, 1).Value)
	if _, err := second.try(&api.Hello{}); err != nil {
		t.Errorf("a greeting whose answer was lost: %v", err)
	}
	if n := count(t, s, `SELECT count(*) FROM incidents`); n != 2 {
		t.Errorf("%d incidents, want 2", n)
	}
	// An edge of protocol 1 does not greet; its stored epoch is accepted whatever came between.
	if _, err := applyEvents(t.Context(), s, "gate-7", "old", []Event{opened(t, 1)}); err != nil {
		t.Errorf("protocol 1: %v", err)
	}
	for i := range 3 * keepEpochs {
		greet(t, s, fmt.Sprint("epoch ", i))
	}
	if n := count(t, s, `SELECT count(*) FROM epochs`); n > keepEpochs+1 {
		t.Errorf("%d epochs are remembered", n)
	}
}

// TestForgottenIncidentsEndOnce: what an edge no longer knows ends once, by the first request after the
// greeting, and is resumed when the edge knows it after all.
func TestForgottenIncidentsEndOnce(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	if err := s.AddWebhook(t.Context(), "test", Webhook{ID: "one", URL: "https://x.example", Secrets: []string{"whsec_AA=="}}); err != nil {
		t.Fatal(err)
	}
	kept, lost := opened(t, 1).Value.(Alert), opened(t, 2).Value.(Alert)
	greet(t, s, "first").send(kept, lost)
	condition := func(a Alert) detection.IncidentState {
		t.Helper()
		inc, err := s.Incident(t.Context(), a.Incident.ID)
		if err != nil {
			t.Fatal(err)
		}
		return inc.Condition
	}
	// An edge that cannot tell what is open ends nothing.
	e := &session{t: t, store: s, edge: "gate-7", epoch: "cannot tell"}
	if _, err := e.try(&api.Hello{}); err != nil {
		t.Fatal(err)
	}
	e.send()
	if condition(lost) != detection.Open {
		t.Error("an incident ended although the edge could not tell what is open")
	}
	e = greet(t, s, "second", ref(kept))
	if condition(lost) != detection.Open {
		t.Error("an incident ended before the greeting was confirmed")
	}
	e.send()
	e.send()
	inc, err := s.Incident(t.Context(), lost.Incident.ID)
	if err != nil || inc.Condition != detection.Closed || inc.ClosedAt == nil {
		t.Fatalf("%+v, %v: want its condition over", inc, err)
	}
	last := inc.Timeline[len(inc.Timeline)-1]
	if last.Kind != "over" || !strings.Contains(string(last.Data), lostMemory) || len(inc.Timeline) != 2 {
		t.Errorf("timeline %+v", inc.Timeline)
	}
	if condition(kept) != detection.Open {
		t.Error("an incident that the edge knows has ended")
	}
	greet(t, s, "third", ref(kept)).send(lost) // the same version again changes nothing
	if n := closedEvents(t, s, lost.Incident.ID); n != 1 {
		t.Errorf("its close was announced %d times", n)
	}
	e = greet(t, s, "fourth", ref(kept), ref(lost)) // the disk with the newer copy is back
	e.send()
	if condition(lost) != detection.Open {
		t.Error("an incident that the edge knows again was not resumed")
	}
	e.send(version(lost, 2, detection.Closed))
	if condition(lost) != detection.Closed {
		t.Error("it was not closed by its alert")
	}
}

// TestCloseOfRestoredEdgeCounts: an edge restored from an older copy numbers its alerts anew.
func TestCloseOfRestoredEdgeCounts(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	a := opened(t, 1).Value.(Alert)
	greet(t, s, "first").send(a, version(a, 2, detection.Open), version(a, 5, detection.Open))
	e := greet(t, s, "restored", ref(a))
	e.send(version(a, 2, detection.Open), version(a, 3, detection.Closed))
	inc, err := s.Incident(t.Context(), a.Incident.ID)
	if err != nil || inc.Condition != detection.Closed {
		t.Errorf("%+v, %v: want it closed", inc, err)
	}
}

func TestSameVersionInAnotherEpochIsNotDeliveredAgain(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	if err := s.AddWebhook(t.Context(), "test", Webhook{ID: "one", URL: "https://x.example", Secrets: []string{"whsec_AA=="}}); err != nil {
		t.Fatal(err)
	}
	a := opened(t, 1).Value.(Alert)
	ev := api.Evidence{Incident: a.Incident.ID, Name: "a.jpg", Size: 3, SHA256: strings.Repeat("0", 64)}
	var changes int
	for i := range 4 {
		greet(t, s, fmt.Sprint("epoch ", i), ref(a)).send(a, version(a, 2, detection.Closed), ev)
		if n := count(t, s, `SELECT count(*) FROM changes WHERE kind = 'incident'`); i == 0 {
			changes = n
		} else if n != changes {
			t.Errorf("epoch %d: %d changes are told, want the %d of the first", i, n, changes)
		}
	}
	if n := count(t, s, `SELECT count(*) FROM deliveries`); n != 2 {
		t.Errorf("%d deliveries, want opened and closed", n)
	}
}

func TestHeldEventsAreNamedEachTime(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	e := greet(t, s, "first")
	b := Batch{Edge: e.edge, Epoch: e.epoch, Protocol: 2, Events: []Event{
		{Lane: api.LaneAlerts, Seq: 1, NotYet: "its kind is not known"}, opened(t, 2),
	}}
	for round := range 2 { // the answer to the first attempt is lost
		got, err := s.Apply(t.Context(), b)
		if err != nil || got.Ack.Committed[api.LaneAlerts] != 2 || len(got.Ack.NotYet) != 1 || got.Ack.NotYet[0].Seq != 1 {
			t.Errorf("round %d: %+v, %v", round, got, err)
		}
	}
}

func TestMissing(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	withEdge(t, s, "gate-8")
	a, b, theirs := opened(t, 1).Value.(Alert), opened(t, 2).Value.(Alert), opened(t, 1)
	greet(t, s, "first").send(a, b)
	if _, err := applyEvents(t.Context(), s, "gate-8", "x", []Event{theirs}); err != nil {
		t.Fatal(err)
	}
	unknown := newID(t)
	got, err := s.Missing(t.Context(), "gate-7", []api.IncidentRef{
		ref(a), {ID: b.Incident.ID, Version: 2}, {ID: unknown, Version: 1}, {ID: theirs.Value.(Alert).Incident.ID, Version: 9},
	})
	if want := []string{b.Incident.ID, unknown}; err != nil || !slices.Equal(got, want) {
		t.Errorf("missing %v, %v; want %v", got, err, want)
	}
	if got, err = s.Missing(t.Context(), "gate-7", []api.IncidentRef{{ID: a.Incident.ID, Version: 1, Evidence: 1}}); err != nil || len(got) != 1 {
		t.Errorf("with evidence that is not here: %v, %v", got, err)
	}
}

// TestReadingsAreStoredOnce: values of one millisecond are kept apart, and the same again changes
// nothing.
func TestReadingsAreStoredOnce(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	now := time.Now()
	all := []devices.Reading{
		{Device: "river", Time: now, Value: 1, Quality: devices.Good},
		{Device: "river", Time: now, Value: 2, Quality: devices.Good},
		{Device: "river", Time: now.Add(time.Hour), Value: 3, Quality: devices.Good}, // the edge's clock was ahead
	}
	e := greet(t, s, "first")
	e.send(api.Inventory{Devices: []api.Device{{Name: "river", Kind: devices.Sensor}}}, all)
	greet(t, s, "second").send(all)
	if n := count(t, s, `SELECT count(*) FROM readings`); n != 3 {
		t.Errorf("%d readings, want 3", n)
	}
	greet(t, s, "third").send([]devices.Reading{{Device: "river", Time: now.Add(time.Second), Value: 4, Quality: devices.Good}})
	d, err := s.Device(t.Context(), "gate-7", "river")
	if err != nil || d.Reading == nil || d.Reading.Value != 4 {
		t.Errorf("last reading %+v, %v: want the one after the clock was set right", d.Reading, err)
	}
}

func TestStatusBeforeItsInventoryIsNotRefused(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	greet(t, s, "first").send(devices.Status{Device: "yard", State: devices.Online})
	got, err := applyEvents(t.Context(), s, "gate-7", "old", []Event{{Lane: api.LaneState, Seq: 1, Value: devices.Status{Device: "yard", State: devices.Online}}})
	if err != nil || len(got.Ack.Refused) != 1 {
		t.Errorf("protocol 1: %+v, %v", got, err)
	}
}

// TestIncidentBeforeItsInventoryGetsItsPlace: alerts do not wait for the inventory.
func TestIncidentBeforeItsInventoryGetsItsPlace(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	a := opened(t, 1).Value.(Alert)
	e := greet(t, s, "first")
	e.send(a)
	e.send(api.Inventory{Devices: []api.Device{{Name: "yard", Kind: devices.Camera, Place: &devices.Place{Lat: 1, Lon: 2}}}})
	inc, err := s.Incident(t.Context(), a.Incident.ID)
	if err != nil || inc.Place == nil || inc.Place.Lat != 1 {
		t.Errorf("place %+v, %v", inc.Place, err)
	}
}

func TestGapsAreBounded(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	e := greet(t, s, "first")
	now := time.Now()
	grown := api.Gap{ID: newID(t), Kind: api.GapReadings, From: now, To: now, Count: 1, Reason: "store_full"}
	e.send(grown)
	grown.To, grown.Count = now.Add(time.Minute), 9
	greet(t, s, "second").send(grown)
	got, err := s.Gaps(t.Context(), "gate-7", 10)
	if err != nil || len(got) != 1 || got[0].Count != 9 || got[0].To.Sub(got[0].From).Round(time.Second) != time.Minute {
		t.Fatalf("%+v, %v", got, err)
	}
	e = greet(t, s, "third")
	for range maxGaps + 20 {
		e.send(api.Gap{ID: newID(t), Kind: api.GapAlerts, From: now, To: now, Reason: "store_full"})
	}
	if n := count(t, s, `SELECT count(*) FROM gaps`); n != maxGaps {
		t.Errorf("%d gaps are kept, want %d", n, maxGaps)
	}
}
