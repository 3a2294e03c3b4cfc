package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"gridpost/detection"
	"gridpost/detection/wire"
	"gridpost/detection/worker/decode"
)

// defaultRate is how many frames per second are analysed if the configuration has no rate.
const defaultRate = 10

// distrustPeriod is for how long after a damaged frame no frame is analysed, unless a keyframe arrives
// first: concealed errors move from frame to frame and look like motion.
const distrustPeriod = 2 * time.Second

// worker serves one edge. It belongs to one goroutine.
type worker struct {
	conn *wire.Conn

	detector *detector
	decoder  *decode.Decoder
	history  *frameHistory

	session     uint32 // of the last access unit; 0: none yet
	serial      int64  // of the last access unit; the tag of its frame
	pending     [64]pendingFrame
	trustedFrom time.Duration // PTS from which frames are trusted again, while damaged
	damaged     bool
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
	if w.detector, err = newDetector(cfg); err != nil {
		return err
	}
	if err := w.conn.Send(wire.Ready{Version: buildVersion(), Detector: w.detector.name()}); err != nil {
		return err
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
		return w.conn.Send(w.accessUnit(m))
	case wire.Snapshot:
		return w.conn.Send(w.history.snapshot(m))
	case wire.File:
		err := w.file(m.Path)
		if err != nil && (isDisconnected(err) || errors.Is(err, errSend)) {
			return err
		}
		end := wire.End{}
		if err != nil {
			end.Error = err.Error()
		}
		return w.conn.Send(end)
	}
	return fmt.Errorf("unexpected message %T", msg)
}

// accessUnit decodes u and analyses the frame that is decoded, if it is due.
func (w *worker) accessUnit(u *wire.AccessUnit) wire.Result {
	r := wire.Result{Frame: detection.Frame{Session: u.Session, PTS: u.PTS, Time: u.Arrived}}
	if err := w.prepare(u); err != nil {
		r.Error = err.Error()
		return r
	}
	w.serial++
	w.pending[w.serial%int64(len(w.pending))] = pendingFrame{w.serial, u.PTS, u.Arrived}
	if u.Keyframe {
		w.damaged = false
	}
	err := w.decoder.Decode(u.Data, w.serial, func(p *decode.Frame) { w.frame(p, &r) })
	if err != nil {
		r.Error = err.Error()
		w.markDamaged(u.PTS)
	}
	return r
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

// frame analyses p, which it owns, and writes the outcome to r.
func (w *worker) frame(p *decode.Frame, r *wire.Result) {
	g := w.pending[p.Tag%int64(len(w.pending))]
	if g.serial != p.Tag {
		p.Close() // delayed for longer than any valid stream does
		return
	}
	if p.Damaged() {
		r.Error = "parts of the frame are missing"
		w.markDamaged(g.pts)
	}
	if w.damaged && g.pts >= w.trustedFrom {
		w.damaged = false
	}
	r.Width, r.Height = p.Size()
	if w.damaged || !w.detector.due(g.pts) {
		w.history.setLatest(p, w.session, g.pts)
		return
	}
	found, analysed, err := w.detector.detect(p, g.pts)
	if err != nil {
		r.Error = err.Error()
	}
	if analysed {
		r.Analysed = true
		r.Frame.PTS, r.Frame.Time, r.Frame.Detections = g.pts, g.at, found
	}
	w.history.add(p, w.session, g.pts)
}

// errSend marks a result that could not be sent.
var errSend = errors.New("sending a result")

// file analyses the frames of a video file; times count from its first frame.
func (w *worker) file(path string) error {
	f, err := decode.OpenFile(path)
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
	if p.Damaged() || !w.detector.due(pts) {
		return nil
	}
	found, analysed, err := w.detector.detect(p, pts)
	if err != nil || !analysed {
		return err
	}
	r := wire.Result{Analysed: true, Frame: detection.Frame{
		Session: 1, PTS: pts, Time: time.Unix(0, 0).UTC().Add(pts), Detections: found,
	}}
	r.Width, r.Height = p.Size()
	if err := w.conn.Send(r); err != nil {
		return fmt.Errorf("%w: %w", errSend, err)
	}
	return nil
}
