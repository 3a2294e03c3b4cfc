package onnx

import (
	"fmt"
	"math"
)

// recogniseDETR reads detection transformers, which return each object once, in two forms:
//
//   - D-FINE, RT-DETR and DEIM with their postprocessor: a second input with the size of the image, and
//     the outputs labels, boxes and scores;
//   - the raw form of DETR and its successors: the outputs logits and pred_boxes.
func recogniseDETR(s signature) (head, error) {
	if len(s.inputs) == 2 {
		return recognisePostprocessed(s)
	}
	logits, ok := s.output("logits", "pred_logits")
	boxes, too := s.output("pred_boxes")
	if !ok || !too {
		return head{}, errOther
	}
	ls, bs := trimOnes(s.outputs[logits].Shape, 2), trimOnes(s.outputs[boxes].Shape, 2)
	if len(ls) != 2 || len(bs) != 2 || s.outputs[logits].Type != Float || s.outputs[boxes].Type != Float ||
		bs[1] != 4 || ls[1] < 1 || ls[0] != bs[0] || ls[0] > 1<<16 {
		return head{}, fmt.Errorf("its outputs are %s and %s instead of queries x classes and queries x 4", s.outputs[logits], s.outputs[boxes])
	}
	d := detr{w: float64(s.w), h: float64(s.h), logits: logits, boxes: boxes, width: int(ls[1])}
	h := head{classes: d.width, exclusive: true, prepare: preparation{red: true, deviation: [3]float32{255, 255, 255}}}
	switch {
	case s.classes == d.width, s.classes == 0 && d.width == len(cocoNames):
		h.variant = "with a score for each class"
	case s.classes == d.width-1 && s.classes > 0:
		// DETR itself: a softmax over the classes and "no object", for an input that is normalised as for
		// ImageNet.
		d.softmax = true
		h.classes, h.variant, h.prepare = d.width-1, "with a class for nothing", imageNetInput()
	default:
		return head{}, fmt.Errorf("it has logits of %d classes and the labels name %d: name all of them, or all but the last one if that means no object", d.width, s.classes)
	}
	h.decode = d.decode
	return h, nil
}

// imageNetInput is red, green, blue, normalised by the mean and deviation of ImageNet.
func imageNetInput() preparation {
	return preparation{
		red: true, mean: [3]float32{123.675, 116.28, 103.53}, deviation: [3]float32{58.395, 57.12, 57.375}, padding: paddingMean,
	}
}

func recognisePostprocessed(s signature) (head, error) {
	size := s.inputs[1]
	if shape := trimOnes(size.Shape, 1); size.Type != Int64 || len(shape) != 1 || shape[0] != 2 {
		return head{}, fmt.Errorf("its second input is %s instead of a size, 1x2 of int64", size)
	}
	labels, ok1 := s.output("labels")
	boxes, ok2 := s.output("boxes")
	scores, ok3 := s.output("scores")
	if !ok1 || !ok2 || !ok3 || len(s.outputs) != 3 {
		return head{}, errOther
	}
	l := listed{labels: labels, boxes: boxes, scores: scores, x: 1, y: 1}
	if err := l.check(s); err != nil {
		return head{}, err
	}
	return head{
		variant: "with postprocessing", exclusive: true, decode: l.decode,
		prepare: preparation{red: true, deviation: [3]float32{255, 255, 255}, size: true},
	}, nil
}

// detr reads logits and centred boxes in fractions of the input.
type detr struct {
	w, h          float64
	logits, boxes int
	width         int // of a row of logits
	softmax       bool
}

func (d detr) decode(outputs []values) ([]Object, error) {
	logits, boxes := outputs[d.logits].floats, outputs[d.boxes].floats
	if len(logits)/d.width != len(boxes)/4 || len(logits)%d.width != 0 || len(boxes)%4 != 0 {
		return nil, errSizes
	}
	var found []Object
	for ; len(boxes) > 0; logits, boxes = logits[d.width:], boxes[4:] {
		class, score := d.best(logits[:d.width])
		if score < minScore {
			continue
		}
		found = append(found, centred(class, score,
			float64(boxes[0])*d.w, float64(boxes[1])*d.h, float64(boxes[2])*d.w, float64(boxes[3])*d.h))
	}
	return found, nil
}

// best returns the class with the largest logit and its score.
func (d detr) best(logits []float32) (class int, score float64) {
	top := float32(math.Inf(-1))
	candidates := logits
	if d.softmax {
		candidates = logits[:len(logits)-1]
	}
	for i, v := range candidates {
		if v > top { // never true for NaN
			class, top = i, v
		}
	}
	if !d.softmax {
		return class, sigmoid(float64(top))
	}
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v - top))
	}
	return class, 1 / sum // 0 or NaN where the logits are not numbers, which is no object
}

// listed reads three outputs with a row for each object: class, corners and score.
type listed struct {
	labels, boxes, scores int
	x, y                  float64 // pixels of the input for one unit of the boxes
	swapped               bool    // y before x
}

func (l listed) check(s signature) error {
	for _, i := range []int{l.boxes, l.scores} {
		if s.outputs[i].Type != Float {
			return fmt.Errorf("its output %s is not of float32", s.outputs[i])
		}
	}
	if t := s.outputs[l.labels].Type; t != Float && t != Int64 && t != Int32 {
		return fmt.Errorf("its output %s is neither of integers nor of float32", s.outputs[l.labels])
	}
	if b := s.outputs[l.boxes].Shape; b != nil && (len(b) == 0 || b[len(b)-1] != 4 && b[len(b)-1] != -1) {
		return fmt.Errorf("its output %s is not of boxes with four numbers each", s.outputs[l.boxes])
	}
	return nil
}

func (l listed) decode(outputs []values) ([]Object, error) {
	boxes, scores, labels := outputs[l.boxes].floats, outputs[l.scores].floats, outputs[l.labels]
	n := len(scores)
	if len(boxes) != 4*n || max(len(labels.floats), len(labels.ints)) != n {
		return nil, errSizes
	}
	var found []Object
	for i, s := range scores {
		score := min(float64(s), 1)
		if !(score >= minScore) {
			continue
		}
		var number float64
		if len(labels.ints) > 0 {
			number = float64(labels.ints[i])
		} else {
			number = float64(labels.floats[i])
		}
		class, ok := classNumber(number)
		if !ok {
			continue
		}
		b := boxes[4*i : 4*i+4]
		if l.swapped {
			b = []float32{b[1], b[0], b[3], b[2]}
		}
		found = append(found, corners(class, score, float64(b[0])*l.x, float64(b[1])*l.y, float64(b[2])*l.x, float64(b[3])*l.y))
	}
	return found, nil
}
