package ingest

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gridpost/hub/api"
)

// simulatedEdge is an edge with a clock that is set, restarted and wrong at random.
type simulatedEdge struct {
	r       *rand.Rand
	offset  time.Duration // its clock minus the hub's
	synced  bool
	boot    int
	segment int // rises whenever the clock is set
}

// wild are offsets of clocks that occur: a battery that is empty, a year that was typed wrong.
func (e *simulatedEdge) disturb(now time.Time) {
	switch e.r.IntN(6) {
	case 0: // NTP
		e.offset, e.synced = time.Duration(e.r.IntN(2000)-1000)*time.Millisecond, true
	case 1: // an empty battery
		e.offset, e.synced = time.Unix(e.r.Int64N(1e6), 0).Sub(now), false
		e.boot++
	case 2: // a wrong year
		e.offset, e.synced = time.Duration(e.r.IntN(200)-100)*365*24*time.Hour, false
	case 3: // a few hours
		e.offset, e.synced = time.Duration(e.r.IntN(48*3600)-24*3600)*time.Second, false
	case 4: // drift
		e.offset += time.Duration(e.r.IntN(6000)-3000) * time.Millisecond
		e.synced = false
	case 5: // it calls itself synchronized and is not
		e.offset, e.synced = time.Duration(e.r.IntN(100))*24*time.Hour, true
	}
	e.segment++
}

// happening is something that happened on the edge.
type happening struct {
	at      time.Time // by the hub's clock: the truth
	edge    time.Time // by the edge's
	clock   api.ClockGrade
	boot    int
	segment int
}

// TestWildClocks: whatever the clock of an edge does, a corrected time is neither after the receipt
// nor more than maxAge before it; and the order by corrected times is the order in which things
// happened, as far apart as the stated error, wherever the edge knows an event's age or its clock
// was not set since.
func TestWildClocks(t *testing.T) {
	t.Parallel()
	const slowest = 8 * time.Second // a request
	bound := offsetTolerance + 2*slowest + maxSyncSkew
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		all := newClocks()
		now := time.Date(2026, 11, 30, 6, 0, 0, 0, time.UTC)
		e := &simulatedEdge{r: r}
		type dated struct{ truth, corrected time.Time }
		var sure []dated
		var waiting []happening
		for range 60 {
			now = now.Add(time.Duration(r.IntN(600)) * time.Second)
			if r.IntN(8) == 0 {
				e.disturb(now)
			}
			h := happening{at: now, edge: now.Add(e.offset), clock: api.ClockUnsynchronized, boot: e.boot, segment: e.segment}
			if e.synced {
				h.clock = api.ClockSynchronized
			}
			waiting = append(waiting, h)
			if r.IntN(3) > 0 {
				continue
			}
			sent := now.Add(e.offset)
			now = now.Add(time.Duration(r.Int64N(int64(slowest))))
			clock := all.batch("gate-7", sent, now)
			for _, h := range waiting {
				ev := api.Event{Time: h.edge, Clock: h.clock}
				age := now.Sub(h.at) - now.Sub(sent.Add(-e.offset))
				if h.boot == e.boot && r.IntN(4) > 0 {
					ms := age.Milliseconds()
					ev.AgeMS = &ms
				}
				c := clock.of(ev)
				for _, at := range []time.Time{h.edge, h.edge.Add(-time.Hour), h.edge.Add(time.Hour), {}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
					if got := c.at(at); got.After(now) || got.Before(now.Add(-maxAge)) {
						t.Fatalf("seed %d: %v became %v, received %v", seed, at, got, now)
					}
				}
				believed := h.clock == api.ClockSynchronized && clock.skew.Abs() <= maxSyncSkew && h.segment == e.segment
				if ev.AgeMS != nil || h.segment == e.segment || believed {
					sure = append(sure, dated{h.at, c.at(h.edge)})
				}
			}
			waiting = waiting[:0]
		}
		for _, d := range sure {
			if off := d.corrected.Sub(d.truth).Abs(); off > bound {
				t.Fatalf("seed %d: what happened at %v is dated %v, %v off", seed, d.truth, d.corrected, off)
			}
		}
		slices.SortFunc(sure, func(a, b dated) int { return a.corrected.Compare(b.corrected) })
		for i := range sure {
			for _, later := range sure[i+1:] {
				if sure[i].truth.Sub(later.truth) > 2*bound {
					t.Fatalf("seed %d: %v is sorted before %v", seed, sure[i].truth, later.truth)
				}
			}
		}
	}
}

