package onnx

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

const (
	leastScore = 0.35 // below it a model guesses
	mostShared = 0.5  // of the area of two boxes of one class together, above which they are one thing
	mostFound  = 100  // in one picture
)

// Found is one thing in a picture. The box is in fractions of the picture.
type Found struct {
	Class      int
	Score      float64
	X, Y, W, H float64
}

// head is one scale of a NanoDet model: on a grid of cells, a score for each class and, for each of
// a box's four sides, how likely each distance from the cell is.
type head struct {
	stride     int // pixels between cells
	cols, rows int
	scores     int // index of the output with cells x classes scores, 0..1
	boxes      int // index of the output with cells x 4*bins logits
}

// layout says how to read a model's outputs.
type layout struct {
	classes, bins int
	heads         []head
}

// readLayout finds out by shape alone which output is what, for a picture of w x h pixels:
// exporters give them misleading names. Shapes are without leading ones. classes is how many names
// there are; 0: find out.
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

// isBoxes reports whether an output so wide can hold box distributions: four sides of 4 to
// 16 bins each, and not just as many as there are classes.
func isBoxes(width, classes int) bool {
	return width%4 == 0 && width >= 16 && width <= 64 && width != classes
}

// read returns what the outputs say, in pixels of the model's picture, best first, without doubles.
func (l layout) read(outputs [][]float32) ([]Found, error) {
	var found []Found
	for _, h := range l.heads {
		scores, boxes := outputs[h.scores], outputs[h.boxes]
		cells := h.cols * h.rows
		if len(scores) != cells*l.classes || len(boxes) != cells*4*l.bins {
			return nil, errors.New("reading the model's outputs: not of the size that it promised")
		}
		for i := range cells {
			class, score := best(scores[i*l.classes : (i+1)*l.classes])
			if score < leastScore {
				continue
			}
			x, y := float64((i%h.cols)*h.stride)+float64(h.stride-1)/2, float64((i/h.cols)*h.stride)+float64(h.stride-1)/2
			var side [4]float64 // left, top, right, bottom, from the cell's middle
			for k := range side {
				from := (i*4 + k) * l.bins
				side[k] = expected(boxes[from:from+l.bins]) * float64(h.stride)
			}
			if math.IsNaN(side[0] + side[1] + side[2] + side[3]) {
				continue
			}
			found = append(found, Found{class, score, x - side[0], y - side[1], side[0] + side[2], side[1] + side[3]})
		}
	}
	return distinct(found), nil
}

func best(scores []float32) (class int, score float64) {
	for i, s := range scores {
		if float64(s) > score { // never true for what is not a number
			class, score = i, float64(s)
		}
	}
	return class, min(score, 1)
}

// expected returns the mean of the bins' numbers, weighed by the soft maximum of their logits
// (Generalized Focal Loss, arXiv 2006.04388, equation 5).
func expected(logits []float32) float64 {
	top := slices.Max(logits)
	var sum, mean float64
	for i, v := range logits {
		e := math.Exp(float64(v - top))
		sum += e
		mean += e * float64(i)
	}
	return mean / sum
}

// distinct returns the best of each group of boxes that show one thing, best first.
func distinct(found []Found) []Found {
	slices.SortStableFunc(found, func(a, b Found) int { return cmp.Compare(b.Score, a.Score) })
	var kept []Found
	for _, f := range found {
		if len(kept) == mostFound {
			break
		}
		if !slices.ContainsFunc(kept, func(k Found) bool { return k.Class == f.Class && shared(k, f) > mostShared }) {
			kept = append(kept, f)
		}
	}
	return kept
}

// shared returns the area in both boxes as a part of the area in either.
func shared(a, b Found) float64 {
	w := min(a.X+a.W, b.X+b.W) - max(a.X, b.X)
	h := min(a.Y+a.H, b.Y+b.H) - max(a.Y, b.Y)
	if w <= 0 || h <= 0 {
		return 0
	}
	return w * h / (a.W*a.H + b.W*b.H - w*h)
}
