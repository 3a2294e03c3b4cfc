package rules

import (
	"time"

	"gridpost/devices/payload"
)

const (
	// maxFrameGap is the longest time between two frames that counts as passed: beyond it
	// the camera was away, or its clock was set, and nothing is known of the time between.
	maxFrameGap = time.Minute

	// reordering is how far times may run backwards without a clock having been set.
	reordering = time.Second

	// A sensor's clock was set back when so many readings in a row are older than the newest one, over
	// so long at least, and their times advance as fast as they arrive. A burst of old readings,
	// which a gateway sends after an outage, does not do that.
	setBackReadings = 3
	setBackFor      = 2 * time.Second
	setBackDrift    = 10 // in parts of the time passed: one tenth
)

// clock adds up the time that passes between the times that it is shown. A clock that is set
// neither stops it nor makes it jump. Where times carry Go's monotonic reading, that counts.
type clock struct {
	maxStep time.Duration // longer steps count as nothing; 0: no limit
	started bool
	last    time.Time
	elapsed time.Duration
}

// at returns the clock's value at a time near the one that it was shown last.
func (c *clock) at(t time.Time) time.Duration {
	if !c.started {
		return c.elapsed
	}
	return c.elapsed + min(max(t.Sub(c.last), -maxAhead), maxAhead)
}

func (c *clock) advance(t time.Time) time.Duration {
	step := t.Sub(c.last)
	switch {
	case !c.started:
		c.started, c.last = true, t
	case step < 0 && step >= -reordering:
	case step < 0 || (c.maxStep > 0 && step > c.maxStep):
		c.last = t
	default:
		c.last = t
		c.elapsed += step
	}
	return c.elapsed
}

// order is a clock for readings, which may come late or twice: older ones are refused, until several
// in a row show that the sensor's clock was set back. A reading with Go's monotonic reading is dated by
// its arrival at this machine: it is in order by definition, whatever the wall clocks say. Other times
// count in whole milliseconds, in which they are stored. Between a reading of one kind and one of the other no
// more time counts than passed between their arrivals, because the wall clocks may have been set meanwhile: that of a
// machine without a battery is years behind until the network tells it the time.
//
// For the same reason a machine's clock that was wrong, before a restart too, must not make readings
// late that it dates right again: see bound.
type order struct {
	clock    clock
	own      time.Time // the newest time of the sensor's own clock; zero: none
	dated    bool      // the last reading was, by the sensor's own clock
	received time.Time // when the last reading was; zero: before a restart

	refused      int // in a row
	refusedOwn   time.Time
	refusedSince time.Time // refusedOwn and refusedSince are of the first one refused
}

// resume begins with a reading from before a restart. Nothing says how its time came about.
func (o *order) resume(t time.Time) {
	o.clock.started, o.clock.last, o.own = true, t, t
}

// bound returns the time before which a reading that arrives at received, and is dated by the sensor's own
// clock, is late; zero: none. What this machine's clock said is no bound any more after it has been set,
// nor is a time of the future: no reading of such a time is taken from a sensor, so that this machine's
// clock was wrong when it came.
func (o *order) bound(received time.Time) time.Time {
	last := o.clock.last
	if isArrival(last) && wasSet(last, received) {
		last = o.own
	}
	if last.After(received.Add(payload.MaxFuture)) {
		return time.Time{}
	}
	return last
}

// wasSet reports whether the machine's clock was set between two times that were read from it.
func wasSet(before, now time.Time) bool {
	byWall := now.Round(0).Sub(before.Round(0))
	return (byWall - now.Sub(before)).Abs() > reordering
}

func (o *order) accept(t, received time.Time) (time.Duration, bool) {
	if !isArrival(t) {
		t = milliseconds(t)
		if t.Before(o.bound(received)) && !o.setBack(t, received) {
			return o.clock.elapsed, false
		}
		o.own = t
	}
	if o.clock.started && t.Before(o.clock.last) {
		o.clock.last = t // a clock was set
	}
	o.refused = 0
	most := o.clock.elapsed + max(0, received.Sub(o.received))
	o.clock.advance(t)
	if dated := !isArrival(t); !o.received.IsZero() && dated != o.dated {
		o.clock.elapsed = min(o.clock.elapsed, most)
	}
	o.dated, o.received = !isArrival(t), received
	return o.clock.elapsed, true
}

// setBack notes a reading that is older than the newest one, and reports whether the sensor's clock was
// set back.
func (o *order) setBack(t, received time.Time) bool {
	if o.refused > 0 {
		own, passed := t.Sub(o.refusedOwn), received.Sub(o.refusedSince)
		if (own - passed).Abs() > max(reordering, passed/setBackDrift) {
			o.refused = 0
		}
	}
	if o.refused == 0 {
		o.refusedOwn, o.refusedSince = t, received
	}
	o.refused++
	return o.refused >= setBackReadings && received.Sub(o.refusedSince) >= setBackFor
}

// newer reports whether a time of the sensor's own clock is later than all before it.
func (o *order) newer(t, received time.Time) bool {
	return !o.clock.started || milliseconds(t).After(o.bound(received))
}

func milliseconds(t time.Time) time.Time { return t.Round(0).Truncate(time.Millisecond) }

// isArrival says whether t was read from this machine's clock.
func isArrival(t time.Time) bool { return t != t.Round(0) }
