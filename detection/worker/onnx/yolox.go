package onnx

import (
	"fmt"
	"math"
)

// yoloX reads the single output of a YOLOX model that was exported without its decoder: a row for each
// cell of three grids, with the box, the score of there being an object, and a score for each class.
type yoloX struct {
	w, h, classes int
}

func yoloXStrides() [3]int { return [3]int{8, 16, 32} }

// recogniseYOLOX reads YOLOX (github.com/Megvii-BaseDetection/YOLOX, models of version 0.1.1 and later,
// whose input is not normalised).
func recogniseYOLOX(s signature) (head, error) {
	if len(s.outputs) != 1 || s.outputs[0].Type != Float {
		return head{}, errOther
	}
	strides := yoloXStrides()
	shape := trimOnes(s.outputs[0].Shape, 2)
	if len(shape) != 2 || shape[0] != int64(cells(s.w, s.h, strides[:]...)) || shape[1] < 6 {
		return head{}, errOther
	}
	x := yoloX{s.w, s.h, int(shape[1]) - 5}
	if s.classes > 0 && s.classes != x.classes {
		return head{}, fmt.Errorf("it has %d classes where the labels name %d", x.classes, s.classes)
	}
	return head{
		classes: x.classes, decode: x.decode,
		prepare: preparation{deviation: [3]float32{1, 1, 1}, padding: paddingGray},
	}, nil
}

func (x yoloX) decode(outputs []values) ([]Object, error) {
	row := 5 + x.classes
	strides := yoloXStrides()
	all := outputs[0].floats
	if len(all) != cells(x.w, x.h, strides[:]...)*row {
		return nil, errSizes
	}
	var found []Object
	for _, stride := range strides {
		cols, rows := (x.w+stride-1)/stride, (x.h+stride-1)/stride
		for i := range cols * rows {
			cell := all[i*row : (i+1)*row]
			if !(cell[4] >= minScore) { // no class can be more likely than there being an object
				continue
			}
			class, score := argmax(cell[5:])
			if score *= min(float64(cell[4]), 1); score < minScore {
				continue
			}
			step := float64(stride)
			found = append(found, centred(class, score,
				(float64(cell[0])+float64(i%cols))*step, (float64(cell[1])+float64(i/cols))*step,
				math.Exp(float64(cell[2]))*step, math.Exp(float64(cell[3]))*step))
		}
		all = all[cols*rows*row:]
	}
	return found, nil
}
