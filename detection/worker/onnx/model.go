// Package onnx detects objects in frames with an ONNX model and ONNX Runtime.
//
// A model's family is recognised by the names and shapes of its outputs; see heads for those that are
// known. What the file declares is checked before native code parses it, its outputs are checked each
// time they are read, and it is run when it is opened, before it is used. The package belongs to the
// worker's process, because native code parses the model file. It must not import decode or vision;
// pixels are passed as plain bytes.
package onnx

import (
	"errors"
	"fmt"
	"slices"
	"time"

	ort "github.com/yalue/onnxruntime_go"
)

// Model is a loaded model. It belongs to one goroutine, and a process has at most one.
type Model struct {
	inputs, outputs []Tensor // as declared
	image           image
	head            head
	family          string
	names           []string
	runtime         string

	session *ort.DynamicAdvancedSession
	floats  *ort.Tensor[float32] // the image input; nil: it is of bytes
	bytes   *ort.Tensor[uint8]
	size    *ort.Tensor[int64] // the second input; nil: there is none
	in      []ort.Value
	fixed   []ort.Value // outputs whose sizes are declared; nil: the runtime allocates them in each run
	runTime time.Duration
}

const (
	// maxModel bounds a model file in bytes.
	maxModel = 512 << 20

	// maxElements bounds an output: far above what any head has.
	maxElements = 1 << 24
)

// Close frees the model and the runtime.
func (m *Model) Close() error {
	var errs []error
	if m.session != nil {
		errs = append(errs, m.session.Destroy())
	}
	for _, v := range slices.Concat(m.in, m.fixed) {
		if v != nil {
			errs = append(errs, v.Destroy())
		}
	}
	return errors.Join(append(errs, ort.DestroyEnvironment())...)
}

// Name describes the model and its runtime, for people.
func (m *Model) Name() string {
	return fmt.Sprintf("%s model of %d classes at %dx%d (%s)", m.family, m.classes(), m.image.w, m.image.h, m.runtime)
}

// classes returns how many classes the model distinguishes, without the background.
func (m *Model) classes() int { return len(m.names) - m.head.first }

// Inputs returns the model's inputs as its file declares them.
func (m *Model) Inputs() []Tensor { return m.inputs }

// Outputs returns the model's outputs as its file declares them.
func (m *Model) Outputs() []Tensor { return m.outputs }

// Head returns the name of the recognised head.
func (m *Model) Head() string { return m.family }

// Labels returns the names of the classes, without the background.
func (m *Model) Labels() []string { return m.names[m.head.first:] }

// Class returns the name of a class.
func (m *Model) Class(i int) string {
	if i < 0 || i >= len(m.names) {
		return fmt.Sprintf("class %d", i)
	}
	return m.names[i]
}

// load parses the file, recognises its head and runs it.
func (m *Model) load(file []byte, labels []string, threads int) error {
	d, err := describe(file)
	if err != nil {
		return err
	}
	m.inputs, m.outputs = d.inputs, d.outputs
	inputs, outputs := fixBatch(d.inputs, 1), fixBatch(d.outputs, 3)
	if err := m.checkInputs(inputs); err != nil {
		return err
	}
	if len(outputs) == 0 {
		return errors.New("it has no output")
	}
	if err := m.allocate(inputs, outputs); err != nil {
		return err
	}
	if err := m.createSession(file, inputs, outputs, threads); err != nil {
		return err
	}
	first, err := m.run() // which also shows the shapes that the file does not declare
	if err != nil {
		return fmt.Errorf("running it: %w", err)
	}
	for i := range outputs {
		if outputs[i].Shape == nil {
			outputs[i].Shape = first[i].shape
		}
	}
	if len(labels) == 0 {
		labels = metadataNames(d.metadata)
	}
	s := signature{w: m.image.w, h: m.image.h, inputs: inputs, outputs: outputs, classes: len(labels)}
	if m.head, m.family, err = recognise(s); err != nil {
		return err
	}
	if m.names, err = classNames(labels, m.head); err != nil {
		return err
	}
	m.image.configure(m.head.prepare)
	if m.head.prepare.size {
		copy(m.size.GetData(), []int64{int64(m.image.w), int64(m.image.h)})
	}
	if _, err = m.head.decode(first); err != nil {
		return err
	}
	return nil
}

// checkInputs reads the image input, and accepts a second one with two integers, the image's size.
func (m *Model) checkInputs(inputs []Tensor) (err error) {
	if len(inputs) != 1 && len(inputs) != 2 {
		return fmt.Errorf("it has %d inputs; expected one image, and its size with some models", len(inputs))
	}
	if m.image, err = readImage(inputs[0]); err != nil {
		return err
	}
	if len(inputs) == 2 {
		if s := inputs[1].Shape; inputs[1].Type != Int64 || len(s) != 2 || s[0] != 1 || s[1] != 2 {
			return fmt.Errorf("its second input %s is not supported; expected the image's size, 1x2 of int64", inputs[1])
		}
	}
	return nil
}

