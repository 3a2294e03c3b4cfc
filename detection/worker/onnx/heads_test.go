package onnx

import (
	"math"
	"strings"
	"testing"
)

// example is a model of one of the forms of each head, with known outputs and the objects that they
// mean, in pixels of an input of 64 x 64.
type example struct {
	name    string // of head and variant
	inputs  []Tensor
	outputs []constant
	labels  []string
	want    []Object
}

func float(name string, floats []float32, shape ...int64) constant {
	return constant{Tensor: Tensor{name, Float, shape}, floats: floats}
}

func three() []string { return []string{"person", "car", "bicycle"} }

// grid64 has the cells of strides 8, 16 and 32 in 64 x 64 pixels: 64, 16 and 4.
const grid64 = 84

func nanoDetExample() example {
	outputs := []constant{}
	for _, n := range []int{64, 16, 4} {
		outputs = append(outputs, float("boxes", filled(n*32, 0), int64(n), 32), float("scores", filled(n*3, 0), int64(n), 3))
	}
	for i := range outputs {
		outputs[i].Name += string(rune('0' + i))
	}
	set := func(boxes, scores *constant, cell, class int, score float32, bins [4]int) {
		scores.floats[cell*3+class] = score
		for side, bin := range bins {
			boxes.floats[(cell*4+side)*8+bin] = 50 // almost certain
		}
	}
	set(&outputs[0], &outputs[1], 27, 2, 0.5, [4]int{1, 1, 1, 1}) // stride 8, column 3, row 3: centre 27.5
	set(&outputs[2], &outputs[3], 5, 0, 0.9, [4]int{1, 1, 2, 2})  // stride 16, column 1, row 1: centre 23.5
	set(&outputs[2], &outputs[3], 6, 0, 0.6, [4]int{2, 1, 1, 2})  // the same object, from the next cell
	outputs[1].floats[7*3] = float32(math.NaN())
	return example{
		name: "NanoDet", inputs: []Tensor{picture("image")}, outputs: outputs, labels: three(),
		want: []Object{corners(0, 0.9, 7.5, 7.5, 55.5, 55.5), corners(2, 0.5, 19.5, 19.5, 35.5, 35.5)},
	}
}

func nanoDetPlusExample() example {
	const row, rows = 3 + 32, grid64 + 1
	all := filled(rows*row, 0)
	cell := all[(64+5)*row:] // stride 16, column 1, row 1: corner 16
	cell[1] = 0.8
	for side, bin := range []int{1, 1, 2, 2} {
		cell[3+side*8+bin] = 50
	}
	return example{
		name: "NanoDet Plus", inputs: []Tensor{picture("data")}, outputs: []constant{float("output", all, 1, rows, row)}, labels: three(),
		want: []Object{corners(1, 0.8, 0, 0, 48, 48)},
	}
}

func yoloXExample() example {
	const row = 5 + 3
	all := filled(grid64*row, 0)
	copy(all[(64+5)*row:], []float32{0.5, 0.25, 1, 0, 0.9, 0, 1, 0}) // stride 16, column 1, row 1
	copy(all[(64+6)*row:], []float32{-0.5, 0.25, 1, 0, 0.8, 0, 1, 0})
	copy(all[3*row:], []float32{0, 0, 3, 3, 0.3, 1, 0, 0}) // nothing is there
	return example{
		name: "YOLOX", inputs: []Tensor{picture("images")}, outputs: []constant{float("output", all, 1, grid64, row)}, labels: three(),
		want: []Object{centred(1, 0.9, 24, 20, 16*math.E, 16)},
	}
}

func yoloV8Example() example {
	all := filled((4+3)*grid64, 0)
	set := func(cell int, column ...float32) {
		for i, v := range column {
			all[i*grid64+cell] = v
		}
	}
	set(10, 32, 30, 20, 10, 0, 0.2, 0.7)
	set(11, 33, 30, 20, 10, 0, 0.2, 0.6)
	set(83, 10, 50, 8, 12, 0.9, 0, 0)
	return example{
		name: "YOLOv8", inputs: []Tensor{picture("images")}, outputs: []constant{float("output0", all, 1, 7, grid64)}, labels: three(),
		want: []Object{centred(0, 0.9, 10, 50, 8, 12), centred(2, 0.7, 32, 30, 20, 10)},
	}
}

