package rules

import (
	"fmt"
	"math"
	"reflect"
	"time"

	"gridpost/detection"
	"gridpost/detection/health"
	"gridpost/devices"
)

// maxAhead is how far a device's clock may be ahead of the machine's and still tell when a silence ended.
const maxAhead = time.Minute

// Engine holds the rules of one device. It is not safe for concurrent use.
type Engine struct {
	device string
	newID  func() string
	rules  []rule

	frames   clock // by the times of frames
	ticks    clock // by the machine's clock
	readings order // by the times of readings
	samples  clock // by the times of frames; those of tracks may be older, where a model runs

	// By the clock of ticks: when the last frame and the last sign of life came. What comes
	// between two ticks is attributed to the second one.
	frame, active       time.Duration
	newFrame, newActive bool
	activeAt            time.Time // the last sign of life, by the device's own time

	clock      health.Verdict // of a camera's clock; see SetClock
	clockAhead time.Duration

	newest  devices.Reading // that was judged
	known   bool            // there is one
	offline bool
}

// rule is a Spec at work.
type rule struct {
	spec     Spec
	judge    Judge
	cooldown cooldown
	shift    shift
}

// NewEngine returns an Engine without open incidents. newID returns a new incident ID with each
// call. It refuses specs that Check refuses, and two of one name; a document that was accepted
// has neither.
func NewEngine(device string, specs []Spec, newID func() string) (*Engine, error) {
	e := &Engine{device: device, newID: newID}
	e.frames.maxStep, e.samples.maxStep = maxFrameGap, maxSampleGap
	rules, err := e.prepare(specs)
	if err != nil {
		return nil, err
	}
	e.rules = rules
	return e, nil
}

// prepare makes the rules of specs without touching those of e.
func (e *Engine) prepare(specs []Spec) ([]rule, error) {
	rules := make([]rule, 0, len(specs))
	names := make(map[string]bool, len(specs))
	for _, s := range specs {
		if err := s.Check(); err != nil {
			return nil, fmt.Errorf("rule %q of %s: %w", s.Name, e.device, err)
		}
		if names[s.Name] {
			return nil, fmt.Errorf("rule %q of %s: name: used twice", s.Name, e.device)
		}
		names[s.Name] = true
		shift, err := newShift(s.Schedule)
		if err != nil {
			return nil, fmt.Errorf("rule %q of %s: %w", s.Name, e.device, err)
		}
		rules = append(rules, rule{
			spec: s, judge: e.newJudge(s), shift: shift,
			cooldown: cooldown{span: s.CoolDown, given: map[string]difference{}},
		})
	}
	return rules, nil
}

func (e *Engine) newJudge(s Spec) Judge {
	return s.Terms.Judge(Opener{device: e.device, spec: s, newID: e.newID})
}

func find(rules []rule, name string) *rule {
	for i := range rules {
		if rules[i].spec.Name == name {
			return &rules[i]
		}
	}
	return nil
}

// Open returns the incidents that are open, without those that are held back, in the order of the rules.
func (e *Engine) Open() []detection.Incident {
	var open []detection.Incident
	for _, r := range e.rules {
		open = append(open, r.cooldown.known(r.judge.Open())...)
	}
	return open
}

// Restore takes over the device's incidents that were open when the edge stopped, before anything
// else is called. Timers of clearing start anew, and those of conditions unless Resume follows. Incidents of other devices,
// and those that are not open, are ignored. Nothing would ever close an incident whose rule is
// gone or of another kind now, one that is damaged, and a second one of a rule that has one at a
// time: they are returned as alerts, closed at the time given. No incident affects another one.
func (e *Engine) Restore(open []detection.Incident, at time.Time) []detection.Incident {
	var closed []detection.Incident
	taken := make(map[string]bool, len(open))
	for _, inc := range open {
		if inc.State != detection.Open || inc.Device != e.device || inc.ID == "" || taken[inc.ID] {
			continue
		}
		taken[inc.ID] = true
		r := find(e.rules, inc.Rule)
		if r == nil || r.spec.Kind != inc.Kind || checkIncident(inc) != nil || !r.judge.Restore(inc) {
			o := OpenIncident{Incident: inc}
			o.Incident.Version = max(o.Incident.Version, 0)
			closed = append(closed, o.Close(at))
		}
	}
	return closed
}

// Reconfigure replaces the rules by those of specs, for a document that has been reloaded. A rule
// that has not changed goes on as if nothing had happened: its incidents stay open, and the timers
// of its condition and of its clearing run on. A rule of the same name and kind with other terms
// or severity keeps its open incidents, and its timers start anew: the time for which a condition must
// hold begins now if the newest reading meets it. The incidents of other rules
// are returned as alerts, closed at the time given. After an error nothing has changed.
//
// The IDs of tracks must go on being unique: keep the tracker, or call its Reset.
func (e *Engine) Reconfigure(specs []Spec, at time.Time) ([]detection.Incident, error) {
	next, err := e.prepare(specs)
	if err != nil {
		return nil, fmt.Errorf("changing the rules of %s: %w", e.device, err)
	}
	var open []detection.Incident
	for _, old := range e.rules {
		r := find(next, old.spec.Name)
		if r != nil && reflect.DeepEqual(r.spec, old.spec) {
			r.judge, r.cooldown, r.shift = old.judge, old.cooldown, old.shift
			continue
		}
		open = append(open, old.cooldown.known(old.judge.Open())...)
		if r != nil && r.spec.Kind == old.spec.Kind {
			inheritMemory(old.judge, r.judge)
			r.cooldown.inherit(e.ticks.elapsed, old.cooldown)
		}
	}
	old := e.rules
	e.rules = next
	closed := e.Restore(open, at)
	e.begin(old)
	return closed, nil
}

