package rules

import (
	"time"

	"gridpost/detection"
	"gridpost/devices"
)

// resumeAfter is how long after the first tick a condition from before a restart opens nothing by time
// alone: what brokers have kept meanwhile, which may end the condition, has to arrive first.
const resumeAfter = 10 * time.Second

// PendingJudge is a judge whose condition has to hold for some time before an incident opens.
type PendingJudge interface {
	// Pending returns the condition that holds, and has not opened an incident yet. now is the time
	// since the engine's first tick.
	Pending(now time.Duration) (detection.Pending, bool)

	// Begin notes that the newest reading, whose place is that of the present, was there before the
	// rule. It opens nothing by itself: the next tick or reading does.
	Begin(newest Arrival)

	// Resume takes over a condition that held before a restart, unless newest, the newest reading
	// of the device, contradicts it. newest is nil if there is none; the clock of readings starts
	// at it.
	Resume(p detection.Pending, newest *devices.Reading)
}

// Pending returns the conditions that hold and have not opened an incident yet, or one that is held back, in the
// order of the rules. They are what Resume takes over after a restart.
func (e *Engine) Pending() []detection.Pending {
	var all []detection.Pending
	for _, r := range e.rules {
		j, ok := r.judge.(PendingJudge)
		if !ok {
			continue
		}
		conditions := r.cooldown.pending(e.ticks.elapsed, r.spec.Terms.Describe().For)
		if p, ok := j.Pending(e.ticks.elapsed); ok {
			conditions = append(conditions, p)
		}
		for _, p := range conditions {
			p.Device, p.Rule, p.Kind = e.device, r.spec.Name, r.spec.Kind
			all = append(all, p)
		}
	}
	return all
}

// Resume takes over what was known of the device's readings when the edge stopped: the newest reading,
// or nil, and the conditions that held, with the time for which they have held by now. It is called
// after Restore, before anything else. Readings that are older than the newest one change nothing. A
// condition of a rule that is gone, of another kind or with another limit is forgotten.
func (e *Engine) Resume(newest *devices.Reading, pending []detection.Pending) {
	if newest != nil {
		known := *newest
		known.Time = milliseconds(known.Time)
		e.newest, e.known = known, true
		e.readings.resume(known.Time)
		newest = &known
	}
	for _, p := range pending {
		r := find(e.rules, p.Rule)
		if r == nil || p.Device != e.device || r.spec.Kind != p.Kind {
			continue
		}
		if j, ok := r.judge.(PendingJudge); ok {
			j.Resume(p, newest)
		}
	}
}

// begin lets rules that are new begin with the newest reading: a sensor that reports changes only may not
// send another one for long.
func (e *Engine) begin(old []rule) {
	for _, r := range e.rules {
		if before := find(old, r.spec.Name); r.shift.on && (before == nil || before.judge != r.judge) {
			e.beginOne(r)
		}
	}
}

// beginOne lets a rule that is new, or whose time has come, begin with the newest reading.
func (e *Engine) beginOne(r rule) {
	if j, ok := r.judge.(PendingJudge); ok && e.known && !e.newest.Retained {
		j.Begin(Arrival{Reading: e.newest, Dated: !isArrival(e.newest.Time), Measured: e.readings.clock.elapsed, Arrived: e.ticks.elapsed})
	}
}

// SetOffline says whether the device is known to be unreachable or silent for longer than it should be.
// While it is, nobody knows whether its last value still holds: time alone opens nothing by it, and
// does not count.
func (e *Engine) SetOffline(offline bool) { e.offline = offline }
