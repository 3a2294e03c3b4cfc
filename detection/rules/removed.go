package rules

import (
	"slices"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules/param"
	"gridpost/devices"
)

const (
	// defaultSettled is how long an object must have stood to be missed when it is gone.
	defaultSettled = 30 * time.Second

	// hiding is the least part of an object's box that another object must cover to hide it.
	hiding = 0.3
)

// removedKind opens an incident when an object that has stood in an area is gone.
//
// Its limits are those of tracks. A model must know the class of the object and see it again and again: one that it
// loses for longer than for counts as gone, as everything does when it gets dark. Without a model only what came
// while the rule was active has a track. What stands there is learned anew after a restart of the edge.
func removedKind() Kind {
	return Kind{
		Name:    detection.ObjectRemoved,
		Devices: []devices.Kind{devices.Camera},
		Terms: func() Terms {
			return &removedTerms{tracked: tracked{clear: defaultClear, classes: luggage()}, settled: defaultSettled}
		},
		Title: called("object removed"),
	}
}

type removedTerms struct {
	tracked
	area    detection.Polygon
	settled time.Duration // how long it must have stood
	hold    time.Duration // how long its place must be empty
}

func (t *removedTerms) Params() []param.Param {
	return append(t.params(),
		param.Required("polygon", polygon(&t.area)),
		param.Required("for", param.Duration(&t.hold, shortestStay, param.Longest)),
		param.Optional("settled", param.Duration(&t.settled, shortestStay, param.Longest)))
}

func (t *removedTerms) Check() error { return nil }

func (t *removedTerms) Describe() Description {
	return Description{Detection: true, Classes: slices.Clone(t.classes), For: t.hold}
}

func (t *removedTerms) Judge(o Opener) Judge {
	return &removed{removedTerms: *t, ongoing: ongoing{opener: o, clear: t.clear}, visits: newVisits(t.hold)}
}

type removed struct {
	removedTerms
	ongoing
	visits visits
	stood  []exhibit // what has stood for long enough, oldest first, at most maxPlaces
}

// exhibit is an object that stands in the area.
type exhibit struct {
	track detection.Track // when it was seen there last
	empty time.Duration   // since when its place is empty, without the times when another object hid it
	frame time.Duration   // the frame before
}

// Frame implements FrameJudge. A removal is a moment: its incident is over after the clear time.
func (r *removed) Frame(now time.Duration, at time.Time, tracks []detection.Track) []detection.Incident {
	r.frame(now)
	r.visits.frame(now, tracks)
	for _, tr := range tracks {
		if !tr.Last.Equal(at) || !r.within(r.area, tr) {
			continue
		}
		v := r.visits.inside(now, at, tr)
		if v.stands(now, tr.Box) >= r.settled {
			r.note(now, tr)
		}
	}
	var alerts []detection.Incident
	kept := r.stood[:0]
	for _, e := range r.stood {
		step := now - e.frame
		e.frame = now
		switch {
		case r.isThere(e.track, tracks, at):
			e.empty = now
		case hidden(e.track, tracks) || step > blindAfter:
			e.empty += step
		}
		if now-e.empty < r.hold {
			kept = append(kept, e)
			continue
		}
		alerts = append(alerts, r.metBy(now, at, e.track, true)...)
	}
	r.stood = kept
	return append(alerts, r.settle(now, at)...)
}

// note remembers an object that has stood for long enough.
func (r *removed) note(now time.Duration, tr detection.Track) {
	i := slices.IndexFunc(r.stood, func(e exhibit) bool {
		return e.track.ID == tr.ID || e.track.Box.IoU(tr.Box) >= samePlace
	})
	if i >= 0 {
		r.stood[i].track = tr
		return
	}
	if len(r.stood) >= maxPlaces {
		r.stood = slices.Delete(r.stood, 0, 1)
	}
	r.stood = append(r.stood, exhibit{track: tr, empty: now, frame: now})
}

// isThere reports whether an object that stood is still in the area in the frame of time at: where it stood, or
// moved within the area.
func (r *removed) isThere(stood detection.Track, tracks []detection.Track, at time.Time) bool {
	return slices.ContainsFunc(tracks, func(tr detection.Track) bool {
		return tr.Last.Equal(at) && r.within(r.area, tr) && (tr.ID == stood.ID || tr.Box.IoU(stood.Box) >= samePlace)
	})
}

// hidden reports whether another object may hide one that stood, or its track was not detected only lately.
func hidden(stood detection.Track, tracks []detection.Track) bool {
	return slices.ContainsFunc(tracks, func(tr detection.Track) bool { return stood.Box.CoveredBy(tr.Box) >= hiding })
}

// Tick implements TickJudge.
func (r *removed) Tick(t Tick) []detection.Incident {
	if !r.blind(t) {
		return nil
	}
	r.visits.reset()
	r.stood = nil
	return r.abandon(t)
}
