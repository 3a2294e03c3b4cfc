package onnx

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"gridpost/detection/onnxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// constant is an output of a model that does not depend on the input.
type constant struct {
	Tensor           // as declared
	actual []int64   // the shape that it really has; nil: the declared one
	floats []float32 // the elements, of floats or
	ints   []int64   // of integers
}

// modelOf returns the file of a model whose outputs are constants.
func modelOf(inputs []Tensor, outputs []constant, metadata map[string]string) []byte {
	declared := func(t Tensor) onnxtest.Tensor {
		return onnxtest.Tensor{Name: t.Name, Type: int32(t.Type), Shape: t.Shape}
	}
	var in []onnxtest.Tensor
	for _, t := range inputs {
		in = append(in, declared(t))
	}
	var out []onnxtest.Constant
	for _, o := range outputs {
		out = append(out, onnxtest.Constant{Tensor: declared(o.Tensor), Actual: o.actual, Floats: o.floats, Ints: o.ints})
	}
	return onnxtest.File(in, out, metadata)
}

// write writes a file into a folder of the test's own.
func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// picture is an image input of 64 x 64 pixels.
func picture(name string) Tensor { return Tensor{name, Float, []int64{1, 3, 64, 64}} }

// filled returns n elements that are v.
func filled(n int, v float32) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = v
	}
	return out
}
