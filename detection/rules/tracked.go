package rules

import (
	"fmt"
	"math"
	"slices"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules/param"
)

// defaultClear is how long a zone must be empty, or a crossing ago, before its incident closes.
const defaultClear = 3 * time.Second

// shortestClear is the shortest such time that a document may give.
const shortestClear = 100 * time.Millisecond

// maxClasses bounds the classes that a rule names.
const maxClasses = 100

// person is what models call people.
const person = "person"

// tracked are the terms that all rules about tracks have.
type tracked struct {
	classes []string      // what counts; empty: anything; see counts
	minSize float64       // least area of the box as a fraction of the frame, 0..1
	minTall perspective   // least height of the box, by where its foot is
	clear   time.Duration // how long the condition must be over
}

func (t *tracked) params() []param.Param {
	return []param.Param{
		param.Optional("classes", param.Texts(&t.classes, maxClasses)),
		param.Optional("min_size", param.Number(&t.minSize, 0, 1)),
		param.Optional("min_height", t.minTall.read),
		param.Optional("clear", param.Duration(&t.clear, shortestClear, param.Longest)),
	}
}

// counts reports whether the rule looks at tr. Without a model nothing is known of classes, and whatever moves counts.
// With one, a rule that names the class motion looks at everything that moves, whatever the model calls it.
func (t *tracked) counts(tr detection.Track) bool {
	switch {
	case len(t.classes) == 0, slices.Contains(t.classes, tr.Class):
		return true
	case !tr.Modelled:
		return tr.Class == detection.Motion
	}
	return tr.Moving && slices.Contains(t.classes, detection.Motion)
}

// within reports whether the rule counts tr, and its foot is in area.
func (t *tracked) within(area detection.Polygon, tr detection.Track) bool {
	return t.counts(tr) && tr.Box.Area() >= t.minSize && t.minTall.allows(tr.Box) && holds(area, tr.Box)
}

// points reads a list of [x, y] in fractions of the frame.
func points(dst *[]detection.Point, limit int) param.Reader {
	return func(v param.Value) bool {
		var list []detection.Point
		valid := true
		ok := v.Items(limit, func(item param.Value) {
			var p detection.Point
			valid = point(&p)(item) && valid
			list = append(list, p)
		})
		if !ok || !valid {
			return false
		}
		*dst = list
		return true
	}
}

func point(dst *detection.Point) param.Reader {
	return func(v param.Value) bool {
		xy := [2]float64{math.NaN(), math.NaN()}
		n, valid := 0, true
		if !v.Items(len(xy), func(item param.Value) {
			valid = param.Number(&xy[n], 0, 1)(item) && valid
			n++
		}) {
			return false
		}
		if n < len(xy) {
			v.Fail("a point [x, y]", fmt.Sprintf("a list of %d", n))
			return false
		}
		if valid {
			*dst = detection.Point{X: xy[0], Y: xy[1]}
		}
		return valid
	}
}

// polygon reads the corners of an area.
func polygon(dst *detection.Polygon) param.Reader {
	return func(v param.Value) bool {
		var corners []detection.Point
		if !points(&corners, detection.MaxCorners)(v) {
			return false
		}
		if len(corners) < detection.MinCorners {
			v.Fail(fmt.Sprintf("a polygon of %d to %d points", detection.MinCorners, detection.MaxCorners), fmt.Sprint(len(corners)))
			return false
		}
		if err := detection.Polygon(corners).Check(); err != nil {
			v.Fail("a polygon that does not cross or touch itself", err.Error())
			return false
		}
		*dst = corners
		return true
	}
}

// segment reads the two ends of a line.
func segment(dst *detection.Segment) param.Reader {
	return func(v param.Value) bool {
		var ends []detection.Point
		if !points(&ends, 2)(v) {
			return false
		}
		if len(ends) != 2 {
			v.Fail("two points [[x, y], [x, y]]", fmt.Sprint(len(ends)))
			return false
		}
		s := detection.Segment{A: ends[0], B: ends[1]}
		if !(s.Length() > 0) { // different points may be too close for the length to differ from zero
			v.Fail("two different points", "the same point twice")
			return false
		}
		*dst = s
		return true
	}
}

// known reports whether a track of that ID is among tracks.
func known(tracks []detection.Track, id uint64) bool {
	return slices.ContainsFunc(tracks, func(tr detection.Track) bool { return tr.ID == id })
}