func yoloV10Example() example {
	return example{
		name: "YOLOv8 with its own suppression", inputs: []Tensor{picture("images")}, labels: three(),
		outputs: []constant{float("output0", []float32{1, 2, 30, 40, 0.9, 1, 2, 2, 30, 40, 0.8, 1, 0, 0, 9, 9, 0.1, 0}, 1, 3, 6)},
		want:    []Object{corners(1, 0.9, 1, 2, 30, 40), corners(1, 0.8, 2, 2, 30, 40)},
	}
}

func dFineExample() example {
	return example{
		name:   "DETR with postprocessing",
		inputs: []Tensor{{"images", Float, []int64{-1, 3, 64, 64}}, {"orig_target_sizes", Int64, []int64{-1, 2}}}, labels: three(),
		outputs: []constant{
			{Tensor: Tensor{"labels", Int64, []int64{-1, 3}}, actual: []int64{1, 3}, ints: []int64{1, 0, 7}},
			{Tensor: Tensor{"boxes", Float, []int64{-1, 3, 4}}, actual: []int64{1, 3, 4}, floats: []float32{1, 2, 30, 40, 5, 5, 9, 9, 20, 20, 60, 64}},
			{Tensor: Tensor{"scores", Float, []int64{-1, 3}}, actual: []int64{1, 3}, floats: []float32{0.9, 0.2, 0.8}},
		},
		want: []Object{corners(1, 0.9, 1, 2, 30, 40), corners(7, 0.8, 20, 20, 60, 64)},
	}
}

func detrExample(softmax bool) example {
	e := example{name: "DETR with a score for each class", inputs: []Tensor{picture("pixel_values")}, labels: three()}
	logits, width, score := []float32{-9, 2, -9, 5, -9, -9}, int64(3), sigmoid(2)
	want := []Object{centred(0, sigmoid(5), 32, 32, 16, 8), centred(1, score, 16, 32, 8, 64)}
	if softmax {
		e.name = "DETR with a class for nothing"
		logits, width = []float32{-9, 2, -9, 0, -9, -9, -9, 5}, 4
		want = []Object{centred(1, 1/(1+math.Exp(-2)+2*math.Exp(-11)), 16, 32, 8, 64)}
	}
	e.outputs = []constant{
		float("logits", logits, 1, 2, width),
		float("pred_boxes", []float32{0.25, 0.5, 0.125, 1, 0.5, 0.5, 0.25, 0.125}, 1, 2, 4),
	}
	e.want = want
	return e
}

func ssdExamples() []example {
	in := []Tensor{picture("image")}
	return []example{
		{
			name: "SSD of TensorFlow", inputs: []Tensor{{"image_tensor:0", Uint8, []int64{1, 64, 64, 3}}}, labels: three(),
			outputs: []constant{
				float("detection_boxes:0", []float32{0.25, 0.5, 0.75, 1, 0, 0, 1, 1}, 1, 2, 4),
				float("detection_classes:0", []float32{1, 3}, 1, 2),
				float("detection_scores:0", []float32{0.9, 0.1}, 1, 2),
				float("num_detections:0", []float32{2}, 1),
			},
			want: []Object{corners(1, 0.9, 32, 16, 64, 48)},
		},
		{
			name: "SSD of the ONNX model zoo", inputs: in, labels: append([]string{"__background__"}, three()...),
			outputs: []constant{
				{Tensor: Tensor{"bboxes", Float, []int64{1, -1, 4}}, actual: []int64{1, 1, 4}, floats: []float32{0.5, 0.25, 1, 0.75}},
				{Tensor: Tensor{"labels", Int64, []int64{1, -1}}, actual: []int64{1, 1}, ints: []int64{2}},
				{Tensor: Tensor{"scores", Float, []int64{1, -1}}, actual: []int64{1, 1}, floats: []float32{0.5}},
			},
			want: []Object{corners(2, 0.5, 32, 16, 64, 48)},
		},
		{
			name: "SSD of torchvision", inputs: in, labels: three(),
			outputs: []constant{
				{Tensor: Tensor{"boxes", Float, []int64{-1, 4}}, actual: []int64{2, 4}, floats: []float32{1, 2, 30, 40, 5, 5, 9, 9}},
				{Tensor: Tensor{"scores", Float, []int64{-1}}, actual: []int64{2}, floats: []float32{0.75, 0.5}},
				{Tensor: Tensor{"labels", Int64, []int64{-1}}, actual: []int64{2}, ints: []int64{3, 1}},
			},
			want: []Object{corners(3, 0.75, 1, 2, 30, 40), corners(1, 0.5, 5, 5, 9, 9)},
		},
		{
			name: "SSD of torchvision", inputs: in, labels: three(), // a frame without objects
			outputs: []constant{
				{Tensor: Tensor{"boxes", Float, []int64{-1, 4}}, actual: []int64{0, 4}},
				{Tensor: Tensor{"scores", Float, []int64{-1}}, actual: []int64{0}},
				{Tensor: Tensor{"labels", Int64, []int64{-1}}, actual: []int64{0}},
			},
		},
		{
			name: "SSD of Caffe", inputs: in, labels: three(),
			outputs: []constant{float("detection_out", []float32{0, 2, 0.6, 0.25, 0.5, 0.5, 1, -1, 0, 0, 0, 0, 0, 0}, 1, 1, 2, 7)},
			want:    []Object{corners(2, 0.6, 16, 32, 32, 64)},
		},
	}
}

