package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gridpost/detection"
	"gridpost/detection/health"
	"gridpost/detection/rules/param"
	"gridpost/devices"
)

const (
	shortestProblem = 2 * time.Second // that a document may name: samples come every second
	defaultProblem  = 30 * time.Second
	defaultGood     = 10 * time.Second // for which a problem must be gone
	defaultRelearn  = 12 * time.Hour
	defaultMove     = 0.04

	// maxSampleGap is the longest time between two samples that counts as passed.
	maxSampleGap = 10 * time.Second
)

// healthKind opens an incident for each problem of a camera's frames: see health.Problem, which is the incident's
// class. It says nothing of a camera that sends no frames at all: that is silence.
func healthKind() Kind {
	return Kind{
		Name:    detection.Health,
		Devices: []devices.Kind{devices.Camera},
		Terms: func() Terms {
			return &healthTerms{problems: health.Problems(), hold: defaultProblem, clear: defaultGood, tolerance: defaultMove, relearn: defaultRelearn}
		},
		// One rule looks for several problems: its own title does not say what has happened.
		Title: func(inc detection.Incident, n Names) string {
			return healthTitle(health.Problem(inc.Class)) + ": " + n.Device.Or(inc.Device)
		},
	}
}

func healthTitle(p health.Problem) string {
	switch p {
	case health.NoPicture:
		return "no picture"
	case health.Dark:
		return "camera dark"
	case health.Covered:
		return "camera covered"
	case health.Blurred:
		return "camera blurred"
	case health.Moved:
		return "camera moved"
	case health.Frozen:
		return "camera frozen"
	case health.Clock:
		return "camera clock wrong"
	}
	return "camera problem"
}

type healthTerms struct {
	problems  []health.Problem
	hold      time.Duration // how long a problem must last
	clear     time.Duration // how long it must be gone
	tolerance float64       // by which the view may move, as a fraction of the frame's width
	relearn   time.Duration // after which another view is the one that the camera is to show
}

func (t *healthTerms) Params() []param.Param {
	return []param.Param{
		param.Optional("problems", problems(&t.problems)),
		param.Optional("for", param.Duration(&t.hold, shortestProblem, param.Longest)),
		param.Optional("clear", param.Duration(&t.clear, shortestProblem, param.Longest)),
		param.Optional("tolerance", param.Number(&t.tolerance, 0.02, 0.3)),
		param.Optional("relearn", param.Duration(&t.relearn, time.Minute, param.Longest)),
	}
}

// problems reads a list of different problems, at least one.
func problems(dst *[]health.Problem) param.Reader {
	return func(v param.Value) bool {
		known := health.Problems()
		var names []string
		for _, p := range known {
			names = append(names, string(p))
		}
		expected := "different ones of " + strings.Join(names, ", ")
		var list []string
		if !param.Texts(&list, len(known))(v) {
			return false
		}
		var chosen []health.Problem
		for _, name := range list {
			p := health.Problem(name)
			if !slices.Contains(known, p) || slices.Contains(chosen, p) {
				v.Fail(expected, fmt.Sprintf("%q", name))
				return false
			}
			chosen = append(chosen, p)
		}
		if len(chosen) == 0 {
			v.Fail(expected, "none")
			return false
		}
		*dst = chosen
		return true
	}
}

func (t *healthTerms) Check() error { return nil }

func (t *healthTerms) Describe() Description {
	d := Description{Detection: true, For: t.hold}
	for _, p := range t.problems {
		d.Problems = append(d.Problems, string(p))
	}
	return d
}

func (t *healthTerms) Judge(o Opener) Judge {
	return &healthJudge{
		healthTerms: *t, opener: o,
		monitor: health.NewMonitor(health.Options{Tolerance: t.tolerance, Relearn: t.relearn}),
		states:  map[health.Problem]*problemState{},
	}
}

