package rules

import (
	"slices"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules/param"
	"gridpost/devices"
)

const (
	// stillSize and stillFloor are how far a box may move from where it began to stand: a part of its smaller
	// side, or a fraction of the frame, by which boxes tremble. What moves farther begins anew.
	stillSize  = 0.3
	stillFloor = 0.01
)

// vehicles are the classes of a rule about vehicles that names none.
func vehicles() []string { return []string{"car", "truck", "bus", "motorcycle"} }

// stoppedKind opens an incident when a vehicle has stood in an area for long.
func stoppedKind() Kind {
	return Kind{
		Name:    detection.Stopped,
		Devices: []devices.Kind{devices.Camera},
		Terms: func() Terms {
			return &stoppedTerms{tracked: tracked{clear: defaultClear, classes: vehicles()}, gap: unset}
		},
		Title: called("stopped vehicle"),
	}
}

type stoppedTerms struct {
	tracked
	area detection.Polygon
	hold time.Duration // how long it must stand
	gap  time.Duration // for how long it may be hidden meanwhile; unset: see gapOf
}

func (t *stoppedTerms) Params() []param.Param {
	return append(t.params(),
		param.Required("polygon", polygon(&t.area)),
		param.Required("for", param.Duration(&t.hold, shortestStay, param.Longest)),
		param.Optional("gap", param.Duration(&t.gap, 0, param.Longest)))
}

func (t *stoppedTerms) Check() error { return checkGap(t.gap, t.hold) }

func (t *stoppedTerms) Describe() Description {
	return Description{Detection: true, Classes: slices.Clone(t.classes), For: t.hold}
}

func (t *stoppedTerms) Judge(o Opener) Judge {
	gap := gapOf(t.gap, t.hold)
	return &stopped{stoppedTerms: *t, ongoing: ongoing{opener: o, clear: max(t.clear, gap)}, visits: newVisits(gap)}
}

type stopped struct {
	stoppedTerms
	ongoing
	visits visits
}

// Frame implements FrameJudge.
func (s *stopped) Frame(now time.Duration, at time.Time, tracks []detection.Track) []detection.Incident {
	s.frame(now)
	s.visits.frame(now, tracks)
	var alerts []detection.Incident
	for _, tr := range tracks {
		if !tr.Last.Equal(at) || !s.within(s.area, tr) {
			continue
		}
		v := s.visits.inside(now, at, tr)
		if v.stands(now, tr.Box) < s.hold {
			continue
		}
		alerts = append(alerts, s.metBy(now, at, tr, !v.counted)...)
		v.counted = true
	}
	alerts = append(alerts, s.settle(now, at)...)
	if s.open == nil {
		s.visits.uncount()
	}
	return alerts
}

// Tick implements TickJudge.
func (s *stopped) Tick(t Tick) []detection.Incident {
	if !s.blind(t) {
		return nil
	}
	s.visits.reset()
	return s.abandon(t)
}

// stands returns for how long an object has stood where its box is now. Feet and heads may tremble; the middle
// of the lower edge and the center must both stay.
func (v *visit) stands(now time.Duration, box detection.Box) time.Duration {
	reach := max(stillFloor, stillSize*min(v.stood.W, v.stood.H))
	if v.stood == (detection.Box{}) || v.stood.Foot().Distance(box.Foot()) > reach || v.stood.Center().Distance(box.Center()) > reach {
		v.stood, v.standing = box, now
	}
	return now - v.standing
}
