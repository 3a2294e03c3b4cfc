package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"gridpost/detection"
	"gridpost/detection/health"
	"gridpost/detection/wire"
	"gridpost/detection/worker/confine"
	"gridpost/detection/worker/decode"
	"gridpost/detection/worker/onnx"
	"gridpost/detection/worker/vision"
)

// defaultRate is how many frames per second are analysed if the configuration has no rate.
const defaultRate = 10

// distrustPeriod is for how long after a damaged frame no frame is analysed, unless a keyframe arrives
// first: concealed errors move from frame to frame and look like motion.
const distrustPeriod = 2 * time.Second

// maxDelay is how many access units a decoder may hold before it gives a frame, to put frames in order.
const maxDelay = 20

// worker serves one edge. It belongs to one goroutine.
type worker struct {
	conn *wire.Conn

	detector *detector
	decoder  *decode.Decoder
	history  *frameHistory
	slots    int    // memory files that were inherited: one if another process runs a model, else none
	looks    *looks // nil: there is no slot

	session     uint32 // of the last access unit; 0: none yet
	serial      int64  // of the last access unit; the tag of its frame
	pending     [64]pendingFrame
	trustedFrom time.Duration // PTS from which frames are trusted again, while damaged
	damaged     bool
	undecoded   int // access units in a row that gave no frame that can be trusted
}

// pendingFrame is what is known of an access unit until its frame is decoded, which may be later.
type pendingFrame struct {
	serial int64
	pts    time.Duration
	at     time.Time
}

func newWorker(conn *wire.Conn) *worker {
	return &worker{conn: conn, history: &frameHistory{}}
}

func (w *worker) close() error {
	w.history.close()
	if w.decoder != nil {
		w.decoder.Close()
	}
	if w.looks != nil {
		w.looks.close()
	}
	if w.detector != nil {
		return w.detector.close()
	}
	return nil
}

// run serves the connection until it ends; it returns io.EOF when the edge closed it.
func (w *worker) run() error {
	msg, err := w.conn.Receive()
	if err != nil {
		return err
	}
	cfg, ok := msg.(wire.Config)
	if !ok {
		return fmt.Errorf("received %T before Config", msg)
	}
	in, err := openInputs(cfg, 0)
	if err != nil {
		return err
	}
	defer in.close()
	if cfg.Limits.User != 0 {
		if err := confine.ChangeUser(cfg.Limits.User, cfg.Limits.Group); err != nil {
			return err
		}
	}
	if w.slots > 0 {
		if w.looks, err = newLooks(); err != nil {
			return err
		}
	}
	confined, err := confine.Apply()
	if err != nil {
		return err
	}
	if w.detector, err = newDetector(cfg, in.model); err != nil {
		return err
	}
	ready := wire.Ready{Version: buildVersion(), Detector: w.detector.name(), Confined: confined.String()}
	if err := w.conn.Send(ready); err != nil {
		return err
	}
	if in.video != nil {
		return w.analyseFile(in.video)
	}
	for {
		msg, err := w.conn.Receive()
		if err != nil {
			return err
		}
		if err := w.handle(msg); err != nil {
			return err
		}
	}
}

func (w *worker) handle(msg any) error {
	switch m := msg.(type) {
	case *wire.AccessUnit:
		r, err := w.accessUnit(m)
		if err != nil {
			return err
		}
		return w.conn.Send(r)
	case wire.Snapshot:
		return w.conn.Send(w.history.snapshot(m))
	case wire.Look:
		if w.looks == nil {
			break
		}
		looked, err := w.looks.take(m, w.history)
		if err != nil {
			return err
		}
		return w.conn.Send(looked)
	}
	return fmt.Errorf("unexpected message %T", msg)
}

// accessUnit decodes u and analyses the frame that is decoded, if it is due. Only a lack of memory is
// an error of its own; any other fault of the access unit is in the result.
func (w *worker) accessUnit(u *wire.AccessUnit) (wire.Result, error) {
	r := wire.Result{Frame: detection.Frame{Session: u.Session, PTS: u.PTS, Time: u.Arrived}}
	if err := w.prepare(u); err != nil {
		r.Error = err.Error()
		w.countUndecoded(u.PTS, &r)
		return r, outOfMemory(err)
	}
	w.serial++
	w.pending[w.serial%int64(len(w.pending))] = pendingFrame{w.serial, u.PTS, u.Arrived}
	if u.Keyframe {
		w.damaged = false
	}
	var fatal error
	err := w.decoder.Decode(u.Data, w.serial, func(p *decode.Frame) { fatal = errors.Join(fatal, w.frame(p, &r)) })
	if err != nil {
		r.Error = err.Error()
		w.markDamaged(u.PTS)
	}
	w.countUndecoded(u.PTS, &r)
	return r, errors.Join(fatal, outOfMemory(err))
}

// countUndecoded counts an access unit, and adds to its result that nothing could be decoded for some time, if so.
func (w *worker) countUndecoded(pts time.Duration, r *wire.Result) {
	if w.undecoded++; r.Sample == nil && w.undecoded > maxDelay && w.detector.health.Missing(pts) {
		r.Sample = &health.Sample{}
	}
}

// outOfMemory returns err if it means that memory is exhausted, else nil.
func outOfMemory(err error) error {
	if errors.Is(err, decode.ErrNoMemory) || errors.Is(err, vision.ErrNoMemory) {
		return err
	}
	return nil
}

