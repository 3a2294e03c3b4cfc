package onnx

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

const (
	minScore   = 0.35 // below it detections are mostly wrong
	maxOverlap = 0.5  // intersection over union above which two boxes of one class are one object
	maxObjects = 100  // in one frame
)

// Object is one detected object. The box is in fractions of the frame.
type Object struct {
	Class      int
	Score      float64
	X, Y, W, H float64
}

// head is one scale of a NanoDet model: on a grid of cells, a score for each class and, for each of
// a box's four sides, the likelihood of each distance from the cell.
type head struct {
	stride     int // pixels between cells
	cols, rows int
	scores     int // index of the output with cells x classes scores, 0..1
	boxes      int // index of the output with cells x 4*bins logits
}

// layout describes how to read a model's outputs.
type layout struct {
	classes, bins int
	heads         []head
}

// readLayout identifies the outputs by shape alone, for an input of w x h pixels, because exporters
// give them misleading names. Shapes have no leading ones. classes is the number of class names;
// 0: take it from the shapes.
func readLayout(shapes [][]int64, w, h, classes int) (layout, error) {
	type output struct{ index, cells, width int }
	groups := map[int][]output{}
	for i, s := range shapes {
		if len(s) != 2 || s[0] <= 0 || s[1] <= 0 || s[0] > 1<<20 || s[1] > 1<<16 {
			return layout{}, fmt.Errorf("output %d has shape %v; expected cells x classes or cells x 4*bins", i, s)
		}
		groups[int(s[0])] = append(groups[int(s[0])], output{i, int(s[0]), int(s[1])})
	}
	l := layout{classes: classes}
	for _, stride := range []int{8, 16, 32, 64} {
		cols, rows := (w+stride-1)/stride, (h+stride-1)/stride
		g, ok := groups[cols*rows]
		if !ok {
			continue
		}
		if len(g) != 2 {
			return layout{}, fmt.Errorf("%d outputs of %d cells; expected two, scores and boxes", len(g), cols*rows)
		}
		delete(groups, cols*rows)
		scores, boxes := g[0], g[1]
		if isBoxes(scores.width, classes) && !isBoxes(boxes.width, classes) {
			scores, boxes = boxes, scores
		}
		if !isBoxes(boxes.width, classes) {
			return layout{}, fmt.Errorf("outputs %d and %d wide; expected 4*bins for one, and as many as there are classes (%d) for the other",
				scores.width, boxes.width, classes)
		}
		if l.classes == 0 {
			l.classes = scores.width
		}
		if l.bins == 0 {
			l.bins = boxes.width / 4
		}
		if scores.width != l.classes || boxes.width != 4*l.bins {
			return layout{}, fmt.Errorf("the model has %d classes and boxes of %d bins a side, but %d and %d were expected",
				scores.width, boxes.width/4, l.classes, l.bins)
		}
		l.heads = append(l.heads, head{stride, cols, rows, scores.index, boxes.index})
	}
	if len(groups) > 0 || len(l.heads) == 0 {
		return layout{}, fmt.Errorf("outputs %v do not fit a NanoDet model for %dx%d pixels", shapes, w, h)
	}
	return l, nil
}

// isBoxes reports whether an output of this width can hold box distributions: four sides of 4 to
// 16 bins each, and not exactly one value per class.
func isBoxes(width, classes int) bool {
	return width%4 == 0 && width >= 16 && width <= 64 && width != classes
}

// read decodes the outputs into objects in pixels of the model's input, best score first, with
// overlapping boxes suppressed.
func (l layout) read(outputs [][]float32) ([]Object, error) {
	var found []Object
	for _, h := range l.heads {
		scores, boxes := outputs[h.scores], outputs[h.boxes]
		cells := h.cols * h.rows
		if len(scores) != cells*l.classes || len(boxes) != cells*4*l.bins {
			return nil, errors.New("reading the model's outputs: their sizes are not those declared")
		}
		for i := range cells {
			class, score := argmax(scores[i*l.classes : (i+1)*l.classes])
			if score < minScore {
				continue
			}
			x, y := float64((i%h.cols)*h.stride)+float64(h.stride-1)/2, float64((i/h.cols)*h.stride)+float64(h.stride-1)/2
			var side [4]float64 // left, top, right, bottom, from the center of the cell
			for k := range side {
				from := (i*4 + k) * l.bins
				side[k] = expectedValue(boxes[from:from+l.bins]) * float64(h.stride)
			}
			if math.IsNaN(side[0] + side[1] + side[2] + side[3]) {
				continue
			}
			found = append(found, Object{class, score, x - side[0], y - side[1], side[0] + side[2], side[1] + side[3]})
		}
	}
	return suppressOverlaps(found), nil
}

func argmax(scores []float32) (class int, score float64) {
	for i, s := range scores {
		if float64(s) > score { // never true for NaN
			class, score = i, float64(s)
		}
	}
	return class, min(score, 1)
}

// expectedValue returns the mean of the bin indices, weighted by the softmax of their logits
// (Generalized Focal Loss, arXiv 2006.04388, equation 5).
func expectedValue(logits []float32) float64 {
	top := slices.Max(logits)
	var sum, mean float64
	for i, v := range logits {
		e := math.Exp(float64(v - top))
		sum += e
		mean += e * float64(i)
	}
	return mean / sum
}

// suppressOverlaps is non-maximum suppression: it returns the best box of each group of overlapping
// boxes of one class, best score first, maxObjects at most.
func suppressOverlaps(found []Object) []Object {
	slices.SortStableFunc(found, func(a, b Object) int { return cmp.Compare(b.Score, a.Score) })
	var objects []Object
	for _, f := range found {
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
