package rules

import (
	"fmt"
	"math"
	"slices"
	"time"

	"gridpost/detection"
	"gridpost/devices"
)

// blindAfter is how much longer than its clear time a zone's incident stays open when no picture
// comes at all: a worker that lags or restarts is no reason to close it and to open another.
const blindAfter = 30 * time.Second

// maxAhead is how far a device's clock may be ahead of the machine's and still tell when a silence ended.
const maxAhead = time.Minute

// Engine holds the rules of one device. It is not safe for concurrent use.
type Engine struct {
	device   string
	rules    map[string]restorer
	zones    []*zone
	lines    []*line
	limits   []*threshold
	silences []*silence

	pictures clock // by the times of pictures
	ticks    clock // by the machine's clock
	readings order // by the times of readings

	// By the clock of ticks: when the device was last heard and its last picture came. What
	// comes between two ticks is put in its place at the second one.
	heard, picture       time.Duration
	newHeard, newPicture bool
	spoke                time.Time // when it was last heard, by its own time
}

// restorer takes over an incident that was open when the edge stopped.
type restorer interface {
	kind() detection.RuleKind
	restore(inc detection.Incident)
}

// NewEngine returns an Engine in which nothing is open. newID mints incident IDs. It refuses
// specs that Check refuses, and two of one name.
func NewEngine(device string, specs []Spec, newID func() string) (*Engine, error) {
	e := &Engine{device: device, rules: make(map[string]restorer, len(specs))}
	e.pictures.maxStep = maxPictureGap
	for _, s := range specs {
		if err := s.Check(); err != nil {
			return nil, fmt.Errorf("rule %q of %s: %w", s.Name, device, err)
		}
		if e.rules[s.Name] != nil {
			return nil, fmt.Errorf("rule %q of %s: name: used twice", s.Name, device)
		}
		s.Polygon, s.Line, s.Classes = slices.Clone(s.Polygon), slices.Clone(s.Line), slices.Clone(s.Classes)
		if s.Clear == 0 {
			s.Clear = DefaultClear
		}
		e.add(minter{device: device, spec: s, newID: newID})
	}
	return e, nil
}

func (e *Engine) add(m minter) {
	switch m.spec.Kind {
	case detection.Zone:
		z := newZone(m)
		e.zones, e.rules[m.spec.Name] = append(e.zones, z), z
	case detection.Line:
		l := newLine(m)
		e.lines, e.rules[m.spec.Name] = append(e.lines, l), l
	case detection.Above, detection.Below:
		t := newThreshold(m)
		e.limits, e.rules[m.spec.Name] = append(e.limits, t), t
	case detection.Silence:
		s := newSilence(m)
		e.silences, e.rules[m.spec.Name] = append(e.silences, s), s
	}
}

// Restore takes over the device's incidents that were open when the edge stopped, before anything
// else is called. Those of rules that are gone or of another kind now, and second ones where
// a rule has one at a time, would stay open for ever: they are returned as alerts, closed at the time given.
func (e *Engine) Restore(open []detection.Incident, at time.Time) []detection.Incident {
	var over []detection.Incident
	taken := map[string]bool{}
	for _, inc := range open {
		if inc.State != detection.Open || inc.Device != e.device {
			continue
		}
		r := e.rules[inc.Rule]
		if r == nil || r.kind() != inc.Kind || (taken[inc.Rule] && inc.Kind != detection.Line) {
			c := entry{inc: inc}
			over = append(over, c.close(at))
			continue
		}
		taken[inc.Rule] = true
		r.restore(inc)
	}
	return over
}

// Tracks judges what a tracker made of the picture of time at and returns the alerts. A track whose
// Last is not at is not seen in this picture.
func (e *Engine) Tracks(at time.Time, tracks []detection.Track) []detection.Incident {
	e.newPicture = true
	alerts := e.Activity(at)
	now := e.pictures.advance(at)
	for _, z := range e.zones {
		alerts = append(alerts, z.tracks(now, at, tracks)...)
	}
	for _, l := range e.lines {
		alerts = append(alerts, l.tracks(now, at, tracks)...)
	}
	return alerts
}

// Reading judges one reading and returns the alerts. A reading that is older than the last, whose
// quality is bad or whose value is not a finite number opens and closes nothing, but breaks a
// silence.
func (e *Engine) Reading(r devices.Reading) []detection.Incident {
	alerts := e.Activity(r.Time)
	if r.Quality == devices.Bad || math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
		return alerts
	}
	now, ok := e.readings.accept(r.Time)
	if !ok {
		return alerts
	}
	for _, l := range e.limits {
		alerts = append(alerts, l.reading(now, r)...)
	}
	return alerts
}

// Tick tells the machine's time, as time.Now returns it, and returns the alerts of rules that
// time alone opens or closes. It is to be called once at the start, and then every second or so:
// silence is measured by it, whatever the device's own clock says.
func (e *Engine) Tick(now time.Time) []detection.Incident {
	before, started := e.ticks.last, e.ticks.started
	clock := e.ticks.advance(now)
	if e.newPicture {
		e.newPicture, e.picture = false, clock
	}
	if e.newHeard {
		// It spoke since the last tick. Its own time says when exactly, if it can be right.
		e.newHeard, e.heard = false, clock
		if !e.spoke.After(now) && (!started || !e.spoke.Before(before)) {
			e.heard = clock - now.Sub(e.spoke)
		}
	}
	var alerts []detection.Incident
	for _, z := range e.zones {
		if clock-e.picture >= z.spec.Clear+blindAfter {
			alerts = append(alerts, z.blind(now)...)
		}
	}
	for _, l := range e.lines {
		alerts = append(alerts, l.tick(clock)...)
	}
	for _, s := range e.silences {
		alerts = append(alerts, s.tick(clock-e.heard, now)...)
	}
	return alerts
}

// Activity notes that the device gave a sign of life, whatever it said, and returns the alerts that end a silence.
// Tracks and Reading include it; a camera whose pictures nobody looks at needs it.
func (e *Engine) Activity(at time.Time) []detection.Incident {
	e.newHeard, e.spoke = true, at
	if e.ticks.started && at.After(e.ticks.last.Add(maxAhead)) {
		at = e.ticks.last
	}
	var alerts []detection.Incident
	for _, s := range e.silences {
		alerts = append(alerts, s.broken(at)...)
	}
	return alerts
}
