package onnx

// recogniseSSD reads models of the SSD family, which suppress overlaps themselves and number their
// classes from 1, because 0 is the background. Their exporters use four forms:
//
//   - TensorFlow: detection_boxes (y before x, fractions), detection_classes, detection_scores;
//   - ONNX model zoo: bboxes (fractions), labels, scores;
//   - torchvision: boxes (pixels), labels, scores;
//   - Caffe and OpenVINO: one output with rows of image, class, score and corners in fractions.
func recogniseSSD(s signature) (head, error) {
	if len(s.inputs) != 1 {
		return head{}, errOther
	}
	h := head{first: 1, exclusive: true}
	w, height := float64(s.w), float64(s.h)
	find := func(names ...string) (int, bool) { return s.output(names...) }
	boxes, ok := find("detection_boxes", "detection_boxes:0", "bboxes", "boxes")
	if !ok {
		return recogniseRows(s, h)
	}
	labels, ok1 := find("detection_classes", "detection_classes:0", "labels")
	scores, ok2 := find("detection_scores", "detection_scores:0", "scores")
	if !ok1 || !ok2 {
		return head{}, errOther
	}
	l := listed{labels: labels, boxes: boxes, scores: scores, x: w, y: height}
	switch s.outputs[boxes].Name {
	case "bboxes":
		h.variant, h.prepare = "of the ONNX model zoo", imageNetInput()
		h.prepare.stretch = true
	case "boxes":
		h.variant, h.prepare = "of torchvision", preparation{red: true, deviation: [3]float32{255, 255, 255}}
		l.x, l.y = 1, 1
	default:
		h.variant, h.prepare = "of TensorFlow", preparation{red: true, deviation: [3]float32{1, 1, 1}, stretch: true}
		l.swapped = true
	}
	if err := l.check(s); err != nil {
		return head{}, err
	}
	h.decode = l.decode
	return h, nil
}

// recogniseRows reads the form of Caffe's layer DetectionOutput.
func recogniseRows(s signature, h head) (head, error) {
	if len(s.outputs) != 1 || s.outputs[0].Type != Float {
		return head{}, errOther
	}
	shape := s.outputs[0].Shape
	if len(shape) != 4 || shape[0] != 1 || shape[1] != 1 || shape[3] != 7 {
		return head{}, errOther
	}
	w, height := float64(s.w), float64(s.h)
	h.variant = "of Caffe"
	// MobileNet-SSD's input: blue, green, red between -1 and 1.
	h.prepare = preparation{mean: [3]float32{127.5, 127.5, 127.5}, deviation: [3]float32{127.5, 127.5, 127.5}, stretch: true}
	h.decode = func(outputs []values) ([]Object, error) {
		all := outputs[0].floats
		if len(all)%7 != 0 {
			return nil, errSizes
		}
		var found []Object
		for ; len(all) > 0; all = all[7:] {
			if all[0] < 0 { // the end of the list
				break
			}
			class, ok := classNumber(float64(all[1]))
			if score := float64(all[2]); ok && score >= minScore {
				found = append(found, corners(class, min(score, 1),
					float64(all[3])*w, float64(all[4])*height, float64(all[5])*w, float64(all[6])*height))
			}
		}
		return found, nil
	}
	return h, nil
}
