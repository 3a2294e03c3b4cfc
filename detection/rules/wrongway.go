package rules

import (
	"math"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules/param"
	"gridpost/devices"
)

const (
	// defaultWay is how far an object must move against the allowed direction, in fractions of the frame.
	defaultWay = 0.1

	// against is the least part of an object's whole way that must lead against the allowed direction: what
	// crosses the road at more than 60 degrees goes across it.
	against = 0.5

	// wayGap is for how long an object may not be detected, or be outside, without its way starting anew.
	wayGap = time.Second

	// bodily is the least part of the way of an object's foot that every side of its box must have moved as well:
	// a box that shrinks moves its foot, and not all of its sides.
	bodily = 0.4
)

// wrongWayKind opens an incident when an object moves against the direction that is allowed in an area.
func wrongWayKind() Kind {
	return Kind{
		Name:    detection.WrongWay,
		Devices: []devices.Kind{devices.Camera},
		Terms:   func() Terms { return &wrongWayTerms{tracked: tracked{clear: defaultClear}, way: defaultWay} },
		Title:   called("wrong way"),
	}
}

type wrongWayTerms struct {
	tracked
	area    detection.Polygon
	allowed detection.Segment // from A to B: the direction in which objects may move; its place does not matter
	way     float64           // how far an object must move against it, in fractions of the frame
}

func (t *wrongWayTerms) Params() []param.Param {
	return append(t.params(),
		param.Required("polygon", polygon(&t.area)),
		param.Required("allowed", segment(&t.allowed)),
		param.Optional("distance", param.Number(&t.way, 0.01, 1)))
}

func (t *wrongWayTerms) Check() error { return nil }

func (t *wrongWayTerms) Describe() Description {
	return Description{Detection: true, Classes: t.classes, Direction: directionOf(t.allowed)}
}

// directionOf returns the direction in which s leads mostly, as seen in the frame.
func directionOf(s detection.Segment) detection.Direction {
	x, y := s.B.X-s.A.X, s.B.Y-s.A.Y
	switch {
	case x >= max(y, -y):
		return detection.Right
	case -x >= max(y, -y):
		return detection.Left
	case y > 0:
		return detection.Down
	}
	return detection.Up
}

func (t *wrongWayTerms) Judge(o Opener) Judge {
	return &wrongWay{wrongWayTerms: *t, ongoing: ongoing{opener: o, clear: t.clear}, moves: map[uint64]*move{}}
}

type wrongWay struct {
	wrongWayTerms
	ongoing
	moves map[uint64]*move // by track, of those inside
}

// move is how an object has moved inside the area since it was farthest in the allowed direction.
type move struct {
	box     detection.Box // then
	counted bool          // it has moved the wrong way
	last    time.Duration // when it was inside
}

// Frame implements FrameJudge.
func (w *wrongWay) Frame(now time.Duration, at time.Time, tracks []detection.Track) []detection.Incident {
	w.frame(now)
	var alerts []detection.Incident
	for _, tr := range tracks {
		if !tr.Last.Equal(at) || !w.within(w.area, tr) {
			continue
		}
		if wrong, first := w.follow(now, tr); wrong {
			alerts = append(alerts, w.metBy(now, at, tr, first)...)
		}
	}
	for id, m := range w.moves {
		if now-m.last > wayGap || !known(tracks, id) {
			delete(w.moves, id)
		}
	}
	return append(alerts, w.settle(now, at)...)
}

// follow notes where tr is now. It reports whether it has just moved the wrong way, and whether it did so for the
// first time. The next time is after another such way.
func (w *wrongWay) follow(now time.Duration, tr detection.Track) (wrong, first bool) {
	m := w.moves[tr.ID]
	if m == nil {
		m = &move{box: tr.Box}
		w.moves[tr.ID] = m
	}
	m.last = now
	from, to := m.box.Foot(), tr.Box.Foot()
	back := -w.along(from, to)
	if back < 0 {
		m.box = tr.Box
		return false, false
	}
	if back < w.way || back < against*from.Distance(to) || w.sides(m.box, tr.Box) < bodily*back {
		return false, false
	}
	first = !m.counted
	m.box, m.counted = tr.Box, true
	return true, first
}

// sides returns how far all of a box has moved against the allowed direction: the least of its corners' ways.
func (w *wrongWay) sides(from, to detection.Box) float64 {
	least := math.Inf(1)
	for _, right := range []float64{0, 1} {
		for _, down := range []float64{0, 1} {
			a := detection.Point{X: from.X + right*from.W, Y: from.Y + down*from.H}
			b := detection.Point{X: to.X + right*to.W, Y: to.Y + down*to.H}
			least = min(least, -w.along(a, b))
		}
	}
	return least
}

// along returns how far the way from one point to another leads in the allowed direction; negative against it.
func (w *wrongWay) along(from, to detection.Point) float64 {
	d := w.allowed
	return ((to.X-from.X)*(d.B.X-d.A.X) + (to.Y-from.Y)*(d.B.Y-d.A.Y)) / d.Length()
}

// Tick implements TickJudge.
func (w *wrongWay) Tick(t Tick) []detection.Incident {
	if !w.blind(t) {
		return nil
	}
	clear(w.moves)
	return w.abandon(t)
}
