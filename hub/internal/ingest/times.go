package ingest

import (
	"sync"
	"time"

	"gridpost/hub/api"
)

// Bounds of what the clock of an edge can do. A time outside of them is replaced by one inside: an
// event is never refused because of a clock.
const (
	// maxAge is how long before its receipt an event may have happened: longer than any edge keeps one.
	maxAge = 400 * 24 * time.Hour

	// maxSpan is how far apart two times of one event are believed to be when the clock cannot be
	// followed otherwise.
	maxSpan = 30 * 24 * time.Hour

	// maxSyncSkew is how far a clock that calls itself synchronized may be from the hub's. It covers
	// what a request takes on a thin line. Beyond it the claim is not believed.
	maxSyncSkew = time.Minute

	// maxStep is how far the time of an event may be from the time when it was recorded, before the
	// clock counts as set since.
	maxStep = time.Minute

	// offsetTolerance is how much the offset of a free-running clock may seem to change, by the
	// varying duration of requests, before it is replaced. Times stay equal when they are sent again.
	offsetTolerance = 5 * time.Second
)

// edgeClock converts the times of one batch from the clock of its edge to the hub's.
//
// A corrected time is never after the receipt of its batch, and at most maxAge before it. It is off by
// at most:
//   - maxSyncSkew, if its event was recorded by a synchronized clock: then it is the edge's own time;
//   - offsetTolerance and the duration of two requests, if the edge knows the age of the event, or
//     its clock ran freely and was not set since;
//   - anything within the bounds otherwise, and then its grade is not synchronized.
type edgeClock struct {
	received time.Time     // when the request began
	skew     time.Duration // the edge's clock minus the hub's
	known    bool          // whether the edge has sent its time
	offset   time.Duration // skew, steady from batch to batch
}

// eventClock converts the times of one event.
type eventClock struct {
	earliest, latest time.Time     // bounds of every corrected time
	anchor           time.Time     // the event's own time by the edge's clock; belongs to latest
	offset           time.Duration // is subtracted from the edge's times
	anchored         bool          // the clock was set since: only distances from anchor count
	grade            api.ClockGrade
}

// of returns the clock of an event.
func (c edgeClock) of(e api.Event) eventClock {
	out := eventClock{
		earliest: c.received.Add(-maxAge), latest: c.received, anchor: e.Time, offset: c.offset, grade: grade(e.Clock),
	}
	dated := e.AgeMS != nil && *e.AgeMS >= 0 && *e.AgeMS <= maxAge.Milliseconds()
	if dated {
		out.latest = c.received.Add(-time.Duration(*e.AgeMS) * time.Millisecond)
	}
	switch {
	case e.Clock == api.ClockSynchronized && c.known && c.skew.Abs() <= maxSyncSkew:
		out.offset = 0
	case e.Clock == api.ClockSynchronized:
		out.grade = api.ClockUnsynchronized
		fallthrough
	default:
		out.anchored = dated && e.Time.Add(-out.offset).Sub(out.latest).Abs() > maxStep
	}
	return out
}

// at converts a time of the event. A time that is not plausible keeps its distance from the event's
// own time.
func (c eventClock) at(t time.Time) time.Time {
	at := t.Add(-c.offset)
	if c.anchored || at.Before(c.earliest) || at.After(c.latest.Add(maxSyncSkew)) {
		at = c.latest
		if before := c.anchor.Sub(t); before > 0 && before <= maxSpan {
			at = at.Add(-before)
		}
	}
	if at.After(c.latest) {
		return c.latest
	}
	if at.Before(c.earliest) {
		return c.earliest
	}
	return at
}

// wrong reports whether the edge's clock was wrong at a time: whether a person who compares it
// with the corrected one needs an explanation.
func (c eventClock) wrong(t time.Time) bool { return t.Sub(c.at(t)).Abs() > maxSyncSkew }

// grade returns a grade of a clock that is known; others count as not known.
func grade(g api.ClockGrade) api.ClockGrade {
	if g == api.ClockSynchronized || g == api.ClockUnsynchronized {
		return g
	}
	return ""
}

// storable returns a time of an edge as it is, if a person can make sense of it, and else its
// corrected one.
func (c eventClock) storable(t time.Time) time.Time {
	if t.Year() >= 1970 && t.Year() <= 9000 {
		return t
	}
	return c.at(t)
}

// clocks remembers the offset of each edge's clock. It has one entry for each edge that has a
// certificate. Its methods may be called from any goroutine.
type clocks struct {
	mu      sync.Mutex
	offsets map[string]time.Duration
}

func newClocks() *clocks { return &clocks{offsets: make(map[string]time.Duration)} }

// batch returns the clock for a batch that an edge sent at a time by its own clock (zero: it did not
// say), and that came at a time by the hub's.
func (c *clocks) batch(edge string, sent, received time.Time) edgeClock {
	out := edgeClock{received: received}
	c.mu.Lock()
	defer c.mu.Unlock()
	out.offset = c.offsets[edge]
	if sent.IsZero() {
		return out
	}
	out.skew, out.known = sent.Sub(received), true
	if (out.skew - out.offset).Abs() > offsetTolerance {
		out.offset = out.skew
		if out.offset.Abs() <= offsetTolerance {
			out.offset = 0
		}
		c.offsets[edge] = out.offset
	}
	return out
}
