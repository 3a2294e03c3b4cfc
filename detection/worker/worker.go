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

// defaultRate is how many pictures a second are looked at unless the edge says otherwise.
const defaultRate = 10

// blind is for how long after a damaged picture nothing is looked at, unless a key unit comes
// first: what was made up moves on from picture to picture and would look like motion.
const blind = 2 * time.Second

// worker answers one edge. It belongs to one goroutine.
type worker struct {
	conn *wire.Conn

	look    *looker
	decoder *decode.Decoder
	past    *past

	session uint32 // of the last unit; 0: none yet
	serial  int64  // of the last unit; tags its picture
	given   [64]given
	clear   time.Duration // when pictures can be trusted again, while dirty
	dirty   bool
}

// given is what must be known of a unit when its picture comes out, which may be later.
type given struct {
	serial int64
	pts    time.Duration
	at     time.Time
}

func newWorker(conn *wire.Conn) *worker {
	return &worker{conn: conn, past: &past{}}
}

func (w *worker) close() error {
	w.past.close()
	if w.decoder != nil {
		w.decoder.Close()
	}
	if w.look != nil {
		return w.look.close()
	}
	return nil
}

// run answers until the connection ends, with io.EOF when the edge closed it in order.
func (w *worker) run() error {
	msg, err := w.conn.Receive()
	if err != nil {
		return err
	}
	cfg, ok := msg.(wire.Config)
	if !ok {
		return fmt.Errorf("%T came before Config", msg)
	}
	if w.look, err = newLooker(cfg); err != nil {
		return err
	}
	if err := w.conn.Send(wire.Ready{Version: buildVersion(), Detector: w.look.name()}); err != nil {
		return err
	}
	for {
		msg, err := w.conn.Receive()
		if err != nil {
			return err
		}
		if err := w.answer(msg); err != nil {
			return err
		}
	}
}

func (w *worker) answer(msg any) error {
	switch m := msg.(type) {
	case *wire.Unit:
		return w.conn.Send(w.unit(m))
	case wire.Snapshot:
		return w.conn.Send(w.past.snapshot(m))
	case wire.File:
		err := w.file(m.Path)
		if err != nil && (isGone(err) || errors.Is(err, errSend)) {
			return err
		}
		end := wire.End{}
		if err != nil {
			end.Error = err.Error()
		}
		return w.conn.Send(end)
	}
	return fmt.Errorf("%T is nothing to answer", msg)
}

// unit decodes u and looks at the picture that comes out, if its turn has come.
func (w *worker) unit(u *wire.Unit) wire.Result {
	r := wire.Result{Frame: detection.Frame{Session: u.Session, PTS: u.PTS, Time: u.Arrived}}
	if err := w.prepare(u); err != nil {
		r.Error = err.Error()
		return r
	}
	w.serial++
	w.given[w.serial%int64(len(w.given))] = given{w.serial, u.PTS, u.Arrived}
	if u.Key {
		w.dirty = false
	}
	err := w.decoder.Decode(u.Data, w.serial, func(p *decode.Picture) { w.picture(p, &r) })
	if err != nil {
		r.Error = err.Error()
		w.distrust(u.PTS)
	}
	return r
}

// prepare makes the decoder fit for u: its coding, and no memory of another session.
func (w *worker) prepare(u *wire.Unit) error {
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
		w.look.restart()
		w.session = u.Session
		w.dirty = false
	}
	return nil
}

// distrust marks what comes after pts as made up in part.
func (w *worker) distrust(pts time.Duration) {
	w.dirty, w.clear = true, pts+blind
}

// picture looks at p, which it owns, and writes what it saw into r.
func (w *worker) picture(p *decode.Picture, r *wire.Result) {
	g := w.given[p.Tag%int64(len(w.given))]
	if g.serial != p.Tag {
		p.Close() // held back for longer than any sound stream needs
		return
	}
	if p.Damaged() {
		r.Error = "the picture came with parts missing"
		w.distrust(g.pts)
	}
	if w.dirty && g.pts >= w.clear {
		w.dirty = false
	}
	r.Width, r.Height = p.Size()
	if w.dirty || !w.look.due(g.pts) {
		w.past.passing(p, w.session, g.pts)
		return
	}
	found, looked, err := w.look.at(p, g.pts)
	if err != nil {
		r.Error = err.Error()
	}
	if looked {
		r.Analysed = true
		r.Frame.PTS, r.Frame.Time, r.Frame.Detections = g.pts, g.at, found
	}
	w.past.keep(p, w.session, g.pts)
}

// errSend marks that the edge could not be told a result.
var errSend = errors.New("the edge does not listen")

// file looks at the pictures of a video file; times count from its first picture.
func (w *worker) file(path string) error {
	f, err := decode.OpenFile(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w.look.restart()
	var origin time.Duration
	for first, bad := true, 0; ; {
		p, err := f.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			const patience = 100 // errors in a row
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
		if err := w.filePicture(p, pts-origin); err != nil {
			return err
		}
	}
}

func (w *worker) filePicture(p *decode.Picture, pts time.Duration) error {
	defer p.Close()
	if p.Damaged() || !w.look.due(pts) {
		return nil
	}
	found, looked, err := w.look.at(p, pts)
	if err != nil || !looked {
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
