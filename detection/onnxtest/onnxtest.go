// Package onnxtest makes small ONNX files for tests: models whose outputs are constants, so that it is
// known what their heads must read.
package onnxtest

import (
	"encoding/binary"
	"math"
)

// The element types, as numbered in onnx.proto (TensorProto.DataType).
const (
	Float int32 = 1
	Uint8 int32 = 2
	Int64 int32 = 7
)

// Tensor is an input or output as the file declares it. A dimension of -1 is not fixed.
type Tensor struct {
	Name  string
	Type  int32
	Shape []int64
}

// Constant is an output that does not depend on the input.
type Constant struct {
	Tensor
	Actual []int64   // the shape that it really has; nil: the declared one
	Floats []float32 // the elements, of floats or
	Ints   []int64   // of integers
}

// File returns the file of a model whose outputs are constants.
func File(inputs []Tensor, outputs []Constant, metadata map[string]string) []byte {
	var graph []byte
	for _, o := range outputs {
		weights := "weights of " + o.Name
		graph = append(graph, field(1, node("Identity", weights, o.Name))...)
		graph = append(graph, field(5, initializer(weights, o))...)
		graph = append(graph, field(12, valueInfo(o.Tensor))...)
	}
	for _, in := range inputs {
		graph = append(graph, field(11, valueInfo(in))...)
	}
	return model(graph, metadata)
}

// Identity returns the file of a model that returns its input t as the output "out".
func Identity(t Tensor) []byte {
	out := t
	out.Name = "out"
	return model(message(
		field(1, node("Identity", t.Name, out.Name)), field(11, valueInfo(t)), field(12, valueInfo(out)),
	), nil)
}

// Car returns the file of a model with the classes person, car and bicycle that sees a car in every frame,
// with a score of 0.6, in the box from (0.25, 0.5) to (0.5, 1) in fractions of the frame. It is of the SSD
// family, in Caffe's form, for 64 x 64 pixels.
func Car() []byte {
	rows := []float32{0, 2, 0.6, 0.25, 0.5, 0.5, 1, -1, 0, 0, 0, 0, 0, 0}
	return File([]Tensor{{"image", Float, []int64{1, 3, 64, 64}}},
		[]Constant{{Tensor: Tensor{"detection_out", Float, []int64{1, 1, 2, 7}}, Floats: rows}},
		map[string]string{"names": "{0: 'person', 1: 'car', 2: 'bicycle'}"})
}

// Protocol buffers, as far as these models need them (protobuf.dev, "Encoding"). The field numbers are those
// of onnx.proto.
func field(number int, body []byte) []byte {
	b := binary.AppendUvarint(nil, uint64(number)<<3|2)
	b = binary.AppendUvarint(b, uint64(len(body)))
	return append(b, body...)
}

func number(field int, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3), v)
}

func message(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// model is a ModelProto of IR version 8 and opset 13.
func model(graph []byte, metadata map[string]string) []byte {
	b := message(number(1, 8), field(7, message(graph, field(2, []byte("test")))), field(8, number(2, 13)))
	for key, value := range metadata {
		b = append(b, field(14, message(field(1, []byte(key)), field(2, []byte(value))))...)
	}
	return b
}

func node(operator, in, out string) []byte {
	return message(field(1, []byte(in)), field(2, []byte(out)), field(4, []byte(operator)))
}

// initializer is a TensorProto.
func initializer(name string, o Constant) []byte {
	shape := o.Actual
	if shape == nil {
		shape = o.Shape
	}
	var dims, raw []byte
	for _, d := range shape {
		dims = append(dims, number(1, uint64(d))...)
	}
	for _, v := range o.Floats {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	for _, v := range o.Ints {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return message(dims, number(2, uint64(o.Type)), field(8, []byte(name)), field(9, raw))
}

// valueInfo is a ValueInfoProto.
func valueInfo(t Tensor) []byte {
	var shape []byte
	for _, d := range t.Shape {
		dim := number(1, uint64(d))
		if d < 0 {
			dim = field(2, []byte("n"))
		}
		shape = append(shape, field(1, dim)...)
	}
	return message(field(1, []byte(t.Name)), field(2, field(1, message(number(1, uint64(t.Type)), field(2, shape)))))
}
