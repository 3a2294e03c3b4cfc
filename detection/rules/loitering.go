package rules

import (
	"time"

	"gridpost/detection"
	"gridpost/detection/rules/param"
	"gridpost/devices"
)

const (
	// shortestStay is the shortest time for which a document may let somebody loiter or something stand.
	shortestStay = time.Second

	// defaultGap is how long somebody may leave an area without having gone, or half of the rule's own time if
	// that is less.
	defaultGap = 5 * time.Second
)

// loiteringKind opens one incident when any object has stayed in an area for long. Unlike a zone it does not
// count who only passes through while another one stays, and leaving for a moment does not end a stay.
func loiteringKind() Kind {
	return Kind{
		Name:    detection.Loitering,
		Devices: []devices.Kind{devices.Camera},
		Terms:   func() Terms { return &loiteringTerms{tracked: tracked{clear: defaultClear}, gap: unset} },
		Title:   called("loitering"),
	}
}

type loiteringTerms struct {
	tracked
	area detection.Polygon
	hold time.Duration // how long one object must stay
	gap  time.Duration // for how long it may leave meanwhile; unset: see gapOf
}

func (t *loiteringTerms) Params() []param.Param {
	return append(t.params(),
		param.Required("polygon", polygon(&t.area)),
		param.Required("for", param.Duration(&t.hold, shortestStay, param.Longest)),
		param.Optional("gap", param.Duration(&t.gap, 0, param.Longest)))
}

func (t *loiteringTerms) Check() error { return checkGap(t.gap, t.hold) }

// gapOf returns the gap of a rule whose document may not give one.
func gapOf(given, hold time.Duration) time.Duration {
	if given != unset {
		return given
	}
	return min(defaultGap, hold/2)
}

// checkGap returns what is wrong with a gap that ends no stay of the length hold.
func checkGap(gap, hold time.Duration) error {
	if gap < hold {
		return nil
	}
	return &param.Error{Key: "gap", Expected: "a time shorter than for (" + hold.String() + ")"}
}

func (t *loiteringTerms) Describe() Description {
	return Description{Detection: true, Classes: t.classes, For: t.hold}
}

func (t *loiteringTerms) Judge(o Opener) Judge {
	gap := gapOf(t.gap, t.hold)
	return &loitering{loiteringTerms: *t, ongoing: ongoing{opener: o, clear: max(t.clear, gap)}, visits: newVisits(gap)}
}

type loitering struct {
	loiteringTerms
	ongoing
	visits visits
}

// Frame implements FrameJudge.
func (l *loitering) Frame(now time.Duration, at time.Time, tracks []detection.Track) []detection.Incident {
	l.frame(now)
	l.visits.frame(now, tracks)
	var alerts []detection.Incident
	for _, tr := range tracks {
		if !tr.Last.Equal(at) || !l.within(l.area, tr) {
			continue
		}
		v := l.visits.inside(now, at, tr)
		if now-v.since < l.hold {
			continue
		}
		alerts = append(alerts, l.metBy(now, at, tr, !v.counted)...)
		v.counted = true
	}
	alerts = append(alerts, l.settle(now, at)...)
	if l.open == nil {
		l.visits.uncount()
	}
	return alerts
}

// Tick implements TickJudge.
func (l *loitering) Tick(t Tick) []detection.Incident {
	if !l.blind(t) {
		return nil
	}
	l.visits.reset()
	return l.abandon(t)
}
