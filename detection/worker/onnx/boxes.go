package onnx

import (
	"cmp"
	"math"
	"slices"
)

const (
	minScore   = 0.35 // below it detections are mostly wrong
	maxOverlap = 0.5  // intersection over union above which two boxes of one class are one object
	maxObjects = 100  // in one frame

	// maxCandidates bounds the boxes among which overlaps are searched: that takes time in proportion to
	// objects times candidates. The best ones are kept.
	maxCandidates = 2000
)

// Object is one detected object. The box is in fractions of the frame.
type Object struct {
	Class      int
	Score      float64
	X, Y, W, H float64
}

// corners returns an object whose box goes from (x0, y0) to (x1, y1).
func corners(class int, score, x0, y0, x1, y1 float64) Object {
	return Object{Class: class, Score: score, X: x0, Y: y0, W: x1 - x0, H: y1 - y0}
}

// centred returns an object whose box is w x h around (x, y).
func centred(class int, score, x, y, w, h float64) Object {
	return Object{Class: class, Score: score, X: x - w/2, Y: y - h/2, W: w, H: h}
}

// valid reports that the box is a box, and the score a score.
func (o Object) valid() bool {
	finite := !math.IsNaN(o.X+o.Y+o.W+o.H) && !math.IsInf(o.X+o.Y+o.W+o.H, 0)
	return finite && o.W > 0 && o.H > 0 && o.Score >= minScore
}

// argmax returns the largest of scores, and which it is. NaN counts as nothing.
func argmax(scores []float32) (class int, score float64) {
	best := float32(0)
	for i, s := range scores {
		if s > best { // never true for NaN
			class, best = i, s
		}
	}
	return class, min(float64(best), 1)
}

func sigmoid(v float64) float64 { return 1 / (1 + math.Exp(-v)) }

// largest returns the maxObjects best objects that are valid, best score first.
func largest(found []Object, most int) []Object {
	found = slices.DeleteFunc(found, func(o Object) bool { return !o.valid() })
	slices.SortStableFunc(found, func(a, b Object) int { return cmp.Compare(b.Score, a.Score) })
	return found[:min(len(found), most)]
}

// suppressOverlaps is non-maximum suppression: it returns the best box of each group of overlapping
// boxes of one class, best score first, maxObjects at most.
func suppressOverlaps(found []Object) []Object {
	var objects []Object
	for _, f := range largest(found, maxCandidates) {
		if len(objects) == maxObjects {
			break
		}
		if !slices.ContainsFunc(objects, func(k Object) bool { return k.Class == f.Class && overlap(k, f) > maxOverlap }) {
			objects = append(objects, f)
		}
	}
	return objects
}

// overlap returns the intersection over union of two boxes.
func overlap(a, b Object) float64 {
	w := min(a.X+a.W, b.X+b.W) - max(a.X, b.X)
	h := min(a.Y+a.H, b.Y+b.H) - max(a.Y, b.Y)
	if w <= 0 || h <= 0 {
		return 0
	}
	return w * h / (a.W*a.H + b.W*b.H - w*h)
}