// Frame judges a frame and what a tracker made of it, and returns the alerts. A track whose Last is not the
// time of the frame was not detected in it.
func (e *Engine) Frame(f detection.Frame, tracks []detection.Track) []detection.Incident {
	e.newFrame = true
	alerts := e.Activity(f.Time)
	now := e.frames.advance(f.Time)
	for i := range e.rules {
		r := &e.rules[i]
		if !r.shift.on {
			continue
		}
		if j, ok := r.judge.(FrameJudge); ok {
			alerts = append(alerts, e.filter(r, j.Frame(now, f.Time, tracks))...)
		}
		if j, ok := r.judge.(DetectionJudge); ok {
			alerts = append(alerts, e.filter(r, j.Detections(now, f.Time, f.Detections))...)
		}
	}
	return alerts
}

// Reading judges one reading, which this machine received at a time as time.Now returned it, and
// returns the alerts.
//
// A reading that is older than the newest one, or the same again, that is historical, whose quality is
// bad, that is a text or whose value is not a finite number is only a sign of life. A retained one is none, because it
// may be of any age: it opens nothing, and it closes an incident only if its own time says that it is
// newer than all readings before it.
func (e *Engine) Reading(r devices.Reading, received time.Time) []detection.Incident {
	var alerts []detection.Incident
	switch {
	case r.Retained:
	case r.Historical:
		alerts = e.Activity(received)
	default:
		alerts = e.Activity(r.Time)
	}
	if r.Historical || r.Quality == devices.Bad || r.Text != "" || math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
		return alerts
	}
	a := Arrival{Reading: r, Dated: !isArrival(r.Time), Arrived: max(0, e.ticks.at(received))}
	if !r.Retained || a.Dated {
		if e.isNewest(r) || r.Retained && !e.readings.newer(r.Time, received) {
			return alerts
		}
		now, ok := e.readings.accept(r.Time, received)
		if !ok {
			return alerts
		}
		a.Measured, e.newest, e.known = now, r, true
	}
	for i := range e.rules {
		rule := &e.rules[i]
		if !rule.shift.on {
			continue
		}
		if j, ok := rule.judge.(RetainedJudge); ok && r.Retained {
			alerts = append(alerts, e.filter(rule, j.Retained(a))...)
		} else if j, ok := rule.judge.(ReadingJudge); ok && !r.Retained {
			alerts = append(alerts, e.filter(rule, j.Reading(a))...)
		}
	}
	return alerts
}

// isNewest reports whether r is the newest reading once more, as brokers and sensors repeat messages.
func (e *Engine) isNewest(r devices.Reading) bool {
	return e.known && !isArrival(r.Time) && r.Value == e.newest.Value && milliseconds(r.Time).Equal(milliseconds(e.newest.Time))
}

// Tick takes the machine's time, as time.Now returns it, and returns the alerts of rules that
// time alone opens or closes. It is to be called once at the start, and then every second or so:
// silence is measured by it, whatever the device's own clock says.
func (e *Engine) Tick(now time.Time) []detection.Incident {
	before, started, passed := e.ticks.last, e.ticks.started, e.ticks.elapsed
	clock := e.ticks.advance(now)
	if e.newFrame {
		e.newFrame, e.frame = false, clock
	}
	if e.newActive {
		// A sign of life came since the last tick. The device's own time says when exactly, if
		// it lies between the two ticks.
		e.newActive, e.active = false, clock
		if !e.activeAt.After(now) && (!started || !e.activeAt.Before(before)) {
			e.active = clock - now.Sub(e.activeAt)
		}
	}
	t := Tick{
		Now: now, Elapsed: clock, Step: clock - passed, Offline: e.offline,
		SinceFrame: clock - e.frame, SinceActivity: clock - e.active,
		Clock: e.clock, ClockAhead: e.clockAhead,
	}
	var alerts []detection.Incident
	for i := range e.rules {
		r := &e.rules[i]
		alerts = append(alerts, e.changeShift(r, t)...)
		if !r.shift.on {
			continue
		}
		if j, ok := r.judge.(TickJudge); ok {
			alerts = append(alerts, e.filter(r, j.Tick(r.shift.tick(t)))...)
		}
		alerts = append(alerts, r.cooldown.release(clock)...)
	}
	return alerts
}

// Activity notes a sign of life of the device, whatever it sent, and returns the alerts that end
// a silence. Frame and Reading include it; a camera without object detection needs it.
func (e *Engine) Activity(at time.Time) []detection.Incident {
	e.newActive, e.activeAt = true, at
	if e.ticks.started && at.After(e.ticks.last.Add(maxAhead)) {
		at = e.ticks.last
	}
	var alerts []detection.Incident
	for i := range e.rules {
		r := &e.rules[i]
		if j, ok := r.judge.(ActivityJudge); ok && r.shift.on {
			alerts = append(alerts, e.filter(r, j.Active(at))...)
		}
	}
	return alerts
}

// filter returns those of a rule's alerts that its cool-down lets pass.
func (e *Engine) filter(r *rule, alerts []detection.Incident) []detection.Incident {
	return r.cooldown.filter(e.ticks.elapsed, alerts)
}
