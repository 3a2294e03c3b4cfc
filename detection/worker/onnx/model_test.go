package onnx

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gridpost/detection/onnxtest"
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
	s, err := Read(Options{Path: path, Labels: labels})
	if err != nil {
		return nil, err
	}
	return s.Open()
}

// identity writes a model that returns its input.
func identity(t *testing.T, elem ElementType, dims ...int64) string {
	t.Helper()
	return write(t, "model.onnx", onnxtest.Identity(onnxtest.Tensor{Name: "in", Type: int32(elem), Shape: dims}))
}

func TestUnsupportedModelsAreRefused(t *testing.T) {
	needRuntime(t)
	text := write(t, "words.onnx", []byte("this is text"))
	for name, c := range map[string]struct{ path, want string }{
		"not there":     {"/nowhere.onnx", "no such file"},
		"empty":         {write(t, "empty.onnx", nil), "is empty"},
		"no model":      {text, "it is not an ONNX file"},
		"a vector":      {identity(t, Float, 1, 4), `its input "in": float32 1x4 is not supported`},
		"integers":      {identity(t, Int64, 1, 3, 320, 320), "expected 1 x 3 x height x width"},
		"half floats":   {identity(t, 10, 1, 3, 320, 320), "float16"},
		"a batch":       {identity(t, Float, 2, 3, 320, 320), "expected 1 x 3 x height x width"},
		"any size":      {identity(t, Float, 1, 3, -1, -1), "expected a fixed width"},
		"a huge input":  {identity(t, Float, 1, 3, 100000, 100000), "expected a fixed width"},
		"no head":       {identity(t, Float, 1, 3, 320, 320), "fit none of the known heads (SSD, DETR, NanoDet, YOLOX, YOLOv8)"},
		"a huge output": {write(t, "m.onnx", modelOf([]Tensor{picture("in")}, []constant{{Tensor: Tensor{"out", Float, []int64{1 << 40, 1 << 40}}, actual: []int64{1}, floats: []float32{0}}}, nil)), "more than 16777216 elements"},
		"it lies":       {write(t, "m.onnx", modelOf([]Tensor{picture("in")}, []constant{{Tensor: Tensor{"out", Float, []int64{1, grid64, 85}}, actual: []int64{1}, floats: []float32{0}}}, nil)), "cannot be used"},
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

const sharedData = "../../../../shared/data/"

// The two models of the data for tests are recognised and find nothing on a gray frame.
func TestModelsOnAGrayFrame(t *testing.T) {
	needRuntime(t)
	for file, c := range map[string]struct {
		name string
		w, h int // of a frame of 1920x1080
	}{
		"nanodet_m_320.onnx": {"NanoDet model of 80 classes at 320x320", 320, 180},
		"yolox_nano.onnx":    {"YOLOX model of 80 classes at 416x416", 416, 234},
	} {
		t.Run(file, func(t *testing.T) {
			if _, err := os.Stat(sharedData + file); err != nil {
				t.Skipf("%s%s is missing", sharedData, file)
			}
			m, err := openModel(sharedData+file, sharedData+"coco-labels.txt")
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := m.Close(); err != nil {
					t.Error(err)
				}
			}()
			if !strings.HasPrefix(m.Name(), c.name) {
				t.Errorf("it is a %s", m.Name())
			}
			w, h := m.Fit(1920, 1080)
			if w != c.w || h != c.h {
				t.Errorf("1920x1080 fits as %dx%d", w, h)
			}
			if found, err := m.Detect(bytes.Repeat([]byte{110}, 3*w*h), w, h); err != nil || len(found) != 0 {
				t.Errorf("on a gray frame: %v, %v", found, err)
			}
			if _, err := m.Detect(make([]byte, 3*w*h), w+1, h); err == nil {
				t.Error("a frame of the wrong size was accepted")
			}
		})
	}
}

func TestLabels(t *testing.T) {
	names, err := readLabels(write(t, "labels.txt", []byte("\ufeffperson\r\n traffic light \ncar\n\n")))
	if err != nil || strings.Join(names, "|") != "person|traffic light|car" {
		t.Errorf("%q, %v", names, err)
	}
	for _, bad := range []string{"", "a\n\nb\n", strings.Repeat("x", 65), "a\x07\n", "\xff\n", "\ufffdrson\n", strings.Repeat("x\n", maxClasses+1)} {
		if names, err := readLabels(write(t, "labels.txt", []byte(bad))); err == nil {
			t.Errorf("%q was read as %q", bad, names)
		}
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{t.TempDir(), pipe} {
		for _, o := range []Options{{Path: path}, {Labels: path}} {
			if _, err := Read(o); err == nil || !strings.Contains(err.Error(), path+" is not a file") {
				t.Errorf("%+v: %v", o, err)
			}
		}
	}
	if _, err := readLabels("/nowhere"); err == nil {
		t.Error("a missing labels file was read")
	}
}

func TestLabelsOfMetadata(t *testing.T) {
	for text, want := range map[string]string{
		`{0: 'person', 1: "driver's cab", 2: 'car'}`: "person|driver's cab|car",
		`{"0": "person", "1": "car"}`:                "person|car",
		`{1: 'person', 2: 'car'}`:                    "",
		`['person', 'car']`:                          "",
		"":                                           "",
	} {
		if got := strings.Join(metadataNames(map[string]string{"names": text}), "|"); got != want {
			t.Errorf("%s gives %q, want %q", text, got, want)
		}
	}
	needRuntime(t)
	e := yoloV8Example()
	file := modelOf(e.inputs, e.outputs, map[string]string{"names": "{0: 'a', 1: 'b', 2: 'c'}"})
	m, err := openModel(write(t, "model.onnx", file), "")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(m.Labels(), ""); got != "abc" {
		t.Errorf("labels %q", got)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if _, err := openModel(write(t, "model.onnx", modelOf(e.inputs, e.outputs, nil)), ""); err == nil || !strings.Contains(err.Error(), "no labels file that names them") {
		t.Errorf("3 classes without names: %v", err)
	}
}

func TestMissingRuntimeIsReported(t *testing.T) {
	t.Setenv(Variable, "/nowhere/libonnxruntime.so")
	if _, err := openModel(write(t, "model.onnx", []byte("x")), ""); err == nil || !strings.Contains(err.Error(), Variable) {
		t.Errorf("error %v", err)
	}
}

// FuzzDescribe: no file may make the reader of descriptions panic or use much memory.
func FuzzDescribe(f *testing.F) {
	for _, e := range examples() {
		f.Add(modelOf(e.inputs, e.outputs, map[string]string{"names": "{0: 'a'}"}))
	}
	f.Add([]byte("this is text"))
	f.Fuzz(func(t *testing.T, file []byte) {
		d, err := describe(file)
		if err != nil {
			return
		}
		if len(d.inputs) > maxTensors || len(d.outputs) > maxTensors {
			t.Errorf("%d inputs, %d outputs", len(d.inputs), len(d.outputs))
		}
		for _, in := range fixBatch(d.inputs, 1) {
			if m, err := readImage(in); err == nil && (m.w < 32 || m.w > maxSide || m.h < 32 || m.h > maxSide) {
				t.Errorf("%s gives %+v", in, m)
			}
		}
		s := signature{w: 64, h: 64, inputs: fixBatch(d.inputs, 1), outputs: fixBatch(d.outputs, 3)}
		if h, _, err := recognise(s); err == nil && (h.decode == nil || h.classes > maxClasses) {
			t.Errorf("%+v", h)
		}
	})
}
