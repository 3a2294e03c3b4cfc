package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"gridpost/detection/wire"
	"gridpost/detection/worker/decode"
)

// firstSlot is the descriptor of a worker's slot, and of the first one of an inference process. Slots are
// inherited, because a confined process cannot receive descriptors.
const firstSlot = socketFD + 1

// mapSlot maps the slot that is open as descriptor fd, and closes the descriptor. The size of a slot is
// sealed, so that reading it never fails.
func mapSlot(fd, protection int) ([]byte, error) {
	memory, err := unix.Mmap(fd, 0, wire.SlotSize, protection, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping the slot of descriptor %d: %w", fd, err)
	}
	if err := unix.Close(fd); err != nil {
		return nil, errors.Join(fmt.Errorf("closing the slot of descriptor %d: %w", fd, err), unix.Munmap(memory))
	}
	return memory, nil
}

// looks puts frames into the worker's slot, from which another process takes them to run a model on
// them. It belongs to one goroutine.
type looks struct {
	slot   []byte
	scaler decode.Scaler
	last   heldFrame // the frame that was requested last; only session and pts are set
}

func newLooks() (*looks, error) {
	slot, err := mapSlot(firstSlot, unix.PROT_READ|unix.PROT_WRITE)
	if err != nil {
		return nil, err
	}
	return &looks{slot: slot}, nil
}

func (l *looks) close() {
	l.scaler.Close()
	_ = unix.Munmap(l.slot) // the process ends
}

// take puts the newest analysed frame into the slot, unless it was requested before. An error means that
// memory is exhausted.
func (l *looks) take(m wire.Look, h *frameHistory) (wire.Looked, error) {
	none := wire.Looked{ID: m.ID}
	if m.Width < 1 || m.Height < 1 || m.Width > wire.MaxInput || m.Height > wire.MaxInput || len(h.frames) == 0 {
		return none, nil
	}
	f := h.frames[len(h.frames)-1]
	if f.session == l.last.session && f.pts == l.last.pts {
		return none, nil
	}
	l.last = heldFrame{session: f.session, pts: f.pts}
	fw, fh := f.p.Size()
	w, height := m.Width, m.Height
	if !m.Stretch {
		w, height = fit(fw, fh, m.Width, m.Height)
	}
	bgr, err := l.scaler.BGR(f.p, w, height)
	if err != nil {
		return none, outOfMemory(err) // any other error concerns this frame alone
	}
	copy(l.slot, bgr)
	return wire.Looked{ID: m.ID, Width: w, Height: height, Session: f.session, PTS: f.pts, FrameWidth: fw, FrameHeight: fh}, nil
}

// fit returns the largest size with the aspect ratio of w x h that fits into mw x mh.
func fit(w, h, mw, mh int) (int, int) {
	k := min(float64(mw)/float64(w), float64(mh)/float64(h))
	return min(max(1, int(float64(w)*k+0.5)), mw), min(max(1, int(float64(h)*k+0.5)), mh)
}
