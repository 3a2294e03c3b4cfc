// Package onnx detects objects in frames with a NanoDet model and ONNX Runtime.
//
// A model's shapes are checked before it is run for the first time, and it is run once when it is
// opened. It belongs to the worker's process, because native code parses the model file. It must not
// import decode or vision; pixels are passed as plain bytes.
package onnx

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	ort "github.com/yalue/onnxruntime_go"
	"golang.org/x/sys/unix"
)

// maxSide bounds the width and height of a model's input in pixels.
const maxSide = 2048

// The mean and standard deviation with which NanoDet's input is normalised: blue, green, red.
var (
	mean      = [3]float32{103.53, 116.28, 123.675}
	deviation = [3]float32{57.375, 57.12, 58.395}
)

// Model is a loaded model. It belongs to one goroutine, and a process has at most one.
type Model struct {
	w, h    int
	layout  layout
	names   []string
	runtime string

	session *ort.AdvancedSession
	input   *ort.Tensor[float32]
	outputs []*ort.Tensor[float32]
}

// maxModel bounds a model file in bytes.
const maxModel = 512 << 20

// Source is a model file that was read but not parsed, with the runtime loaded. Nothing after it
// needs a file.
type Source struct {
	path  string
	copy  *os.File // of the model in memory: the runtime opens it by name, whoever may read the original
	names []string
}

// Read reads the model file at path and the names of its classes, one per line, from the file
// labels, and loads the runtime. If labels is empty, a model of 80 classes gets the names of COCO.
// Weights in files of their own ("external data") are not supported.
func Read(path, labels string) (*Source, error) {
	names, err := readLabels(labels)
	if err != nil {
		return nil, err
	}
	library, err := FindRuntime()
	if err != nil {
		return nil, err
	}
	model, err := copyModel(path)
	if err != nil {
		return nil, fmt.Errorf("opening the model: %w", err)
	}
	// Otherwise newer versions report their use to their vendor, and leave a log file in /tmp each time.
	if err := os.Setenv("ORT_DISABLE_TELEMETRY", "1"); err != nil {
		return nil, fmt.Errorf("loading ONNX Runtime: %w", err)
	}
	ort.SetSharedLibraryPath(library)
	if err := ort.InitializeEnvironment(ort.WithLogLevelError()); err != nil {
		return nil, fmt.Errorf("loading ONNX Runtime from %s: %w", library, err)
	}
	return &Source{path: path, copy: model, names: names}, nil
}

// copyModel returns a memory file with the content of the file at path.
func copyModel(path string) (*os.File, error) {
	f, err := os.Open(path) // configured by the operator
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	fd, err := unix.MemfdCreate("model", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("copying it to memory: %w", err)
	}
	model := os.NewFile(uintptr(fd), "model")
	n, err := io.Copy(model, io.LimitReader(f, maxModel+1))
	if err == nil && n > maxModel {
		err = fmt.Errorf("%s is larger than %d MiB", path, maxModel>>20)
	}
	if err != nil {
		return nil, errors.Join(err, model.Close())
	}
	return model, nil
}

// Open parses the model and runs it once. It may be called once.
func (s *Source) Open() (*Model, error) {
	m := &Model{names: s.names, runtime: "ONNX Runtime " + ort.GetVersion()}
	err := errors.Join(m.load(fmt.Sprintf("/proc/self/fd/%d", s.copy.Fd())), s.copy.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the model %s cannot be used: %w", s.path, err), m.Close())
	}
	return m, nil
}

// Close frees the model and the runtime.
func (m *Model) Close() error {
	var errs []error
	if m.session != nil {
		errs = append(errs, m.session.Destroy())
	}
	if m.input != nil {
		errs = append(errs, m.input.Destroy())
	}
	for _, o := range m.outputs {
		errs = append(errs, o.Destroy())
	}
	return errors.Join(append(errs, ort.DestroyEnvironment())...)
}

// Name describes the model and its runtime, for people.
func (m *Model) Name() string {
	return fmt.Sprintf("NanoDet model of %d classes at %dx%d (%s)", len(m.names), m.w, m.h, m.runtime)
}

// Class returns the name of a class.
func (m *Model) Class(i int) string { return m.names[i] }

func (m *Model) load(path string) error {
	options, err := sessionOptions()
	if err != nil {
		return err
	}
	ins, outs, err := ort.GetInputOutputInfoWithOptions(path, options)
	if err == nil {
		err = m.check(ins, outs)
	}
	if err == nil {
		err = m.allocate(outs)
	}
	if err == nil {
		var names []string
		var values []ort.Value
		for i, o := range outs {
			names, values = append(names, o.Name), append(values, m.outputs[i])
		}
		m.session, err = ort.NewAdvancedSession(path, []string{ins[0].Name}, names, []ort.Value{m.input}, values, options)
	}
	if err == nil {
		if err = m.session.Run(); err != nil {
			err = fmt.Errorf("running it: %w", err)
		}
	}
	return errors.Join(err, options.Destroy())
}

// sessionOptions makes the runtime use only the thread that calls it.
func sessionOptions() (*ort.SessionOptions, error) {
	o, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		o.SetIntraOpNumThreads(1),
		o.SetInterOpNumThreads(1),
		o.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableAll),
	)
	if err != nil {
		return nil, errors.Join(err, o.Destroy())
	}
	return o, nil
}