func examples() []example {
	return append([]example{
		nanoDetExample(), nanoDetPlusExample(), yoloXExample(), yoloV8Example(), yoloV10Example(),
		dFineExample(), detrExample(false), detrExample(true),
	}, ssdExamples()...)
}

// Each form of each head is recognised and gives the objects that its outputs mean.
func TestHeads(t *testing.T) {
	needRuntime(t)
	tested := map[string]bool{}
	for _, e := range examples() {
		t.Run(e.name, func(t *testing.T) {
			labels := write(t, "labels.txt", []byte(strings.Join(e.labels, "\n")))
			m, err := openModel(write(t, "model.onnx", modelOf(e.inputs, e.outputs, nil)), labels)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := m.Close(); err != nil {
					t.Error(err)
				}
			}()
			tested[strings.Fields(m.Head())[0]] = true
			if m.Head() != e.name {
				t.Errorf("recognised as %s", m.Head())
			}
			if got := m.Labels(); strings.Join(got, " ") != strings.Join(three(), " ") {
				t.Errorf("labels %q", got)
			}
			for range 2 { // what one run leaves must not be in the next one's way
				found, err := m.Detect(make([]byte, 3*64*64), 64, 64)
				if err != nil {
					t.Fatal(err)
				}
				compare(t, found, e.want)
			}
		})
	}
	for _, f := range heads() {
		if !tested[f.name] {
			t.Errorf("no example of %s", f.name)
		}
	}
}

func compare(t *testing.T, found, want []Object) {
	t.Helper()
	if len(found) != len(want) {
		t.Fatalf("found %+v, want %+v", found, want)
	}
	for i, w := range want {
		x0, y0, x1, y1 := max(w.X, 0), max(w.Y, 0), min(w.X+w.W, 64), min(w.Y+w.H, 64)
		f := found[i]
		off := math.Abs(f.X*64-x0) + math.Abs(f.Y*64-y0) + math.Abs((f.X+f.W)*64-x1) + math.Abs((f.Y+f.H)*64-y1)
		if f.Class != w.Class || math.Abs(f.Score-w.Score) > 1e-4 || off > 0.1 {
			t.Errorf("found %+v, want %+v in 64ths", f, w)
		}
	}
}

