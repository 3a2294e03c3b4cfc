package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Tensor describes an input or an output of a model.
type Tensor struct {
	Name  string
	Type  ElementType
	Shape []int64 // -1: not fixed; nil: the file does not say
}

func (t Tensor) String() string { return fmt.Sprintf("%q: %s %s", t.Name, t.Type, dims(t.Shape)) }

// dims formats a shape as people write it: 1x3x320x320.
func dims(shape []int64) string {
	if shape == nil {
		return "of unknown shape"
	}
	text := ""
	for i, d := range shape {
		if i > 0 {
			text += "x"
		}
		if d < 0 {
			text += "?"
		} else {
			text += fmt.Sprint(d)
		}
	}
	if text == "" {
		return "scalar"
	}
	return text
}

// ElementType is the type of a tensor's elements, as numbered in onnx.proto (TensorProto.DataType).
type ElementType int32

// The element types that heads can read.
const (
	Float ElementType = 1
	Uint8 ElementType = 2
	Int32 ElementType = 6
	Int64 ElementType = 7
)

func (t ElementType) String() string {
	names := [...]string{1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool", 10: "float16", 11: "float64"}
	if t > 0 && int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("type %d", int32(t))
}

// description is what an ONNX file declares about its model.
type description struct {
	inputs, outputs []Tensor
	metadata        map[string]string
}

const (
	maxTensors   = 64      // inputs, or outputs, of a model
	maxRank      = 8       // dimensions of a tensor
	maxNameBytes = 256     // of a tensor's name
	maxMetadata  = 1 << 20 // bytes of one value
)

var (
	errNotONNX = errors.New("it is not an ONNX file")
	errTooMany = fmt.Errorf("it declares more than %d inputs or outputs", maxTensors)
)

// describe reads the description of a model from an ONNX file, without native code: a protocol buffer
// of which only the declared inputs and outputs and the metadata are looked at (onnx.proto, ModelProto).
// Memory is bounded by the limits above, whatever the file says.
func describe(file []byte) (description, error) {
	d := description{metadata: map[string]string{}}
	graph := []byte(nil)
	err := eachField(file, func(number int, _ uint64, body []byte) error {
		switch number {
		case 7: // ModelProto.graph
			graph = body
		case 14: // ModelProto.metadata_props
			key, value, err := readEntry(body)
			if err == nil && key != "" && len(d.metadata) < maxTensors {
				d.metadata[key] = value
			}
			return err
		}
		return nil
	})
	if err != nil {
		return description{}, fmt.Errorf("%w: %w", errNotONNX, err)
	}
	if len(graph) == 0 {
		return description{}, errNotONNX
	}
	return d, d.readGraph(graph)
}

// readGraph reads a GraphProto.
func (d *description) readGraph(graph []byte) error {
	weights := map[string]bool{} // files of IR versions below 4 list them among the inputs
	var inputs []Tensor
	err := eachField(graph, func(number int, _ uint64, body []byte) error {
		switch number {
		case 5: // initializer, a TensorProto
			name, err := readString(body, 8)
			if err == nil && len(name) <= maxNameBytes {
				weights[name] = true
			}
			return err
		case 11, 12: // input, output
			t, err := readValueInfo(body)
			if err != nil {
				return err
			}
			list := &inputs
			if number == 12 {
				list = &d.outputs
			}
			if len(*list) >= 1<<16 || number == 12 && len(*list) >= maxTensors {
				return errTooMany
			}
			*list = append(*list, t)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errNotONNX, err)
	}
	for _, t := range inputs {
		if weights[t.Name] {
			continue
		}
		if len(d.inputs) == maxTensors {
			return errTooMany
		}
		d.inputs = append(d.inputs, t)
	}
	return nil
}

// readValueInfo reads a ValueInfoProto. Values that are no tensors get type 0.
func readValueInfo(b []byte) (t Tensor, err error) {
	var tensor []byte
	err = eachField(b, func(number int, _ uint64, body []byte) error {
		switch number {
		case 1: // name
			if len(body) > maxNameBytes {
				return errors.New("a name is too long")
			}
			t.Name = string(body)
		case 2: // type
			return eachField(body, func(number int, _ uint64, body []byte) error {
				if number == 1 { // tensor_type
					tensor = body
				}
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return t, err
	}
	err = eachField(tensor, func(number int, v uint64, body []byte) error {
		switch number {
		case 1: // elem_type
			if v <= math.MaxInt32 {
				t.Type = ElementType(v)
			}
		case 2: // shape
			t.Shape = []int64{}
			return eachField(body, func(number int, _ uint64, body []byte) error {
				if number != 1 { // dim
					return nil
				}
				if len(t.Shape) == maxRank {
					return fmt.Errorf("a tensor has more than %d dimensions", maxRank)
				}
				d, err := readDimension(body)
				t.Shape = append(t.Shape, d)
				return err
			})
		}
		return nil
	})
	return t, err
}

// readDimension returns a dimension's fixed value, or -1.
func readDimension(b []byte) (int64, error) {
	size := int64(-1)
	err := eachField(b, func(number int, v uint64, _ []byte) error {
		if number == 1 && v <= math.MaxInt64 { // dim_value; a negative one is not fixed either
			size = int64(v)
		}
		return nil
	})
	return size, err
}

// readEntry reads a StringStringEntryProto. A value that is too long is read as empty.
func readEntry(b []byte) (key, value string, err error) {
	err = eachField(b, func(number int, _ uint64, body []byte) error {
		switch {
		case number == 1 && len(body) <= maxNameBytes:
			key = string(body)
		case number == 2 && len(body) <= maxMetadata:
			value = string(body)
		}
		return nil
	})
	return key, value, err
}

// readString returns the last field of a number.
func readString(b []byte, want int) (text string, err error) {
	err = eachField(b, func(number int, _ uint64, body []byte) error {
		if number == want {
			text = string(body[:min(len(body), maxNameBytes+1)])
		}
		return nil
	})
	return text, err
}

// eachField calls f with each field of a message: with v for a number, with body for bytes
// (protobuf.dev, "Encoding").
func eachField(b []byte, f func(number int, v uint64, body []byte) error) error {
	errCut := errors.New("a field is cut off")
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag>>3 == 0 || tag>>3 > 1<<29 {
			return errors.New("a field has no valid number")
		}
		b = b[n:]
		var v uint64
		var body []byte
		size := 0
		switch tag & 7 {
		case 0: // varint
			if v, size = binary.Uvarint(b); size <= 0 {
				return errCut
			}
		case 1: // 64 bits
			size = 8
		case 5: // 32 bits
			size = 4
		case 2: // bytes
			length, n := binary.Uvarint(b)
			if n <= 0 || length > uint64(len(b)-n) {
				return errCut
			}
			size = n + int(length)
			body = b[n:size]
		default:
			return errors.New("a field has an unknown encoding")
		}
		if size > len(b) {
			return errCut
		}
		if err := f(int(tag>>3), v, body); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}
