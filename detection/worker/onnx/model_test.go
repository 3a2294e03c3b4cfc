package onnx

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// needRuntime sets the path of ONNX Runtime for the test, or skips it.
func needRuntime(t *testing.T) {
	t.Helper()
	if os.Getenv(Variable) != "" {
		return
	}
	found, err := filepath.Glob("../../../bin/libonnxruntime.so*")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Skip("ONNX Runtime is not installed; run `make onnxruntime`")
	}
	path, err := filepath.Abs(found[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(Variable, path)
}

// openModel reads and opens a model.
func openModel(path, labels string) (*Model, error) {
	s, err := Read(path, labels)
	if err != nil {
		return nil, err
	}
	return s.Open()
}

// Protocol buffers, as far as a model of one node needs them (protobuf.dev, "Encoding"). The field
// numbers are those of onnx.proto.
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

// tensor is a ValueInfoProto.
func tensor(name string, elem uint64, dims ...uint64) []byte {
	var shape []byte
	for _, d := range dims {
		shape = append(shape, field(1, number(1, d))...)
	}
	return message(field(1, []byte(name)), field(2, field(1, message(number(1, elem), field(2, shape)))))
}

// identity writes a model that returns its input.
func identity(t *testing.T, elem uint64, dims ...uint64) string {
	t.Helper()
	graph := message(
		field(1, message(field(1, []byte("in")), field(2, []byte("out")), field(4, []byte("Identity")))),
		field(2, []byte("test")),
		field(11, tensor("in", elem, dims...)),
		field(12, tensor("out", elem, dims...)),
	)
	model := message(number(1, 8), field(7, graph), field(8, number(2, 13)))
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := os.WriteFile(path, model, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnsupportedModelsAreRefused(t *testing.T) {
	needRuntime(t)
	text := filepath.Join(t.TempDir(), "words.onnx")
	if err := os.WriteFile(text, []byte("this is text"), 0o600); err != nil {
		t.Fatal(err)
	}
	const float, int64s = 1, 7
	for name, c := range map[string]struct{ path, want string }{
		"not there":    {"/nowhere.onnx", "no such file"},
		"no model":     {text, "cannot be used"},
		"a vector":     {identity(t, float, 1, 4), "expected 1 x 3 x height x width"},
		"integers":     {identity(t, int64s, 1, 3, 320, 320), "expected 1 x 3 x height x width"},
		"a batch":      {identity(t, float, 2, 3, 320, 320), "expected 1 x 3 x height x width"},
		"a huge input": {identity(t, float, 1, 3, 100000, 100000), "expected a fixed width"},
		"no heads":     {identity(t, float, 1, 3, 320, 320), "expected cells"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := openModel(c.path, "")
			if err == nil {
				t.Fatal("the model was opened", m.Close())
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
		})
	}
}

func TestModelOnAGrayFrame(t *testing.T) {
	needRuntime(t)
	const path = "../../../../shared/data/nanodet_m_320.onnx"
	if _, err := os.Stat(path); err != nil {
		t.Skip("../shared/data/nanodet_m_320.onnx is missing")
	}
	m, err := openModel(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}()
	w, h := m.Fit(1920, 1080)
	if w != 320 || h != 180 {
		t.Errorf("1920x1080 fits as %dx%d", w, h)
	}
	gray := make([]byte, 3*w*h)
	for i := range gray {
		gray[i] = 110
	}
	if found, err := m.Detect(gray, w, h); err != nil || len(found) != 0 {
		t.Errorf("on a gray frame: %v, %v", found, err)
	}
	if _, err := m.Detect(gray, w+1, h); err == nil {
		t.Error("a frame of the wrong size was accepted")
	}
}
