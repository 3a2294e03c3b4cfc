package rules

import (
	"time"

	"gridpost/detection"
	"gridpost/detection/health"
)

// SampleJudge judges samples of a camera's frames.
type SampleJudge interface {
	// Sample takes a sample of the frame of a time. now is the time since the engine's first sample, step that since
	// the last one.
	Sample(now, step time.Duration, at time.Time, s *health.Sample) []detection.Incident
}

// MemoryJudge is a judge that learns something which a restart must not lose.
type MemoryJudge interface {
	// Memory returns what the judge has learned, nil if it is nothing yet.
	Memory() []byte

	// Revision grows when something has been learned that is worth saving at once.
	Revision() int

	// Remember takes over what a judge of the same rule has learned.
	Remember(data []byte) error
}

// ViewJudge is a judge that knows a camera's view.
type ViewJudge interface {
	// AcceptView makes what the camera shows the view that it is to show. It reports false if it is that already.
	AcceptView() bool
}

// Sample judges a sample of the frame of time at, which has passed its Check, and returns the alerts.
func (e *Engine) Sample(at time.Time, s *health.Sample) []detection.Incident {
	before := e.samples.elapsed
	now := e.samples.advance(at)
	var alerts []detection.Incident
	for i := range e.rules {
		r := &e.rules[i]
		if j, ok := r.judge.(SampleJudge); ok && r.shift.on {
			alerts = append(alerts, e.filter(r, j.Sample(now, now-before, at, s))...)
		}
	}
	return alerts
}

// SetClock notes whether a camera's clock is wrong, and by how much it is ahead, for the next ticks.
func (e *Engine) SetClock(verdict health.Verdict, ahead time.Duration) {
	e.clock, e.clockAhead = verdict, ahead
}

// AcceptView makes what the camera shows the view that it is to show, for all rules that know one. Their incidents
// close after their clear time. It reports false if nothing changes.
func (e *Engine) AcceptView() bool {
	changed := false
	for _, r := range e.rules {
		if j, ok := r.judge.(ViewJudge); ok && j.AcceptView() {
			changed = true
		}
	}
	return changed
}

// Revision grows when something has been learned that is worth saving at once.
func (e *Engine) Revision() (revision int) {
	for _, r := range e.rules {
		if j, ok := r.judge.(MemoryJudge); ok {
			revision += j.Revision()
		}
	}
	return revision
}

// Memory returns what the rules have learned, by their names.
func (e *Engine) Memory() map[string][]byte {
	learned := map[string][]byte{}
	for _, r := range e.rules {
		j, ok := r.judge.(MemoryJudge)
		if !ok {
			continue
		}
		if data := j.Memory(); data != nil {
			learned[r.spec.Name] = data
		}
	}
	return learned
}

// Remember takes over what the rules had learned when the edge stopped, by their names. It is called before the first
// sample. What is damaged, or of a rule that is gone, is forgotten, and learned anew; the rules' names are returned.
func (e *Engine) Remember(learned map[string][]byte) (damaged []string) {
	for name, data := range learned {
		r := find(e.rules, name)
		if r == nil {
			continue
		}
		if j, ok := r.judge.(MemoryJudge); ok && j.Remember(data) != nil {
			damaged = append(damaged, name)
		}
	}
	return damaged
}

// inheritMemory hands what a rule has learned to one of the same name with other terms.
func inheritMemory(old, next Judge) {
	from, learned := old.(MemoryJudge)
	to, learns := next.(MemoryJudge)
	if !learned || !learns {
		return
	}
	if data := from.Memory(); data != nil {
		_ = to.Remember(data) // a judge of another kind does not read it, and learns anew
	}
}