// Whatever a model returns, decoding it must not panic, and must refuse sizes that were not declared.
func TestDecodersDoNotTrustSizes(t *testing.T) {
	for _, e := range examples() {
		s := signature{w: 64, h: 64, inputs: fixBatch(e.inputs, 1), classes: 3}
		for _, o := range e.outputs {
			s.outputs = append(s.outputs, fixBatch([]Tensor{o.Tensor}, 3)...)
		}
		h, _, err := recognise(s)
		if err != nil {
			t.Fatal(err)
		}
		for cut := range e.outputs {
			outputs := make([]values, len(e.outputs))
			for i, o := range e.outputs {
				outputs[i] = values{shape: o.Shape, floats: o.floats, ints: o.ints}
			}
			if n := len(outputs[cut].floats); n > 1 {
				outputs[cut].floats = outputs[cut].floats[:n-1]
			} else if n := len(outputs[cut].ints); n > 1 {
				outputs[cut].ints = outputs[cut].ints[:n-1]
			} else {
				continue
			}
			if found, err := h.decode(outputs); err == nil && !strings.HasPrefix(e.outputs[cut].Name, "num_") {
				t.Errorf("%s: output %d cut off was decoded as %+v", e.name, cut, found)
			}
		}
		for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), -1e30, 1e30} {
			outputs := make([]values, len(e.outputs))
			for i, o := range e.outputs {
				outputs[i] = values{shape: o.Shape, floats: filled(len(o.floats), v), ints: make([]int64, len(o.ints))}
				for j := range outputs[i].ints {
					outputs[i].ints[j] = math.MinInt64
				}
			}
			found, err := h.decode(outputs)
			if err != nil {
				t.Errorf("%s of %v: %v", e.name, v, err)
			}
			for _, o := range suppressOverlaps(found) {
				if !o.valid() || o.Score > 1 || o.Class < 0 || o.Class >= maxClasses {
					t.Errorf("%s of %v: %+v", e.name, v, o)
				}
			}
		}
	}
}

func nanodet(classes int64) [][]int64 {
	return [][]int64{{1600, 32}, {100, classes}, {400, classes}, {1600, classes}, {400, 32}, {100, 32}}
}

func floatOutputs(shapes ...[]int64) (out []Tensor) {
	for i, s := range shapes {
		out = append(out, Tensor{"out" + string(rune('0'+i)), Float, s})
	}
	return out
}

func TestUnsupportedShapesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		shapes  [][]int64
		classes int
		want    string
	}{
		"other labels":          {nanodet(80), 5, "80 classes and boxes of 8 bins a side where 5 and 8 were expected"},
		"ambiguous":             {nanodet(32), 32, "looks like NanoDet, but"},
		"an output missing":     {nanodet(80)[1:], 0, "looks like NanoDet, but"},
		"an output too many":    {append(nanodet(80), []int64{7, 7}), 0, `"out6": float32 7x7`},
		"three of one size":     {append(nanodet(80), []int64{1600, 80}), 0, "instead of two"},
		"unknown dimensions":    {[][]int64{{-1, 80}, {1600, 32}}, 0, `"out0": float32 ?x80`},
		"one number":            {[][]int64{{1000}}, 0, "fit none of the known heads"},
		"a classifier":          {[][]int64{{1, 1000}}, 0, "fit none of the known heads"},
		"scales that disagree":  {[][]int64{{1600, 80}, {1600, 32}, {400, 79}, {400, 32}}, 0, "were expected"},
		"absurdly many cells":   {[][]int64{{1 << 40, 80}}, 0, "fit none"},
		"nothing for the boxes": {[][]int64{{1600, 80}, {1600, 80}}, 80, "looks like NanoDet"},
		"YOLOX, other labels":   {[][]int64{{1, 2100, 85}}, 3, "it looks like YOLOX, but it has 80 classes where the labels name 3"},
		"YOLOv8, other labels":  {[][]int64{{1, 84, 2100}}, 3, "it looks like YOLOv8, but it has 80 classes where the labels name 3"},
		"too many classes":      {[][]int64{{1, 2100, 1 << 20}}, 0, "more than 2048"},
		"a mask":                {[][]int64{{1, 1, 320, 320}}, 0, "fit none"},
	} {
		h, family, err := recognise(signature{w: 320, h: 320, inputs: []Tensor{{"image", Float, []int64{1, 3, 320, 320}}}, outputs: floatOutputs(c.shapes...), classes: c.classes})
		if err == nil {
			t.Errorf("%s: read as %s %+v", name, family, h)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestNanoDetIsReadByShapeAlone(t *testing.T) {
	for _, classes := range []int{0, 80} {
		n, err := nanoDetScales(nanodet(80), 320, 320, classes)
		if err != nil {
			t.Fatal(err)
		}
		if n.classes != 80 || n.bins != 8 || len(n.scales) != 3 {
			t.Fatalf("%+v", n)
		}
		if s := n.scales[0]; s.stride != 8 || s.scores != 3 || s.boxes != 0 {
			t.Errorf("the finest scale is %+v", s)
		}
	}
	// As many classes as a box has numbers: only the labels distinguish them.
	if n, err := nanoDetScales(nanodet(20), 320, 320, 20); err != nil || n.classes != 20 {
		t.Errorf("20 classes: %+v, %v", n, err)
	}
}