// TestCorrectedTimes names the cases.
func TestCorrectedTimes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 6, 0, 0, 0, time.UTC)
	hour := time.Hour.Milliseconds()
	for name, test := range map[string]struct {
		sent  time.Time
		event api.Event
		at    time.Time
		want  time.Time
		grade api.ClockGrade
	}{
		"a synchronized clock is believed to the millisecond": {
			now.Add(-300 * time.Millisecond), api.Event{Time: now.Add(-time.Minute), Clock: api.ClockSynchronized}, now.Add(-time.Minute), now.Add(-time.Minute), api.ClockSynchronized,
		},
		"what is sent again keeps its time, although it was recorded just now": {
			now, api.Event{Time: now.Add(-72 * time.Hour), Clock: api.ClockSynchronized, AgeMS: new(int64)}, now.Add(-72 * time.Hour), now.Add(-72 * time.Hour), api.ClockSynchronized,
		},
		"an edge at 1970 is dated by its age": {
			time.Unix(7200, 0), api.Event{Time: time.Unix(3600, 0), Clock: api.ClockUnsynchronized, AgeMS: &hour}, time.Unix(3600, 0), now.Add(-time.Hour), api.ClockUnsynchronized,
		},
		"an edge at 1970 that knows no age is dated by the offset of its clock": {
			time.Unix(7200, 0), api.Event{Time: time.Unix(3600, 0), Clock: api.ClockUnsynchronized}, time.Unix(3600, 0), now.Add(-time.Hour), api.ClockUnsynchronized,
		},
		"a clock that was set since is dated by the age and keeps distances": {
			now, api.Event{Time: time.Unix(3600, 0), Clock: api.ClockUnsynchronized, AgeMS: &hour}, time.Unix(3000, 0), now.Add(-time.Hour - 10*time.Minute), api.ClockUnsynchronized,
		},
		"a synchronized clock that is a year off is not believed": {
			now.Add(365 * 24 * time.Hour), api.Event{Time: now.Add(365 * 24 * time.Hour), Clock: api.ClockSynchronized}, now.Add(365 * 24 * time.Hour), now, api.ClockUnsynchronized,
		},
		"the future becomes the receipt": {
			now, api.Event{Time: now.Add(48 * time.Hour), Clock: api.ClockSynchronized}, now.Add(48 * time.Hour), now, api.ClockSynchronized,
		},
		"an edge of protocol 1 is dated by the offset of its clock": {
			now.Add(-24 * time.Hour), api.Event{Time: now.Add(-25 * time.Hour)}, now.Add(-25 * time.Hour), now.Add(-time.Hour), "",
		},
		"no time at all becomes the receipt": {time.Time{}, api.Event{}, time.Time{}, now, ""},
	} {
		c := newClocks().batch("gate-7", test.sent, now).of(test.event)
		if got := c.at(test.at); !got.Equal(test.want) || c.grade != test.grade {
			t.Errorf("%s: %v, %q; want %v, %q", name, got, c.grade, test.want, test.grade)
		}
	}
}

// TestOffsetIsSteady: readings that are sent again get the same time, however long each request took.
func TestOffsetIsSteady(t *testing.T) {
	t.Parallel()
	all := newClocks()
	start := time.Date(2026, 11, 30, 6, 0, 0, 0, time.UTC)
	reading := start.Add(-3*time.Hour - time.Minute)
	first := all.batch("gate-7", start.Add(-3*time.Hour), start).of(api.Event{Time: reading}).at(reading)
	for i := range 20 {
		now := start.Add(time.Duration(i) * time.Minute)
		sent := now.Add(-3*time.Hour - time.Duration(i%4)*time.Second)
		if got := all.batch("gate-7", sent, now).of(api.Event{Time: reading}).at(reading); !got.Equal(first) {
			t.Errorf("request %d: %v, want %v", i, got, first)
		}
	}
}