// prepare provides a decoder for the codec of u, without state of another session.
func (w *worker) prepare(u *wire.AccessUnit) error {
	if w.decoder != nil && w.decoder.Codec() != u.Codec {
		w.decoder.Close()
		w.decoder = nil
	}
	if w.decoder == nil {
		d, err := decode.NewDecoder(u.Codec)
		if err != nil {
			return err
		}
		w.decoder = d
	}
	if u.Session != w.session {
		w.decoder.Flush()
		w.detector.resetClock()
		w.session = u.Session
		w.damaged = false
	}
	return nil
}

// markDamaged marks the frames after pts as partly concealed.
func (w *worker) markDamaged(pts time.Duration) {
	w.damaged, w.trustedFrom = true, pts+distrustPeriod
}

// frame analyses p, which it owns, and writes the outcome to r. It returns an error only if memory is
// exhausted.
func (w *worker) frame(p *decode.Frame, r *wire.Result) error {
	g := w.pending[p.Tag%int64(len(w.pending))]
	if g.serial != p.Tag {
		p.Close() // delayed for longer than any valid stream does
		return nil
	}
	if p.Damaged() {
		r.Error = "parts of the frame are missing"
		w.markDamaged(g.pts)
	}
	if w.damaged && g.pts >= w.trustedFrom {
		w.damaged = false
	}
	r.Width, r.Height = p.Size()
	if w.damaged {
		w.history.setLatest(p, w.session, g.pts)
		return nil
	}
	w.undecoded = 0
	if !w.detector.due(g.pts) {
		err := w.sample(p, g, r)
		w.history.setLatest(p, w.session, g.pts)
		return err
	}
	found, analysed, err := w.detector.detect(p, g.pts)
	if err != nil {
		r.Error = err.Error()
	} else {
		err = w.sample(p, g, r)
	}
	if analysed {
		r.Analysed, r.Moving = true, w.looks != nil && w.detector.moving(g.pts)
		r.Frame.PTS, r.Frame.Time = g.pts, g.at
		r.Frame.Detections, r.Frame.Modelled, r.Frame.Moving = found.detections, found.modelled, found.moving
	}
	w.history.add(p, w.session, g.pts)
	return outOfMemory(err)
}

// sample adds a sample of p to the result, if one is due. It returns an error only if memory is exhausted.
func (w *worker) sample(p *decode.Frame, g pendingFrame, r *wire.Result) error {
	s, err := w.detector.takeSample(p, g.pts)
	if err != nil {
		r.Error = err.Error()
		return outOfMemory(err)
	}
	if s != nil {
		r.Sample, r.Frame.PTS, r.Frame.Time = s, g.pts, g.at
	}
	return nil
}

// errSend marks a result that could not be sent.
var errSend = errors.New("sending a result")

// inputs are the files that a worker reads. They are opened before it is confined.
type inputs struct {
	model *onnx.Source // nil: motion detection only
	video *os.File     // nil: access units come from the edge
}

// openInputs limits the process and opens its files. They are not parsed. files are the descriptors that
// the process may have; 0: the default.
func openInputs(cfg wire.Config, files uint64) (in inputs, err error) {
	const maxThreads = 4096 // of all workers together: they share a user, and one has about ten
	limits := confine.Limits{Memory: cfg.Limits.Memory, Files: files}
	if cfg.Limits.User != 0 {
		limits.Threads = maxThreads
	}
	if err := confine.Limit(limits); err != nil {
		return in, err
	}
	if cfg.Video != "" {
		if in.video, err = os.Open(cfg.Video); err != nil { // named by the operator
			return in, err
		}
	}
	if cfg.Model != "" {
		in.model, err = onnx.Read(onnx.Options{Path: cfg.Model, Labels: cfg.Labels, Threads: cfg.Threads})
	}
	if err != nil {
		in.close()
	}
	return in, err
}

func (in inputs) close() {
	if in.video != nil {
		_ = in.video.Close() // nothing was written
	}
}

// analyseFile sends the results for a video file, and End. It returns io.EOF at the end.
func (w *worker) analyseFile(video *os.File) error {
	if err := w.file(video); err != nil {
		return err // run's caller sends it
	}
	if err := w.conn.Send(wire.End{}); err != nil {
		return err
	}
	return io.EOF
}

// file analyses the frames of a video file; times count from its first frame.
func (w *worker) file(video *os.File) error {
	f, err := decode.NewFile(video)
	if err != nil {
		return err
	}
	defer f.Close()
	w.detector.resetClock()
	var origin time.Duration
	for first, bad := true, 0; ; {
		p, err := f.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if outOfMemory(err) != nil {
			return err
		}
		if err != nil {
			const patience = 100 // consecutive errors
			if bad++; bad > patience {
				return err
			}
			continue
		}
		bad = 0
		pts := time.Duration(p.Tag) * time.Microsecond
		if first {
			origin, first = pts, false
		}
		if err := w.fileFrame(p, pts-origin); err != nil {
			return err
		}
	}
}

func (w *worker) fileFrame(p *decode.Frame, pts time.Duration) error {
	defer p.Close()
	if p.Damaged() {
		return nil
	}
	r := wire.Result{Frame: detection.Frame{Session: 1, PTS: pts, Time: time.Unix(0, 0).UTC().Add(pts)}}
	var err error
	if w.detector.due(pts) {
		var found analysis
		if found, r.Analysed, err = w.detector.detect(p, pts); err != nil {
			return err
		}
		r.Frame.Detections, r.Frame.Modelled, r.Frame.Moving = found.detections, found.modelled, found.moving
	}
	if r.Sample, err = w.detector.takeSample(p, pts); err != nil || !r.Analysed && r.Sample == nil {
		return err
	}
	r.Width, r.Height = p.Size()
	if err := w.conn.Send(r); err != nil {
		return fmt.Errorf("%w: %w", errSend, err)
	}
	return nil
}
