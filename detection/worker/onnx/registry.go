package onnx

import (
	"errors"
	"fmt"
	"strings"
)

// heads are the families of models that can be read. A new family is a file with its head and a line
// here. They are tried in this order: those that are recognised by the names of their outputs stand
// before those that are recognised by shapes alone.
func heads() []family {
	return []family{
		{"SSD", recogniseSSD},
		{"DETR", recogniseDETR},
		{"NanoDet", recogniseNanoDet},
		{"YOLOX", recogniseYOLOX},
		{"YOLOv8", recogniseYOLOv8},
	}
}

// family is one kind of model.
type family struct {
	name string

	// recognise returns the head for a model, or errOther if the model is of another family. Any other
	// error means that the model is of this family but cannot be read.
	recognise func(signature) (head, error)
}

// errOther means that a model does not belong to a family.
var errOther = errors.New("the model is of another family")

// signature is what identifies a model's head.
type signature struct {
	w, h    int      // of the image input, pixels
	inputs  []Tensor // as declared, a batch of any size as 1
	outputs []Tensor // likewise
	classes int      // names in the labels; 0: not known
}

// output returns the output of a name, if there is one. Exporters differ in case.
func (s signature) output(names ...string) (int, bool) {
	for _, name := range names {
		for i, o := range s.outputs {
			if strings.EqualFold(o.Name, name) {
				return i, true
			}
		}
	}
	return 0, false
}

// head is how to use a model: how its input is filled and how its outputs are read.
type head struct {
	variant string // for people, where the family has several; may be empty
	classes int    // how many it distinguishes; 0: its outputs do not say
	first   int    // number of the first class; SSD models use 0 for the background
	prepare preparation

	// decode returns the objects in pixels of the model's input. Scores are 0..1. It gets one value for
	// each output and must not trust their sizes: they are what the model returned. Objects with a
	// score below minScore may be left out.
	decode func(outputs []values) ([]Object, error)

	// exclusive means that the model itself returns each object once, so that overlapping boxes of one
	// class are different objects.
	exclusive bool
}

// values are the elements of an output. Only the slice of the output's type is set.
type values struct {
	shape  []int64
	floats []float32
	ints   []int64
}

// recognise returns the head of a model and the name of its family.
func recognise(s signature) (head, string, error) {
	for _, f := range heads() {
		h, err := f.recognise(s)
		if errors.Is(err, errOther) {
			continue
		}
		if err != nil {
			return head{}, "", fmt.Errorf("it looks like %s, but %w", f.name, err)
		}
		if h.classes > maxClasses {
			return head{}, "", fmt.Errorf("it looks like %s, but has %d classes, more than %d", f.name, h.classes, maxClasses)
		}
		return h, strings.TrimSpace(f.name + " " + h.variant), nil
	}
	names := make([]string, 0, len(heads()))
	for _, f := range heads() {
		names = append(names, f.name)
	}
	described := make([]string, 0, len(s.outputs))
	for _, o := range s.outputs {
		described = append(described, o.String())
	}
	return head{}, "", fmt.Errorf("its outputs (%s) fit none of the known heads (%s) for an input of %dx%d pixels",
		strings.Join(described, ", "), strings.Join(names, ", "), s.w, s.h)
}

// maxClasses bounds the classes of a model: Objects365 has 365, OpenImages 601.
const maxClasses = 2048

// trimOnes returns a shape without leading ones, down to a number of dimensions.
func trimOnes(s []int64, rank int) []int64 {
	for len(s) > rank && s[0] == 1 {
		s = s[1:]
	}
	return s
}

// cells returns how many cells the grids of the strides have together for an input of w x h pixels.
func cells(w, h int, strides ...int) (n int) {
	for _, stride := range strides {
		n += ((w + stride - 1) / stride) * ((h + stride - 1) / stride)
	}
	return n
}

// errSizes means that a model returned other sizes than it declared.
var errSizes = errors.New("reading the model's outputs: their sizes are not those declared")
