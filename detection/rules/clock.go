package rules

import "time"

const (
	// maxFrameGap is the longest time between two frames that counts as passed: beyond it
	// the camera was away, or its clock was set, and nothing is known of the time between.
	maxFrameGap = time.Minute

	// reordering is how far times may run backwards without a clock having been set.
	reordering = time.Second

	// stale is how many readings in a row must be older than the newest, until the newest is
	// taken for the wrong one.
	stale = 3
)

// clock adds up the time that passes between the times that it is shown. A clock that is set
// neither stops it nor makes it jump. Where times carry Go's monotonic reading, that counts.
type clock struct {
	maxStep time.Duration // longer steps count as nothing; 0: no limit
	started bool
	last    time.Time
	elapsed time.Duration
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

// order is a clock for readings, which may come late or twice: older ones are refused, until
// several in a row show that the sensor's clock was set back. A reading with Go's monotonic reading is
// dated by its arrival at this machine: it is in order by definition, whatever the wall clocks say.
type order struct {
	clock   clock
	strikes int
	late    time.Time // the last one refused
}

func (o *order) accept(t time.Time) (time.Duration, bool) {
	if isArrival(t) {
		o.strikes = 0
		if o.clock.started && t.Before(o.clock.last) { // this machine's clock or the sensor's was set
			o.clock.last = t
		}
		return o.clock.advance(t), true
	}
	if o.clock.started && t.Before(o.clock.last) {
		if o.strikes == 0 || !t.Before(o.late) {
			o.strikes++
		}
		o.late = t
		if o.strikes < stale {
			return o.clock.elapsed, false
		}
		o.clock.last = t
	}
	o.strikes = 0
	return o.clock.advance(t), true
}

// isArrival says whether t was read from this machine's clock.
func isArrival(t time.Time) bool { return t != t.Round(0) }
