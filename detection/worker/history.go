package main

import (
	"fmt"
	"image"
	"time"

	"gridpost/detection/wire"
	"gridpost/detection/worker/decode"
	"gridpost/detection/worker/vision"
)

const (
	// These bound the decoded frames held for snapshots: a snapshot is requested when a frame has been
	// judged, which the object model delays by less than a second. At 1080p the bytes are about a second of
	// analysed frames.
	maxHistoryBytes  = 40 << 20
	maxHistoryFrames = 20
	maxHistoryAge    = time.Second

	// snapshotWidth is the largest width of a snapshot in pixels.
	snapshotWidth = 1280
)

// frameHistory holds the last frames for snapshots. It drops the oldest.
type frameHistory struct {
	frames []heldFrame // analysed frames, oldest first
	bytes  int
	last   *heldFrame // newest frame, if it was not analysed
	scaler decode.Scaler
}

// heldFrame is a decoded frame with its session and time.
type heldFrame struct {
	p       *decode.Frame
	session uint32
	pts     time.Duration
}

func (h *frameHistory) close() {
	for _, s := range h.frames {
		s.p.Close()
	}
	h.frames = nil
	h.releaseLatest()
	h.scaler.Close()
}

func (h *frameHistory) releaseLatest() {
	if h.last != nil {
		h.last.p.Close()
		h.last = nil
	}
}

// setLatest takes ownership of p and holds it until the next frame.
func (h *frameHistory) setLatest(p *decode.Frame, session uint32, pts time.Duration) {
	h.releaseLatest()
	h.last = &heldFrame{p, session, pts}
}

// add takes ownership of p, an analysed frame.
func (h *frameHistory) add(p *decode.Frame, session uint32, pts time.Duration) {
	h.releaseLatest()
	h.frames = append(h.frames, heldFrame{p, session, pts})
	h.bytes += p.Bytes()
	for len(h.frames) > maxHistoryFrames || len(h.frames) > 2 && (h.bytes > maxHistoryBytes || h.old(h.frames[0], session, pts)) {
		h.bytes -= h.frames[0].p.Bytes()
		h.frames[0].p.Close()
		h.frames = append(h.frames[:0], h.frames[1:]...)
	}
}

// old reports whether a frame is too old to be held beside one of session and pts. What is of another
// session goes as new frames come.
func (h *frameHistory) old(f heldFrame, session uint32, pts time.Duration) bool {
	return f.session == session && (pts-f.pts).Abs() > maxHistoryAge
}

// nearest returns the frame of session that is nearest to pts.
func (h *frameHistory) nearest(session uint32, pts time.Duration) (heldFrame, bool) {
	var best heldFrame
	found := false
	consider := func(s heldFrame) {
		if s.session == session && (!found || (s.pts-pts).Abs() < (best.pts-pts).Abs()) {
			best, found = s, true
		}
	}
	for _, s := range h.frames {
		consider(s)
	}
	if h.last != nil {
		consider(*h.last)
	}
	return best, found
}

func (h *frameHistory) snapshot(request wire.Snapshot) wire.JPEG {
	s, ok := h.nearest(request.Session, request.PTS)
	if !ok {
		return wire.JPEG{ID: request.ID, Error: "no frame of this session is held"}
	}
	marks := request.Marks
	if (s.pts - request.PTS).Abs() > wire.MaxMarkOffset {
		marks = nil // what they mark is elsewhere on this frame
	}
	data, err := h.draw(s.p, marks)
	if err != nil {
		return wire.JPEG{ID: request.ID, Error: err.Error()}
	}
	return wire.JPEG{ID: request.ID, PTS: s.pts, Data: data}
}

func (h *frameHistory) draw(p *decode.Frame, marks []wire.Mark) ([]byte, error) {
	w, hgt := p.Size()
	if w > snapshotWidth {
		w, hgt = snapshotWidth, max(1, hgt*snapshotWidth/w)
	}
	bgr, err := h.scaler.BGR(p, w, hgt)
	if err != nil {
		return nil, fmt.Errorf("making a snapshot: %w", err)
	}
	const most = 64 // boxes on one frame
	drawn := make([]vision.Mark, 0, min(len(marks), most))
	for _, m := range marks[:min(len(marks), most)] {
		b := m.Box
		drawn = append(drawn, vision.Mark{Label: m.Label, Box: image.Rect(
			pixel(b.X, w), pixel(b.Y, hgt), pixel(b.X+b.W, w), pixel(b.Y+b.H, hgt))})
	}
	return vision.JPEG(bgr, w, hgt, drawn)
}

// pixel returns the pixel at the fraction f of a side of n pixels.
func pixel(f float64, n int) int { return int(min(max(f, 0), 1)*float64(n) + 0.5) }
