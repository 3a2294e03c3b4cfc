package ingest

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/incidents"
)

func eachParts(t *testing.T, fn func(t *testing.T, p *parts)) {
	t.Helper()
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(e.String(), func(t *testing.T) { fn(t, newParts(t, e)) })
	}
}

func (p *parts) add(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := p.edges.Add(t.Context(), "test", name, []byte(name), p.clock().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
}

// session is an edge of protocol 2 in one of its epochs.
type session struct {
	t     testing.TB
	p     *parts
	edge  string
	epoch string
	seq   uint64
}

func (p *parts) session(t testing.TB, edge, epoch string) *session {
	return &session{t: t, p: p, edge: edge, epoch: epoch}
}

// try applies events of a batch; their numbers are set when they are 0.
func (e *session) try(hello *api.Hello, events ...event) (applied, error) {
	e.t.Helper()
	all := slices.Clone(events)
	for i := range all {
		if all[i].seq == 0 {
			e.seq++
			all[i].seq = e.seq
		}
	}
	sortEvents(all)
	return e.p.server.apply(e.t.Context(), batch{
		Request: edges.Request{Edge: e.edge, Epoch: e.epoch, Protocol: 2, Greets: hello != nil}, hello: hello, events: all,
	})
}

func (e *session) greet(open ...api.IncidentRef) *session {
	e.t.Helper()
	if open == nil {
		open = []api.IncidentRef{}
	}
	if _, err := e.try(&api.Hello{Open: open}); err != nil {
		e.t.Fatal(err)
	}
	return e
}

func (e *session) send(events ...event) applied {
	e.t.Helper()
	got, err := e.try(nil, events...)
	if err != nil || len(got.ack.Refused) > 0 {
		e.t.Fatalf("%+v, %v", got, err)
	}
	return got
}

func alerted(a incidents.Alert) event {
	return event{lane: api.LaneAlerts, kind: api.KindIncident, value: a}
}

func stated(v any) event { return event{lane: api.LaneState, value: v} }

// opening is an alert that opens an incident.
func opening(t testing.TB) incidents.Alert {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	inc := incident(id.String())
	return incidents.Alert{Title: "motion in the yard", Incident: inc, Occurred: inc.Opened, Changed: inc.Updated}
}

func version(a incidents.Alert, n int, state detection.IncidentState) incidents.Alert {
	a.Incident.Version, a.Incident.State = n, state
	if state == detection.Closed {
		a.Incident.Closed, a.Ended = time.Now(), time.Now()
	}
	return a
}

func ref(a incidents.Alert) api.IncidentRef {
	return api.IncidentRef{ID: a.Incident.ID, Version: a.Incident.Version}
}

func (p *parts) incident(t testing.TB, a incidents.Alert) incidents.Incident {
	t.Helper()
	inc, err := p.incidents.Get(t.Context(), scope.All(), a.Incident.ID)
	if err != nil {
		t.Fatal(err)
	}
	return inc
}

func (p *parts) count(t testing.TB, query string) (n int) {
	t.Helper()
	if err := p.db.Read(t.Context()).One(query)(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestExactlyOnce sends the same alerts again and again, in overlapping and shuffled batches, from
// several goroutines at once.
func TestExactlyOnce(t *testing.T) {
	eachParts(t, func(t *testing.T, p *parts) {
		p.add(t, "gate-7")
		p.session(t, "gate-7", "a").greet()
		const n = 60
		all := make([]event, n)
		for i := range all {
			all[i] = alerted(opening(t))
			all[i].seq = uint64(i + 1)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for acked := uint64(0); acked < n; {
					// An edge sends from its last acknowledgement on; here sometimes from far before it.
					from := acked - rand.Uint64N(acked+1)
					to := min(max(from+1+rand.Uint64N(20), acked+1), n)
					got, err := p.session(t, "gate-7", "a").try(nil, all[from:to]...)
					if err != nil {
						t.Error(err)
						return
					}
					acked = got.ack.Committed[api.LaneAlerts]
				}
			})
		}
		wg.Wait()
		for query, want := range map[string]int{
			`SELECT count(*) FROM incidents`:                                  n,
			`SELECT count(*) FROM incidents WHERE version != 1`:               0,
			`SELECT count(*) FROM changes WHERE kind = 'incident'`:            n,
			`SELECT seq FROM marks WHERE edge = 'gate-7' AND lane = 'alerts'`: n,
		} {
			if got := p.count(t, query); got != want {
				t.Errorf("%s: %d, want %d", query, got, want)
			}
		}
	})
}

// TestPoisonIsPassedOver: what can never be applied is refused with a code, and does not block what is
// behind it.
func TestPoisonIsPassedOver(t *testing.T) {
	eachParts(t, func(t *testing.T, p *parts) {
		p.add(t, "gate-7", "gate-8")
		theirs := opening(t)
		p.session(t, "gate-8", "x").greet().send(alerted(theirs))
		e := p.session(t, "gate-7", "a").greet()
		mine := opening(t)
		got, err := e.try(nil,
			event{lane: api.LaneAlerts, refused: refuse(api.RefusedData, "its data does not parse")},
			alerted(theirs),
			event{lane: api.LaneAlerts, value: announced{Evidence: api.Evidence{Incident: theirs.Incident.ID, Name: "a.jpg", Size: 1, SHA256: "x"}, taken: time.Now()}},
			event{lane: api.LaneAlerts, notYet: refuse(api.RefusedKind, "its kind is not known")},
			alerted(mine),
		)
		codes := []string{}
		for _, r := range got.ack.Refused {
			codes = append(codes, r.Code)
		}
		if err != nil || got.applied != 1 || got.ack.Committed[api.LaneAlerts] != 5 || len(got.ack.NotYet) != 1 ||
			!slices.Equal(codes, []string{api.RefusedData, api.RefusedForeign, api.RefusedForeign}) {
			t.Errorf("%+v, %v, refused %v", got, err, codes)
		}
		if inc := p.incident(t, theirs); inc.Edge != "gate-8" || inc.Version != 1 || len(inc.Evidence) != 0 {
			t.Errorf("%+v", inc)
		}
		again, err := p.session(t, "gate-7", "a").try(nil, event{lane: api.LaneAlerts, seq: 4, notYet: refuse(api.RefusedKind, "its kind is not known")})
		if err != nil || len(again.ack.NotYet) != 1 || again.ack.Committed[api.LaneAlerts] != 5 {
			t.Errorf("sent again: %+v, %v", again, err)
		}
		if err := p.edges.Revoke(t.Context(), "test", "gate-7"); err != nil {
			t.Fatal(err)
		}
		if _, err := e.try(nil, alerted(opening(t))); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a revoked edge: %v", err)
		}
	})
}

