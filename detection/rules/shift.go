package rules

import (
	"time"

	"gridpost/detection"
	"gridpost/detection/rules/schedule"
)

// shift says whether a rule is active now.
type shift struct {
	hours *schedule.Hours // nil: always
	on    bool            // as of the last tick; false before the first one
	since time.Duration   // when it became active, by the clock of ticks
	begun bool            // it became active after the first tick: nothing from before counts
	ended bool            // what was open at the end of its time has been closed
}

// newShift returns the shift of a rule. A rule with a schedule is not active before the first tick.
func newShift(s *schedule.Schedule) (shift, error) {
	if s == nil {
		return shift{on: true}, nil
	}
	hours, err := s.Hours()
	return shift{hours: hours}, err
}

// changeShift makes a rule active or not as its schedule says at a tick, and returns the alerts that close what is
// open at the end of its time.
func (e *Engine) changeShift(r *rule, t Tick) []detection.Incident {
	s := &r.shift
	if s.hours == nil {
		return nil
	}
	active, ended := s.hours.At(t.Now)
	switch {
	case active && !s.on:
		s.on, s.ended, s.since, s.begun = true, false, t.Elapsed, t.Elapsed > 0
		if s.begun {
			e.beginOne(*r)
		}
	case !active && !s.ended:
		s.on, s.ended = false, true
		return e.endShift(r, t.Now, ended)
	}
	return nil
}

// endShift closes the open incidents of a rule at the moment when its time ended, and forgets what was pending, but not
// what was learned. An incident may be open although the rule was not active before: it is from before a restart.
func (e *Engine) endShift(r *rule, now, ended time.Time) []detection.Incident {
	open := r.judge.Open()
	last := r.judge
	r.judge = e.newJudge(r.spec)
	inheritMemory(last, r.judge)
	var alerts []detection.Incident
	for _, inc := range open {
		o, at := OpenIncident{Incident: inc}, ended
		if ended.Before(inc.Opened) { // a reload has given it another time
			at = now
		}
		alerts = append(alerts, o.Close(at))
	}
	return e.filter(r, alerts)
}

// tick returns t as a rule sees it that did not look before its time began.
func (s *shift) tick(t Tick) Tick {
	if s.begun {
		t.SinceFrame = min(t.SinceFrame, t.Elapsed-s.since)
		t.SinceActivity = min(t.SinceActivity, t.Elapsed-s.since)
	}
	return t
}