// allocate makes the inputs, and the outputs whose sizes are declared.
func (m *Model) allocate(inputs, outputs []Tensor) (err error) {
	shape := ort.NewShape(inputs[0].Shape...)
	if m.image.nhwc {
		shape = ort.NewShape(1, int64(m.image.h), int64(m.image.w), 3)
	}
	if m.image.u8 {
		m.bytes, err = ort.NewEmptyTensor[uint8](shape)
		m.in = []ort.Value{m.bytes}
	} else {
		m.floats, err = ort.NewEmptyTensor[float32](shape)
		m.in = []ort.Value{m.floats}
	}
	if err != nil {
		m.in = nil
		return err
	}
	if len(inputs) == 2 {
		if m.size, err = ort.NewTensor(ort.NewShape(1, 2), []int64{int64(m.image.w), int64(m.image.h)}); err != nil {
			return err
		}
		m.in = append(m.in, m.size)
	}
	m.fixed = make([]ort.Value, len(outputs))
	for i, o := range outputs {
		n, known := elements(o.Shape)
		if n > maxElements {
			return fmt.Errorf("its output %s has more than %d elements", o, maxElements)
		}
		if !known {
			continue
		}
		var v ort.Value
		switch o.Type {
		case Float:
			v, err = ort.NewEmptyTensor[float32](ort.NewShape(o.Shape...))
		case Int64:
			v, err = ort.NewEmptyTensor[int64](ort.NewShape(o.Shape...))
		case Int32:
			v, err = ort.NewEmptyTensor[int32](ort.NewShape(o.Shape...))
		default:
			return fmt.Errorf("its output %s is not supported; expected float32 or integers", o)
		}
		if err != nil {
			return err
		}
		m.fixed[i] = v
	}
	return nil
}

// elements returns how many elements a shape has, and whether that is declared.
func elements(shape []int64) (n int64, known bool) {
	n, known = 1, shape != nil
	for _, d := range shape {
		if d <= 0 {
			known = false
			continue
		}
		if n > maxElements || d > maxElements {
			return maxElements + 1, known
		}
		n *= d
	}
	return n, known
}

func (m *Model) createSession(file []byte, inputs, outputs []Tensor, threads int) error {
	names := func(all []Tensor) (out []string) {
		for _, t := range all {
			out = append(out, t.Name)
		}
		return out
	}
	options, err := sessionOptions(threads)
	if err != nil {
		return err
	}
	m.session, err = ort.NewDynamicAdvancedSessionWithONNXData(file, names(inputs), names(outputs), options)
	return errors.Join(err, options.Destroy())
}

// sessionOptions makes the runtime use the thread that calls it and, beyond one, threads that do not
// burn CPU time while they wait.
func sessionOptions(threads int) (*ort.SessionOptions, error) {
	o, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		o.SetIntraOpNumThreads(threads),
		o.SetInterOpNumThreads(1),
		o.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableAll),
		o.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
	)
	if err != nil {
		return nil, errors.Join(err, o.Destroy())
	}
	return o, nil
}

// run runs the model on what the inputs hold. The values are valid until the next run.
func (m *Model) run() ([]values, error) {
	outputs := slices.Clone(m.fixed)
	began := time.Now()
	err := m.session.Run(m.in, outputs)
	m.runTime = time.Since(began)
	read := make([]values, len(outputs))
	if err == nil {
		for i, o := range outputs {
			if read[i], err = readValues(m.outputs[i], o); err != nil {
				break
			}
		}
	}
	var errs []error
	for i, o := range outputs {
		if m.fixed[i] == nil && o != nil {
			errs = append(errs, o.Destroy()) // its elements are Go's own memory
		}
	}
	return read, errors.Join(append(errs, err)...)
}

func readValues(t Tensor, v ort.Value) (values, error) {
	switch v := v.(type) {
	case *ort.Tensor[float32]:
		return values{shape: v.GetShape(), floats: v.GetData()}, nil
	case *ort.Tensor[int64]:
		return values{shape: v.GetShape(), ints: v.GetData()}, nil
	case *ort.Tensor[int32]:
		ints := make([]int64, len(v.GetData()))
		for i, n := range v.GetData() {
			ints[i] = int64(n)
		}
		return values{shape: v.GetShape(), ints: ints}, nil
	}
	return values{}, fmt.Errorf("its output %s is not supported; expected float32 or integers", t)
}

// RunTime returns how long the runtime took for the last Detect, without what comes before and after.
func (m *Model) RunTime() time.Duration { return m.runTime }

// Fit returns the size to which a frame of w x h pixels must be scaled for Detect: the largest one
// that fits the model's input and keeps the aspect ratio, or the whole input if the model was trained
// that way.
func (m *Model) Fit(w, h int) (int, int) { return m.image.fit(w, h) }

// Size returns the size of the model's input in pixels, and whether frames are stretched to it.
func (m *Model) Size() (w, h int, stretch bool) { return m.image.w, m.image.h, m.head.prepare.stretch }

// Detect returns the objects in a frame of w x h pixels, which Fit returned: blue, green, red,
// rows without padding.
func (m *Model) Detect(bgr []byte, w, h int) ([]Object, error) {
	if w <= 0 || h <= 0 || w > m.image.w || h > m.image.h || len(bgr) != 3*w*h {
		return nil, fmt.Errorf("running the model: a frame of %dx%d and %d bytes does not fit it", w, h, len(bgr))
	}
	if m.bytes != nil {
		m.image.fillBytes(m.bytes.GetData(), bgr, w, h)
	} else {
		m.image.fill(m.floats.GetData(), bgr, w, h)
	}
	outputs, err := m.run()
	if err != nil {
		return nil, fmt.Errorf("running the model: %w", err)
	}
	found, err := m.head.decode(outputs)
	if err != nil {
		return nil, err
	}
	if m.head.exclusive {
		found = largest(found, maxObjects)
	} else {
		found = suppressOverlaps(found)
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
