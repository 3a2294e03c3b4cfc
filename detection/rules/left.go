package rules

import (
	"slices"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules/param"
	"gridpost/devices"
)

const (
	// sceneTime is how long after the first frame a rule learns what stands in its area anyway.
	sceneTime = 10 * time.Second

	// samePlace is the least IoU of two boxes at one place.
	samePlace = 0.5

	// maxPlaces bounds the places that a rule remembers. A tracker follows as many objects.
	maxPlaces = 64

	// nearby is how far around a person somebody may have put something down, in parts of the box's height.
	nearby = 0.5

	// recentFeet is how many of the last feet of a track tell whether it moves.
	recentFeet = 10
)

// luggage are the classes of a rule about objects that names none.
func luggage() []string { return []string{"backpack", "handbag", "suitcase"} }

// leftKind opens an incident when an object that was not there before stands in an area for long, with nobody
// near it.
//
// Its limits are those of tracks. A model must know the class of the object, and see it at its size in the frame.
// Without a model every object has the class motion: then somebody who stands still for long enough is taken for a
// thing that was left. What is carried away and put down again within the gap is the same object.
func leftKind() Kind {
	return Kind{
		Name:    detection.ObjectLeft,
		Devices: []devices.Kind{devices.Camera},
		Terms: func() Terms {
			return &leftTerms{tracked: tracked{clear: defaultClear, classes: luggage()}, gap: unset}
		},
		Title: called("object left"),
	}
}

type leftTerms struct {
	tracked
	area detection.Polygon
	hold time.Duration // how long it must stand with nobody near it
	gap  time.Duration // for how long it may be hidden meanwhile; unset: see gapOf
}

func (t *leftTerms) Params() []param.Param {
	return append(t.params(),
		param.Required("polygon", polygon(&t.area)),
		param.Required("for", param.Duration(&t.hold, shortestStay, param.Longest)),
		param.Optional("gap", param.Duration(&t.gap, 0, param.Longest)))
}

func (t *leftTerms) Check() error { return checkGap(t.gap, t.hold) }

func (t *leftTerms) Describe() Description {
	return Description{Detection: true, Classes: slices.Clone(t.classes), For: t.hold}
}

func (t *leftTerms) Judge(o Opener) Judge {
	gap := gapOf(t.gap, t.hold)
	return &left{leftTerms: *t, ongoing: ongoing{opener: o, clear: max(t.clear, gap)}, visits: newVisits(gap), began: unset}
}

type left struct {
	leftTerms
	ongoing
	visits visits
	scene  places        // where something stood from the beginning
	began  time.Duration // the first frame, or the first one after a long time without; unset: none yet
}

// Frame implements FrameJudge.
func (l *left) Frame(now time.Duration, at time.Time, tracks []detection.Track) []detection.Incident {
	l.frame(now)
	l.visits.frame(now, tracks)
	if l.began == unset {
		l.began = now
	}
	var alerts []detection.Incident
	for _, tr := range tracks {
		if !tr.Last.Equal(at) || !l.within(l.area, tr) {
			continue
		}
		v := l.visits.inside(now, at, tr)
		stands := v.stands(now, tr.Box)
		if now-l.began < sceneTime {
			l.scene.note(tr.Box)
		}
		if v.known = v.known || l.scene.knows(tr.Box); v.known {
			continue
		}
		if stands == 0 || attended(tr, tracks, at) {
			v.alone = now
		}
		if min(stands, now-v.alone) < l.hold {
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

// attended reports whether a person, or another object that moves, is near thing in the frame of time at.
func attended(thing detection.Track, tracks []detection.Track, at time.Time) bool {
	return slices.ContainsFunc(tracks, func(tr detection.Track) bool {
		if tr.ID == thing.ID || !tr.Last.Equal(at) || tr.Class != person && !moves(tr) {
			return false
		}
		reach := nearby * tr.Box.H
		around := detection.Box{X: tr.Box.X - reach, Y: tr.Box.Y - reach, W: tr.Box.W + 2*reach, H: tr.Box.H + 2*reach}
		return around.Intersection(thing.Box).Area() > 0
	})
}

// moves reports whether tr has moved lately.
func moves(tr detection.Track) bool {
	reach := max(stillFloor, stillSize*min(tr.Box.W, tr.Box.H))
	recent := tr.Trail[max(0, len(tr.Trail)-recentFeet):]
	return slices.ContainsFunc(recent, func(foot detection.Point) bool { return foot.Distance(tr.Box.Foot()) > reach })
}

// Tick implements TickJudge.
func (l *left) Tick(t Tick) []detection.Incident {
	if !l.blind(t) {
		return nil
	}
	l.visits.reset()
	l.began, l.scene = unset, nil
	return l.abandon(t)
}

// places are where objects stood from the beginning.
type places []detection.Box

// knows reports whether something stood at the place of box.
func (p places) knows(box detection.Box) bool {
	return slices.ContainsFunc(p, func(known detection.Box) bool { return known.IoU(box) >= samePlace })
}

// note remembers that something stands at the place of box.
func (p *places) note(box detection.Box) {
	if len(*p) < maxPlaces && !p.knows(box) {
		*p = append(*p, box)
	}
}
