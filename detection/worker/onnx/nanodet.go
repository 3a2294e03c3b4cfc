package onnx

import (
	"fmt"
	"math"
	"slices"
)

// The mean and standard deviation with which NanoDet's input is normalised: blue, green, red.
func nanoDetInput() preparation {
	return preparation{mean: [3]float32{103.53, 116.28, 123.675}, deviation: [3]float32{57.375, 57.12, 58.395}, padding: paddingMean}
}

// nanoDetScale is one scale of a NanoDet model: on a grid of cells, a score for each class and, for each
// of a box's four sides, the likelihood of each distance from the cell.
type nanoDetScale struct {
	stride     int // pixels between cells
	cols, rows int
	scores     int // index of the output with cells x classes scores, 0..1
	boxes      int // index of the output with cells x 4*bins logits
}

// nanoDet describes how to read a model's outputs. In NanoDet each scale has two outputs of its own; in
// NanoDet-Plus one output has a row for each cell of all scales, with scores and then distances.
type nanoDet struct {
	classes, bins int
	scales        []nanoDetScale
	plus          bool
}

// recogniseNanoDet reads NanoDet and NanoDet-Plus (github.com/RangiLyu/nanodet).
func recogniseNanoDet(s signature) (head, error) {
	var shapes [][]int64
	for _, o := range s.outputs {
		shape := trimOnes(o.Shape, 2)
		if o.Type != Float || len(shape) != 2 {
			return head{}, errOther
		}
		shapes = append(shapes, shape)
	}
	var n nanoDet
	var err error
	if len(shapes) == 1 {
		n, err = nanoDetPlus(shapes[0], s.w, s.h, s.classes)
	} else {
		n, err = nanoDetScales(shapes, s.w, s.h, s.classes)
	}
	if err != nil {
		return head{}, err
	}
	h := head{classes: n.classes, prepare: nanoDetInput(), decode: n.decode}
	if n.plus {
		h.variant = "Plus"
	}
	return h, nil
}

// nanoDetPlus identifies the single output of NanoDet-Plus, which has four scales.
func nanoDetPlus(shape []int64, w, h, classes int) (nanoDet, error) {
	strides := []int{8, 16, 32, 64}
	if shape[0] != int64(cells(w, h, strides...)) || shape[1] <= 16 || shape[1] > maxClasses {
		return nanoDet{}, errOther
	}
	const bins = 8
	n := nanoDet{classes: int(shape[1]) - 4*bins, bins: bins, plus: true}
	if classes > 0 && classes != n.classes {
		if rest := int(shape[1]) - classes; !isBoxes(rest, 0) {
			return nanoDet{}, fmt.Errorf("it has %d classes where the labels name %d", n.classes, classes)
		}
		n.classes, n.bins = classes, (int(shape[1])-classes)/4
	}
	if n.classes < 1 {
		return nanoDet{}, errOther
	}
	for _, stride := range strides {
		n.scales = append(n.scales, nanoDetScale{stride: stride, cols: (w + stride - 1) / stride, rows: (h + stride - 1) / stride})
	}
	return n, nil
}

// nanoDetScales identifies the outputs by shape alone, for an input of w x h pixels, because exporters
// give them misleading names. classes is the number of class names; 0: take it from the shapes.
func nanoDetScales(shapes [][]int64, w, h, classes int) (nanoDet, error) {
	type output struct{ index, cells, width int }
	groups := map[int][]output{}
	for i, s := range shapes {
		if s[0] <= 0 || s[1] <= 0 || s[0] > 1<<20 || s[1] > 1<<16 {
			return nanoDet{}, errOther
		}
		groups[int(s[0])] = append(groups[int(s[0])], output{i, int(s[0]), int(s[1])})
	}
	n := nanoDet{classes: classes}
	for _, stride := range []int{8, 16, 32, 64} {
		cols, rows := (w+stride-1)/stride, (h+stride-1)/stride
		g, ok := groups[cols*rows]
		if !ok {
			continue
		}
		if len(g) != 2 {
			return nanoDet{}, fmt.Errorf("it has %d outputs of %d cells instead of two, scores and boxes", len(g), cols*rows)
		}
		delete(groups, cols*rows)
		scores, boxes := g[0], g[1]
		if isBoxes(scores.width, classes) && !isBoxes(boxes.width, classes) {
			scores, boxes = boxes, scores
		}
		if !isBoxes(boxes.width, classes) {
			return nanoDet{}, fmt.Errorf("its outputs are %d and %d wide instead of 4*bins for one, and as many as there are classes (%d) for the other",
				scores.width, boxes.width, classes)
		}
		if n.classes == 0 {
			n.classes = scores.width
		}
		if n.bins == 0 {
			n.bins = boxes.width / 4
		}
		if scores.width != n.classes || boxes.width != 4*n.bins {
			return nanoDet{}, fmt.Errorf("it has %d classes and boxes of %d bins a side where %d and %d were expected",
				scores.width, boxes.width/4, n.classes, n.bins)
		}
		n.scales = append(n.scales, nanoDetScale{stride, cols, rows, scores.index, boxes.index})
	}
	if len(groups) > 0 || len(n.scales) == 0 {
		return nanoDet{}, errOther
	}
	return n, nil
}

// isBoxes reports whether an output of this width can hold box distributions: four sides of 4 to
// 16 bins each, and not exactly one value per class.
func isBoxes(width, classes int) bool {
	return width%4 == 0 && width >= 16 && width <= 64 && width != classes
}

// decode decodes the outputs.
func (n nanoDet) decode(outputs []values) ([]Object, error) {
	var found []Object
	row := n.classes + 4*n.bins // of NanoDet-Plus
	from := 0                   // its first row of a scale
	for _, s := range n.scales {
		count := s.cols * s.rows
		var scores, boxes []float32
		scoreStep, boxStep := n.classes, 4*n.bins
		if n.plus {
			all := outputs[0].floats
			if len(all) < (from+count)*row {
				return nil, errSizes
			}
			scores, boxes = all[from*row:(from+count)*row], all[from*row+n.classes:(from+count)*row]
			scoreStep, boxStep = row, row
			from += count
		} else {
			scores, boxes = outputs[s.scores].floats, outputs[s.boxes].floats
			if len(scores) != count*n.classes || len(boxes) != count*4*n.bins {
				return nil, errSizes
			}
		}
		for i := range count {
			class, score := argmax(scores[i*scoreStep : i*scoreStep+n.classes])
			if score < minScore {
				continue
			}
			found = append(found, n.object(s, i, class, score, boxes[i*boxStep:i*boxStep+4*n.bins]))
		}
	}
	return found, nil
}

// object decodes the box of a cell. NanoDet measures from the centre of a cell, NanoDet-Plus from its
// corner.
func (n nanoDet) object(s nanoDetScale, cell, class int, score float64, logits []float32) Object {
	offset := float64(s.stride-1) / 2
	if n.plus {
		offset = 0
	}
	x, y := float64((cell%s.cols)*s.stride)+offset, float64((cell/s.cols)*s.stride)+offset
	var side [4]float64 // left, top, right, bottom
	for k := range side {
		side[k] = expectedValue(logits[k*n.bins:(k+1)*n.bins]) * float64(s.stride)
	}
	return corners(class, score, x-side[0], y-side[1], x+side[2], y+side[3])
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