// TestForgottenIncidentsEndOnce: what an edge no longer knows ends once, by the first request after the
// greeting, and is resumed when the edge knows it after all.
func TestForgottenIncidentsEndOnce(t *testing.T) {
	eachParts(t, func(t *testing.T, p *parts) {
		p.add(t, "gate-7")
		kept, lost := opening(t), opening(t)
		p.session(t, "gate-7", "first").greet().send(alerted(kept), alerted(lost))
		holds := func(a incidents.Alert) bool { return p.incident(t, a).Condition == detection.Open }
		e := p.session(t, "gate-7", "cannot tell")
		if _, err := e.try(&api.Hello{}); err != nil {
			t.Fatal(err)
		}
		e.send()
		if !holds(lost) {
			t.Error("an incident ended although the edge could not tell what is open")
		}
		e = p.session(t, "gate-7", "second").greet(ref(kept))
		if !holds(lost) {
			t.Error("an incident ended before the greeting was confirmed")
		}
		e.send()
		version3 := p.incident(t, lost).Version
		e.send()
		if inc := p.incident(t, lost); inc.Condition != detection.Closed || inc.ClosedAt == nil || inc.Version != version3 || !holds(kept) {
			t.Errorf("%+v: want it to have ended once", inc)
		}
		p.session(t, "gate-7", "fourth").greet(ref(kept), ref(lost)).send() // the disk with the newer copy is back
		if !holds(lost) {
			t.Error("an incident that the edge knows again was not resumed")
		}
		if _, err := p.session(t, "gate-7", "first").try(nil, alerted(opening(t))); !errors.Is(err, edges.ErrSuperseded) {
			t.Errorf("an earlier epoch: %v", err)
		}
	})
}

