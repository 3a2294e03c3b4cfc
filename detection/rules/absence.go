package rules

import (
	"slices"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules/param"
	"gridpost/devices"
)

// absenceKind opens an incident when nobody has been in an area for long, and closes it when somebody has been
// there again for the clear time.
func absenceKind() Kind {
	return Kind{
		Name:    detection.Absence,
		Devices: []devices.Kind{devices.Camera},
		Terms: func() Terms {
			return &absenceTerms{tracked: tracked{clear: defaultClear, classes: []string{person}}}
		},
		Title: called("nobody at the post"),
	}
}

type absenceTerms struct {
	tracked
	area detection.Polygon
	hold time.Duration // how long nobody must be there
}

func (t *absenceTerms) Params() []param.Param {
	return append(t.params(),
		param.Required("polygon", polygon(&t.area)),
		param.Required("for", param.Duration(&t.hold, shortestStay, param.Longest)))
}

func (t *absenceTerms) Check() error { return nil }

func (t *absenceTerms) Describe() Description {
	return Description{Detection: true, Classes: slices.Clone(t.classes), For: t.hold}
}

func (t *absenceTerms) Judge(o Opener) Judge {
	return &absence{absenceTerms: *t, ongoing: ongoing{opener: o, clear: t.clear}, newest: unset}
}

type absence struct {
	absenceTerms
	ongoing
	newest time.Duration // the last frame; unset: none yet, or none for so long that the time starts anew
	seen   time.Duration // when somebody was there last, or the first frame; later by the times without frames
}

// Frame implements FrameJudge. Times without frames are no absence: nobody could be seen.
func (a *absence) Frame(now time.Duration, at time.Time, tracks []detection.Track) []detection.Incident {
	a.frame(now)
	switch gap := now - a.newest; {
	case a.newest == unset:
		a.seen = now
	case gap > blindAfter:
		a.seen += gap
	}
	a.newest = now
	// One that is not detected in a frame counts where it was last, for as long as the tracker knows it.
	present := slices.ContainsFunc(tracks, func(tr detection.Track) bool { return a.within(a.area, tr) })
	if present {
		a.seen = now
	}
	var alerts []detection.Incident
	if !present && (a.open != nil || now-a.seen >= a.hold) {
		if opened := a.met(now, at); opened != nil {
			alerts = append(alerts, opened.Alert())
		}
	}
	return append(alerts, a.settle(now, at)...)
}

// Tick implements TickJudge.
func (a *absence) Tick(t Tick) []detection.Incident {
	if !a.blind(t) {
		return nil
	}
	a.newest = unset
	return a.abandon(t)
}