// check reads the sizes from the model's description, or returns an error for an unsupported model.
func (m *Model) check(ins, outs []ort.InputOutputInfo) error {
	if len(ins) != 1 {
		return fmt.Errorf("it has %d inputs; expected one image", len(ins))
	}
	in := ins[0].Dimensions
	if ins[0].DataType != ort.TensorElementDataTypeFloat || len(in) != 4 || in[0] != 1 || in[1] != 3 {
		return fmt.Errorf("its input is %v of %v; expected 1 x 3 x height x width of floats", in, ins[0].DataType)
	}
	if in[2] < 32 || in[3] < 32 || in[2] > maxSide || in[3] > maxSide {
		return fmt.Errorf("its input is %d x %d pixels; expected a fixed width and height of 32 to %d", in[3], in[2], maxSide)
	}
	m.w, m.h = int(in[3]), int(in[2])
	var shapes [][]int64
	for _, o := range outs {
		if o.DataType != ort.TensorElementDataTypeFloat {
			return fmt.Errorf("its output %q is of %v; expected floats", o.Name, o.DataType)
		}
		shapes = append(shapes, slices.Clone(trimOnes(o.Dimensions)))
	}
	var err error
	if m.layout, err = readLayout(shapes, m.w, m.h, len(m.names)); err != nil {
		return err
	}
	if len(m.names) == 0 {
		if m.layout.classes != len(cocoNames) {
			return fmt.Errorf("it has %d classes and no labels file that names them", m.layout.classes)
		}
		m.names = cocoNames[:]
	}
	return nil
}

// trimOnes returns a shape without leading ones, down to two dimensions.
func trimOnes(s ort.Shape) []int64 {
	for len(s) > 2 && s[0] == 1 {
		s = s[1:]
	}
	return s
}

func (m *Model) allocate(outs []ort.InputOutputInfo) error {
	var err error
	if m.input, err = ort.NewEmptyTensor[float32](ort.NewShape(1, 3, int64(m.h), int64(m.w))); err != nil {
		return err
	}
	for _, o := range outs {
		t, err := ort.NewEmptyTensor[float32](o.Dimensions)
		if err != nil {
			return err
		}
		m.outputs = append(m.outputs, t)
	}
	return nil
}

// Fit returns the size to which a frame of w x h pixels must be scaled for Detect: the largest one
// that fits the model's input and keeps the aspect ratio.
func (m *Model) Fit(w, h int) (int, int) {
	k := min(float64(m.w)/float64(w), float64(m.h)/float64(h))
	return min(max(1, int(float64(w)*k+0.5)), m.w), min(max(1, int(float64(h)*k+0.5)), m.h)
}

// Detect returns the objects in a frame of w x h pixels, which Fit returned: blue, green, red,
// rows without padding.
func (m *Model) Detect(bgr []byte, w, h int) ([]Object, error) {
	if w <= 0 || h <= 0 || w > m.w || h > m.h || len(bgr) != 3*w*h {
		return nil, fmt.Errorf("running the model: a frame of %dx%d and %d bytes does not fit it", w, h, len(bgr))
	}
	m.fill(bgr, w, h)
	if err := m.session.Run(); err != nil {
		return nil, fmt.Errorf("running the model: %w", err)
	}
	outputs := make([][]float32, len(m.outputs))
	for i, o := range m.outputs {
		outputs[i] = o.GetData()
	}
	found, err := m.layout.read(outputs)
	if err != nil {
		return nil, err
	}
	fw, fh := float64(w), float64(h)
	inside := found[:0]
	for _, f := range found {
		x0, y0 := max(f.X, 0)/fw, max(f.Y, 0)/fh
		x1, y1 := min((f.X+f.W)/fw, 1), min((f.Y+f.H)/fh, 1)
		if x1 > x0 && y1 > y0 {
			inside = append(inside, Object{f.Class, f.Score, x0, y0, x1 - x0, y1 - y0})
		}
	}
	return inside, nil
}

// fill writes the normalised frame to the top left of the input. The rest is zero, the value of the
// mean colour.
func (m *Model) fill(bgr []byte, w, h int) {
	dst := m.input.GetData()
	for c := range 3 {
		var table [256]float32
		for v := range table {
			table[v] = (float32(v) - mean[c]) / deviation[c]
		}
		plane := dst[c*m.w*m.h : (c+1)*m.w*m.h]
		if w < m.w || h < m.h {
			clear(plane)
		}
		for y := range h {
			row, src := plane[y*m.w:y*m.w+w], bgr[y*w*3:(y+1)*w*3]
			for x := range row {
				row[x] = table[src[3*x+c]]
			}
		}
	}
}

// readLabels reads one name per line and ignores empty lines at the end.
func readLabels(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	const most = 1 << 20 // bytes
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the labels: %w", err)
	}
	if info.Size() > most {
		return nil, fmt.Errorf("reading the labels: %s has %d bytes, more than %d", path, info.Size(), most)
	}
	text, err := os.ReadFile(path) // configured by the operator
	if err != nil {
		return nil, fmt.Errorf("reading the labels: %w", err)
	}
	names := strings.Split(strings.TrimRight(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"), "\n")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
		if names[i] == "" || len(names[i]) > 64 {
			return nil, fmt.Errorf("reading the labels: line %d of %s is empty or too long", i+1, path)
		}
	}
	return names, nil
}