// TestLanesShareABatch: readings, states and alerts in one batch are applied in the order that gives an
// alert its place, each lane has its mark, and sending it again changes nothing.
func TestLanesShareABatch(t *testing.T) {
	eachParts(t, func(t *testing.T, p *parts) {
		p.add(t, "gate-7")
		e := p.session(t, "gate-7", "a").greet()
		a := opening(t)
		now := p.clock()
		inv := api.Inventory{Version: "1", Devices: []api.Device{{Name: "yard", Kind: devices.Camera, Place: &devices.Place{Lat: 1, Lon: 2}}}}
		all := []event{
			{lane: api.LaneTelemetry, seq: 9, kind: api.KindReadings, value: readings([]devices.Reading{{Device: "river", Time: now, Value: 3, Quality: devices.Good}}, edgeClock{received: now}.of(api.Event{}))},
			{lane: api.LaneTelemetry, seq: 8, kind: api.KindGap, value: api.Gap{ID: uuid.NewString(), Kind: api.GapReadings, From: now, To: now}},
			{lane: api.LaneAlerts, seq: 5, kind: api.KindGap, value: api.Gap{ID: uuid.NewString(), Kind: api.GapAlerts, From: now, To: now}},
			{lane: api.LaneAlerts, seq: 4, value: a},
			{lane: api.LaneState, seq: 2, value: edges.Status{Status: devices.Status{Device: "yard", State: devices.Online}}},
			{lane: api.LaneState, seq: 3, value: edges.Status{Status: devices.Status{Device: "gone", State: devices.Online}}},
			{lane: api.LaneState, seq: 1, value: inv},
			stated(edges.Health{Time: now, Problems: []devices.Cause{devices.NewCause("outbox_full")}}),
		}
		all[7].seq = 4
		for round, want := range []int{8, 0} {
			got := e.send(all...)
			if got.applied != want || got.applied+got.known != len(all) || got.ack.Committed[api.LaneAlerts] != 5 || got.ack.Committed[api.LaneState] != 4 || got.ack.Committed[api.LaneTelemetry] != 9 {
				t.Errorf("round %d: %+v", round, got)
			}
		}
		if inc := p.incident(t, a); inc.Place == nil || inc.Place.Lat != 1 || inc.Version != 1 {
			t.Errorf("place %+v, version %d", inc.Place, inc.Version)
		}
		gaps, err := p.telemetry.Gaps(t.Context(), scope.All(), "gate-7", 10)
		if err != nil || len(gaps) != 2 {
			t.Errorf("gaps %+v, %v", gaps, err)
		}
		d, err := p.edges.Device(t.Context(), scope.All(), "gate-7", "yard")
		if err != nil || d.Place == nil {
			t.Errorf("%+v, %v", d, err)
		}
		hello, err := e.try(&api.Hello{Open: []api.IncidentRef{ref(a)}})
		if err != nil || hello.ack.Committed[api.LaneTelemetry] != 9 || hello.ack.Committed[api.LaneAlerts] != 5 {
			t.Errorf("the greeting again: %+v, %v", hello, err)
		}
	})
}

// TestHealthInTheTelemetryLane: edges of protocol 1 number their health with their readings.
func TestHealthInTheTelemetryLane(t *testing.T) {
	p := newParts(t, db.SQLite)
	p.add(t, "gate-7")
	e := p.session(t, "gate-7", "a").greet()
	sent := event{lane: api.LaneTelemetry, seq: 1, kind: api.KindHealth, value: edges.Health{Time: p.clock(), Problems: []devices.Cause{devices.NewCause("outbox_full")}}}
	for range 2 {
		if got := e.send(sent); got.ack.Committed[api.LaneTelemetry] != 1 || len(got.ack.Refused) > 0 {
			t.Errorf("%+v", got)
		}
	}
	edge, err := p.edges.Edge(t.Context(), scope.All(), "gate-7")
	if err != nil || edge.Health == nil || len(edge.Health.Problems) != 1 {
		t.Errorf("%+v, %v", edge.Health, err)
	}
	if !inAnyLane(sent.kind) || inAnyLane(api.KindIncident) {
		t.Error("health is refused in the telemetry lane, or incidents are not")
	}
}

// TestTelemetryDoesNotWriteTheHub: a batch of readings alone costs the hub's database reads only.
func TestTelemetryDoesNotWriteTheHub(t *testing.T) {
	p := newParts(t, db.SQLite)
	p.add(t, "gate-7")
	e := p.session(t, "gate-7", "a").greet()
	before := p.db.Queries()
	now := p.clock()
	e.send(event{lane: api.LaneTelemetry, kind: api.KindReadings, value: readings([]devices.Reading{{Device: "river", Time: now, Value: 3, Quality: devices.Good}}, edgeClock{received: now}.of(api.Event{}))})
	if n := p.db.Queries() - before; n > 1 {
		t.Errorf("%d statements in the hub's database", n)
	}
}

