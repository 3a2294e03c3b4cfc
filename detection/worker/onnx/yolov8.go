package onnx

import "fmt"

// yoloV8 reads the single output of YOLOv8 and its successors with the same head: a column for each cell,
// with the centre and size of the box in pixels and a score for each class.
type yoloV8 struct{ cells, classes int }

// recogniseYOLOv8 reads YOLOv8, v9 and v11 (4 + classes rows, a column for each cell), and YOLOv10 and
// later models that suppress overlaps themselves (up to 1000 rows of corners, score and class).
func recogniseYOLOv8(s signature) (head, error) {
	if len(s.outputs) != 1 || s.outputs[0].Type != Float {
		return head{}, errOther
	}
	shape := trimOnes(s.outputs[0].Shape, 2)
	if len(shape) != 2 {
		return head{}, errOther
	}
	prepare := preparation{red: true, deviation: [3]float32{255, 255, 255}, padding: paddingGray}
	if shape[1] == 6 && shape[0] >= -1 && shape[0] != 0 && shape[0] <= 1000 {
		return head{variant: "with its own suppression", prepare: prepare, decode: decodeSuppressed, exclusive: true}, nil
	}
	n := cells(s.w, s.h, 8, 16, 32)
	if shape[1] != int64(n) || shape[0] < 5 {
		return head{}, errOther
	}
	y := yoloV8{n, int(shape[0]) - 4}
	if s.classes > 0 && s.classes != y.classes {
		return head{}, fmt.Errorf("it has %d classes where the labels name %d", y.classes, s.classes)
	}
	return head{classes: y.classes, prepare: prepare, decode: y.decode}, nil
}

func (y yoloV8) decode(outputs []values) ([]Object, error) {
	all := outputs[0].floats
	if len(all) != (4+y.classes)*y.cells {
		return nil, errSizes
	}
	// Row by row, because that is how they lie in memory.
	best, class := make([]float32, y.cells), make([]int, y.cells)
	for c := range y.classes {
		for i, score := range all[(4+c)*y.cells : (5+c)*y.cells] {
			if score > best[i] { // never true for NaN
				best[i], class[i] = score, c
			}
		}
	}
	var found []Object
	for i, score := range best {
		if score < minScore {
			continue
		}
		at := func(row int) float64 { return float64(all[row*y.cells+i]) }
		found = append(found, centred(class[i], min(float64(score), 1), at(0), at(1), at(2), at(3)))
	}
	return found, nil
}

// decodeSuppressed decodes rows of x0, y0, x1, y1 in pixels, score and class.
func decodeSuppressed(outputs []values) ([]Object, error) {
	all := outputs[0].floats
	if len(all)%6 != 0 {
		return nil, errSizes
	}
	var found []Object
	for ; len(all) > 0; all = all[6:] {
		class, ok := classNumber(float64(all[5]))
		if score := float64(all[4]); ok && score >= minScore {
			found = append(found, corners(class, min(score, 1), float64(all[0]), float64(all[1]), float64(all[2]), float64(all[3])))
		}
	}
	return found, nil
}

// classNumber returns a class that a model wrote as a number; false if it cannot be one.
func classNumber(v float64) (int, bool) {
	if !(v >= 0 && v < maxClasses) {
		return 0, false
	}
	return int(v + 0.5), true
}
