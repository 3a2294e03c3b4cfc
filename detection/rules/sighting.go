package rules

import (
	"fmt"
	"slices"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules/param"
	"gridpost/devices"
)

const (
	// Of the last so many looks so many must show the object, unless the document says otherwise.
	defaultSeen  = 3
	defaultLooks = 5

	// maxLooks is the most looks that count.
	maxLooks = 100

	// sightingClear is how long nothing must be seen before an incident closes, unless the document says
	// otherwise: smoke and flames come and go.
	sightingClear = 10 * time.Second
)

// sightingKind opens an incident when an object of certain classes, such as smoke or fire, is seen again and
// again. It judges detections rather than tracks: smoke has no shape that could be followed.
func sightingKind() Kind {
	return Kind{
		Name:    detection.Sighting,
		Devices: []devices.Kind{devices.Camera},
		Terms: func() Terms {
			return &sightingTerms{clear: sightingClear, seen: defaultSeen, looks: defaultLooks}
		},
		Title: titled(func(inc detection.Incident, n Names) string {
			return spaced(classOf(inc)) + " seen: " + n.Device.Or(inc.Device)
		}),
	}
}

type sightingTerms struct {
	classes  []string          // what counts
	area     detection.Polygon // where the middle of the box must be; empty: anywhere
	minSize  float64           // least area of the box as a fraction of the frame, 0..1
	minScore float64           // least score, 0..1
	seen     int               // how many of the last looks must show it, 1..looks
	looks    int               // how many looks count, 1..maxLooks
	clear    time.Duration     // how long nothing must be seen for the incident to be over
}

func (t *sightingTerms) Params() []param.Param {
	return []param.Param{
		param.Required("classes", param.Texts(&t.classes, maxClasses)),
		param.Optional("polygon", polygon(&t.area)),
		param.Optional("min_size", param.Number(&t.minSize, 0, 1)),
		param.Optional("min_score", param.Number(&t.minScore, 0, 1)),
		param.Optional("seen", param.Whole(&t.seen, 1, maxLooks)),
		param.Optional("looks", param.Whole(&t.looks, 1, maxLooks)),
		param.Optional("clear", param.Duration(&t.clear, shortestClear, param.Longest)),
	}
}

func (t *sightingTerms) Check() error {
	switch {
	case len(t.classes) == 0:
		return &param.Error{Key: "classes", Expected: "at least one class of the model"}
	case slices.Contains(t.classes, detection.Motion):
		return &param.Error{Key: "classes", Expected: "classes of the model, not " + detection.Motion}
	case t.seen > t.looks:
		return &param.Error{Key: "seen", Expected: fmt.Sprintf("a number not above looks (%d)", t.looks)}
	}
	return nil
}

func (t *sightingTerms) Describe() Description {
	return Description{Detection: true, Model: true, Classes: slices.Clone(t.classes)}
}

func (t *sightingTerms) Judge(o Opener) Judge {
	return &sighting{sightingTerms: *t, ongoing: ongoing{opener: o, clear: t.clear}}
}

type sighting struct {
	sightingTerms
	ongoing
	last []bool // whether each of the last looks showed it, oldest first, at most looks
}

// Detections implements DetectionJudge.
func (s *sighting) Detections(now time.Duration, at time.Time, found []detection.Detection) []detection.Incident {
	s.frame(now)
	best, shown := s.best(found)
	if s.last = append(s.last, shown); len(s.last) > s.looks {
		s.last = slices.Delete(s.last, 0, 1)
	}
	var alerts []detection.Incident
	switch {
	case !shown:
	case s.open != nil:
		s.met(now, at)
		s.open.Incident.Count++
		s.showBetter(best)
	case s.times() >= s.seen:
		s.met(now, at).Show(detection.Track{Class: best.Class, Score: best.Score, Box: best.Box})
		s.open.Incident.Count = s.times()
		alerts = append(alerts, s.open.Alert())
	}
	return append(alerts, s.settle(now, at)...)
}

// showBetter shows the detection that is most certain so far, where that is worth an alert.
func (s *sighting) showBetter(d detection.Detection) {
	const better = 0.1
	if inc := s.open.Incident; inc.Box == nil || d.Score >= inc.Score+better {
		s.open.Show(detection.Track{Class: d.Class, Score: d.Score, Box: d.Box})
		s.open.Changed()
	}
}

// best returns the most certain detection that counts, the first one on a tie.
func (s *sighting) best(found []detection.Detection) (best detection.Detection, ok bool) {
	for _, d := range found {
		if !slices.Contains(s.classes, d.Class) || !(d.Score >= s.minScore && d.Score <= 1) || !d.Box.Valid() || d.Box.Area() < s.minSize {
			continue
		}
		if len(s.area) > 0 && !s.area.Contains(d.Box.Center()) {
			continue
		}
		if !ok || d.Score > best.Score {
			best, ok = d, true
		}
	}
	return best, ok
}

// times returns how many of the last looks showed it.
func (s *sighting) times() int {
	n := 0
	for _, shown := range s.last {
		if shown {
			n++
		}
	}
	return n
}

// Tick implements TickJudge.
func (s *sighting) Tick(t Tick) []detection.Incident {
	if !s.blind(t) {
		return nil
	}
	s.last = nil
	return s.abandon(t)
}
