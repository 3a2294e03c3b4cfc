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
	// pastBytes and pastPictures bound the decoded pictures kept for snapshots. At 1080p
	// that is about a second of pictures that were looked at.
	pastBytes    = 40 << 20
	pastPictures = 20

	// snapshotWidth is the most that a snapshot is wide, in pixels.
	snapshotWidth = 1280
)

// past holds the last pictures for snapshots. It drops the oldest.
type past struct {
	kept   []seen // that were looked at, oldest first
	bytes  int
	last   *seen // that was not, if it is the newest of all
	scaler decode.Scaler
}

// seen is a picture that has been shown.
type seen struct {
	p       *decode.Picture
	session uint32
	pts     time.Duration
}

func (h *past) close() {
	for _, s := range h.kept {
		s.p.Close()
	}
	h.kept = nil
	h.forget()
	h.scaler.Close()
}

func (h *past) forget() {
	if h.last != nil {
		h.last.p.Close()
		h.last = nil
	}
}

// passing takes p over until the next picture comes.
func (h *past) passing(p *decode.Picture, session uint32, pts time.Duration) {
	h.forget()
	h.last = &seen{p, session, pts}
}

// keep takes p over, to be found again for a while.
func (h *past) keep(p *decode.Picture, session uint32, pts time.Duration) {
	h.forget()
	h.kept = append(h.kept, seen{p, session, pts})
	h.bytes += p.Bytes()
	for len(h.kept) > pastPictures || (h.bytes > pastBytes && len(h.kept) > 2) {
		h.bytes -= h.kept[0].p.Bytes()
		h.kept[0].p.Close()
		h.kept = append(h.kept[:0], h.kept[1:]...)
	}
}

// nearest returns the picture of session that is nearest to pts.
func (h *past) nearest(session uint32, pts time.Duration) (seen, bool) {
	var best seen
	found := false
	consider := func(s seen) {
		if s.session == session && (!found || (s.pts-pts).Abs() < (best.pts-pts).Abs()) {
			best, found = s, true
		}
	}
	for _, s := range h.kept {
		consider(s)
	}
	if h.last != nil {
		consider(*h.last)
	}
	return best, found
}

func (h *past) snapshot(ask wire.Snapshot) wire.JPEG {
	s, ok := h.nearest(ask.Session, ask.PTS)
	if !ok {
		return wire.JPEG{ID: ask.ID, Error: "no picture of that connection to the camera is held"}
	}
	data, err := h.draw(s.p, ask.Marks)
	if err != nil {
		return wire.JPEG{ID: ask.ID, Error: err.Error()}
	}
	return wire.JPEG{ID: ask.ID, PTS: s.pts, Data: data}
}

func (h *past) draw(p *decode.Picture, marks []wire.Mark) ([]byte, error) {
	w, hgt := p.Size()
	if w > snapshotWidth {
		w, hgt = snapshotWidth, max(1, hgt*snapshotWidth/w)
	}
	bgr, err := h.scaler.BGR(p, w, hgt)
	if err != nil {
		return nil, fmt.Errorf("making a snapshot: %w", err)
	}
	const most = 64 // boxes in one picture
	drawn := make([]vision.Mark, 0, min(len(marks), most))
	for _, m := range marks[:min(len(marks), most)] {
		b := m.Box
		drawn = append(drawn, vision.Mark{Label: m.Label, Box: image.Rect(
			pixel(b.X, w), pixel(b.Y, hgt), pixel(b.X+b.W, w), pixel(b.Y+b.H, hgt))})
	}
	return vision.JPEG(bgr, w, hgt, drawn)
}

// pixel returns where the fraction f of a side of n pixels is.
func pixel(f float64, n int) int { return int(min(max(f, 0), 1)*float64(n) + 0.5) }
