package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"gridpost/detection"
	"gridpost/detection/wire"
	"gridpost/detection/worker/confine"
	"gridpost/detection/worker/onnx"
)

// inference runs an object model for all cameras of one edge. It belongs to one goroutine.
type inference struct {
	conn  *wire.Conn
	model *onnx.Model
	slots [][]byte // of cameras; what is not used takes no memory
}

func (p *inference) close() error {
	var errs []error
	for _, slot := range p.slots {
		if slot != nil {
			errs = append(errs, unix.Munmap(slot))
		}
	}
	if p.model != nil {
		errs = append(errs, p.model.Close())
	}
	return errors.Join(errs...)
}

// run serves the connection until it ends; it returns io.EOF when the edge closed it.
func (p *inference) run() error {
	msg, err := p.conn.Receive()
	if err != nil {
		return err
	}
	cfg, ok := msg.(wire.Config)
	if !ok {
		return fmt.Errorf("received %T before Config", msg)
	}
	if cfg.Model == "" {
		return errors.New("no model is configured")
	}
	in, err := openInputs(cfg, 32+uint64(len(p.slots)))
	if err != nil {
		return err
	}
	defer in.close()
	for i := range p.slots {
		if p.slots[i], err = mapSlot(firstSlot+i, unix.PROT_READ); err != nil {
			return err
		}
	}
	// Without the slots' descriptors it needs no more than a worker.
	if err := confine.Limit(confine.Limits{Memory: cfg.Limits.Memory}); err != nil {
		return err
	}
	if cfg.Limits.User != 0 {
		if err := confine.ChangeUser(cfg.Limits.User, cfg.Limits.Group); err != nil {
			return err
		}
	}
	confined, err := confine.Apply()
	if err != nil {
		return err
	}
	if p.model, err = in.model.Open(); err != nil {
		return err
	}
	described, err := p.describe()
	if err != nil {
		return err
	}
	if err := p.conn.Send(wire.Ready{Version: buildVersion(), Detector: p.model.Name(), Confined: confined.String(), Model: described}); err != nil {
		return err
	}
	for {
		msg, err := p.conn.Receive()
		if err != nil {
			return err
		}
		request, ok := msg.(wire.Infer)
		if !ok {
			return fmt.Errorf("unexpected message %T", msg)
		}
		if err := p.conn.Send(p.infer(request)); err != nil {
			return err
		}
	}
}

// describe measures the model and describes it.
func (p *inference) describe() (*wire.Model, error) {
	w, h, stretch := p.model.Size()
	m := &wire.Model{Head: p.model.Head(), Labels: p.model.Labels(), Width: w, Height: h, Stretch: stretch}
	for _, t := range p.model.Inputs() {
		m.Inputs = append(m.Inputs, t.String())
	}
	for _, t := range p.model.Outputs() {
		m.Outputs = append(m.Outputs, t.String())
	}
	// Half of the input's height, as with most cameras. The fastest of the inferences counts, so that the
	// load of the machine does not.
	const most, atMost, atLeast = 20, time.Second, 3
	frame := make([]byte, 3*w*(h/2))
	fw, fh := w, h/2
	if stretch {
		frame, fh = make([]byte, 3*w*h), h
	}
	for began, i := time.Now(), 0; i < most && (i < atLeast || time.Since(began) < atMost); i++ {
		start, used := time.Now(), processorTime()
		if _, err := p.model.Detect(frame, fw, fh); err != nil {
			return nil, err
		}
		took := time.Since(start)
		if i == 0 || took < m.Inference {
			m.Inference, m.Runtime = took, p.model.RunTime()
		}
		if cpu := processorTime() - used; cpu > 0 && (m.CPU == 0 || cpu < m.CPU) {
			m.CPU = cpu
		}
	}
	return m, nil
}

// processorTime returns the processor time of the process so far, 0 if the kernel does not say.
func processorTime() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// infer runs the model on the frame in a slot.
func (p *inference) infer(r wire.Infer) wire.Inferred {
	began := time.Now()
	out := wire.Inferred{ID: r.ID}
	frame, err := p.slot(r.Slot)
	if err == nil && (r.Width <= 0 || r.Height <= 0 || r.Width > wire.MaxInput || r.Height > wire.MaxInput) {
		err = fmt.Errorf("a frame of %dx%d is not supported", r.Width, r.Height)
	}
	if err != nil {
		out.Error = err.Error()
		return out
	}
	found, err := p.model.Detect(frame[:3*r.Width*r.Height], r.Width, r.Height)
	if err != nil {
		out.Error = err.Error()
	}
	out.Detections = detections(p.model, found)
	out.Inference, out.Runtime = time.Since(began), p.model.RunTime()
	return out
}

// slot returns the memory of a slot. Workers may change it at any time: it holds pixels only, and what
// is made of it is not trusted.
func (p *inference) slot(i int) ([]byte, error) {
	if i < 0 || i >= len(p.slots) || p.slots[i] == nil {
		return nil, fmt.Errorf("there is no slot %d", i)
	}
	return p.slots[i], nil
}

// detections returns the objects that a model found with the names of their classes.
func detections(model *onnx.Model, found []onnx.Object) []detection.Detection {
	out := make([]detection.Detection, len(found))
	for i, f := range found {
		out[i] = detection.Detection{
			Class: model.Class(f.Class), Score: f.Score,
			Box: detection.Box{X: f.X, Y: f.Y, W: f.W, H: f.H},
		}
	}
	return out
}