// TestPanicCostsOneEvent: an event that makes the hub panic is left with the edge; those before and behind
// it are applied, and the hub goes on.
func TestPanicCostsOneEvent(t *testing.T) {
	eachParts(t, func(t *testing.T, p *parts) {
		p.add(t, "gate-7")
		e := p.session(t, "gate-7", "a").greet()
		first, poison, second := opening(t), opening(t), opening(t)
		poison.Incident.Rule = panicRule
		got, err := e.try(nil, alerted(first), alerted(poison), alerted(second))
		if err != nil || got.applied != 2 || got.ack.Committed[api.LaneAlerts] != 3 || len(got.ack.NotYet) != 1 || got.ack.NotYet[0].Code != api.RefusedHubFault {
			t.Fatalf("%+v, %v", got, err)
		}
		p.incident(t, first)
		p.incident(t, second)
		if p.server.Stats().Panics == 0 {
			t.Error("the panic was not counted")
		}
		e.send(alerted(opening(t)))
	})
}

// TestRestoredHubGetsBackWhatItLost: a hub restored from an older copy has another history; the edge
// greets, and what the hub lacks of its open and its closed incidents comes again.
func TestRestoredHubGetsBackWhatItLost(t *testing.T) {
	eachParts(t, func(t *testing.T, p *parts) {
		p.add(t, "gate-7")
		open, closed := opening(t), version(opening(t), 2, detection.Closed)
		p.session(t, "gate-7", "a").greet().send(alerted(open), alerted(closed))
		before, err := p.db.History(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// What a restore does: the rows are gone, and a new history begins.
		for _, a := range []incidents.Alert{open, closed} {
			id := a.Incident.ID
			if err := p.db.Update(t.Context(), "test", func(tx *db.Tx) error {
				_, err := tx.Exec(`DELETE FROM facts WHERE incident = ?`, id)
				if err == nil {
					_, err = tx.Exec(`DELETE FROM incidents WHERE id = ?`, id)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.db.NewHistory(t.Context()); err != nil {
			t.Fatal(err)
		}
		after, err := p.db.History(t.Context())
		if err != nil || after == before {
			t.Fatalf("history %q, before %q, %v", after, before, err)
		}
		e := p.session(t, "gate-7", "b").greet(ref(open))
		missing, err := p.incidents.Missing(p.db.Read(t.Context()), "gate-7", []api.IncidentRef{ref(open), ref(closed)})
		if err != nil || len(missing) != 2 {
			t.Fatalf("missing %v, %v", missing, err)
		}
		e.send(alerted(open), alerted(closed))
		if p.incident(t, open).Condition != detection.Open || p.incident(t, closed).Condition != detection.Closed {
			t.Error("they are not what they were")
		}
	})
}

// TestStrangeTextsAreStored: texts that PostgreSQL refuses must not block a lane.
func TestStrangeTextsAreStored(t *testing.T) {
	eachParts(t, func(t *testing.T, p *parts) {
		p.add(t, "gate-7")
		e := p.session(t, "gate-7", "a").greet()
		d := decoder{checks: newChecks(), clock: edgeClock{received: p.clock()}, protocol: 2, log: p.server.o.Logger}
		inc := incident(uuid.NewString())
		inc.Class, inc.Unit, inc.Rule = "a\x00b", "\x00", "zone\x00"
		all, beyond := d.events([]api.Event{
			newEvent(t, api.LaneState, 1, api.KindInventory, api.Inventory{Version: "\x00", Devices: []api.Device{{Name: "yard", Kind: devices.Camera, Unit: "\x00", Rules: []api.Rule{{Name: "\x00", Kind: "\x00", Severity: "\x00", Classes: []string{"\x00"}}}}}}),
			newEvent(t, api.LaneState, 2, api.KindStatus, devices.Status{Device: "yard", State: devices.Offline, Cause: devices.Cause{Code: "\x00", Text: "\x00", Params: map[string]string{"\x00": "\x00"}}}),
			newEvent(t, api.LaneState, 3, api.KindHealth, api.Health{Problems: []devices.Cause{{Text: "\x00"}}, Counters: map[string]uint64{"\x00": 1}}),
			newEvent(t, api.LaneAlerts, 1, api.KindIncident, inc),
			newEvent(t, api.LaneAlerts, 2, api.KindGap, api.Gap{ID: uuid.NewString(), Kind: api.GapAlerts, Reason: "\x00"}),
			newEvent(t, api.LaneTelemetry, 1, api.KindReadings, []devices.Reading{{Device: "river", Time: time.Now(), Text: "a\x00"}}),
		})
		if len(beyond) != 0 {
			t.Fatalf("%+v", beyond)
		}
		if got := e.send(all...); got.applied != len(all) {
			t.Errorf("%+v", got)
		}
		if _, err := p.edges.Edges(t.Context(), scope.All()); err != nil {
			t.Error(err)
		}
	})
}