// healthJudge has at most one open incident for each problem.
type healthJudge struct {
	healthTerms
	opener  Opener
	monitor *health.Monitor
	states  map[health.Problem]*problemState
}

// problemState is what is known of one problem.
type problemState struct {
	last health.Verdict // of the last sample that could tell
	held time.Duration  // for how long samples have said so
	open *OpenIncident
}

// Open implements Judge.
func (j *healthJudge) Open() []detection.Incident {
	var open []detection.Incident
	for _, p := range j.problems {
		if s := j.states[p]; s != nil {
			open = append(open, openOf(s.open)...)
		}
	}
	return open
}

// Restore implements Judge.
func (j *healthJudge) Restore(inc detection.Incident) bool {
	p := health.Problem(inc.Class)
	if !slices.Contains(j.problems, p) || j.states[p] != nil && j.states[p].open != nil {
		return false
	}
	j.states[p] = &problemState{open: &OpenIncident{Incident: inc}}
	return true
}

// Sample implements SampleJudge.
func (j *healthJudge) Sample(now, step time.Duration, at time.Time, s *health.Sample) []detection.Incident {
	found := j.monitor.Judge(s, step)
	var alerts []detection.Incident
	for _, p := range j.problems {
		if p != health.Clock {
			alerts = append(alerts, j.judge(p, found.Verdicts[p], now, step, at, nil)...)
		}
	}
	return alerts
}

// Tick implements TickJudge. It judges the camera's clock.
func (j *healthJudge) Tick(t Tick) []detection.Incident {
	if !slices.Contains(j.problems, health.Clock) {
		return nil
	}
	ahead := t.ClockAhead.Seconds()
	return j.judge(health.Clock, t.Clock, t.Elapsed, t.Step, t.Now, &ahead)
}

// judge adds a verdict to what is known of a problem. A sample that cannot tell changes nothing: at night nobody knows
// whether a camera still is out of focus. value is what was measured, in seconds; nil: nothing was.
func (j *healthJudge) judge(p health.Problem, verdict health.Verdict, now, step time.Duration, at time.Time, value *float64) []detection.Incident {
	s := j.states[p]
	if s == nil {
		s = &problemState{}
		j.states[p] = s
	}
	if verdict == health.Unknown {
		return nil
	}
	if verdict == s.last {
		s.held += step
	} else {
		s.last, s.held = verdict, 0
	}
	if verdict == health.Absent {
		return j.gone(s, at)
	}
	alerts := j.seen(s, p, now, at)
	if len(alerts) > 0 && value != nil {
		s.open.Incident.Value, s.open.Incident.Unit = value, "s"
		alerts[0] = s.open.Alert()
	}
	return alerts
}

// seen opens the incident of a problem that has lasted for long enough.
func (j *healthJudge) seen(s *problemState, p health.Problem, now time.Duration, at time.Time) []detection.Incident {
	if s.open != nil {
		s.open.Touch(at)
		return nil
	}
	if s.held < j.hold {
		return nil
	}
	s.open = j.opener.Open(now, at)
	s.open.Incident.Class = string(p)
	return []detection.Incident{s.open.Alert()}
}

// gone closes the incident of a problem that has been gone for long enough.
func (j *healthJudge) gone(s *problemState, at time.Time) []detection.Incident {
	if s.open == nil || s.held < j.clear {
		return nil
	}
	inc := s.open.Close(at)
	s.open = nil
	return []detection.Incident{inc}
}

// Memory implements MemoryJudge.
func (j *healthJudge) Memory() []byte { return j.monitor.Memory() }

// Revision implements MemoryJudge.
func (j *healthJudge) Revision() int { return j.monitor.Revision() }

// Remember implements MemoryJudge.
func (j *healthJudge) Remember(data []byte) error { return j.monitor.Restore(data) }

// AcceptView implements ViewJudge.
func (j *healthJudge) AcceptView() bool { return j.monitor.Accept() }
