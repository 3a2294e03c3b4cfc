package decode

/*
#include "decode.h"
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// Frame is one decoded frame. Its pixels belong to libavcodec until Close.
type Frame struct {
	// Tag is the tag that the frame's access unit was passed to Decode with; for a frame of a File,
	// its time in microseconds.
	Tag int64

	f *C.AVFrame
}

func newFrame() (*Frame, error) {
	f := C.av_frame_alloc()
	if f == nil {
		return nil, fmt.Errorf("allocating a frame: %w", ErrNoMemory)
	}
	return &Frame{f: f}, nil
}

// Close frees the pixels. The frame cannot be used afterwards; Close may be called again.
func (p *Frame) Close() { C.av_frame_free(&p.f) }

// Size returns width and height in pixels.
func (p *Frame) Size() (w, h int) { return int(p.f.width), int(p.f.height) }

// Bytes returns how much memory the pixels take, in bytes.
func (p *Frame) Bytes() int { return int(C.gp_frame_bytes(p.f)) }

// Damaged reports that parts of the frame were missing and the decoder concealed them.
func (p *Frame) Damaged() bool { return C.gp_damaged(p.f) != 0 }

// Intra reports that the frame was encoded without reference to others.
func (p *Frame) Intra() bool { return C.gp_intra(p.f) != 0 }

// Scaler scales and converts frames. It reuses its tables between frames of one size. It belongs to
// one goroutine. Its zero value can be used; Close frees the tables.
type Scaler struct {
	sws *C.struct_SwsContext
	buf []byte
}

// overrun is how many bytes libswscale's vector code may write beyond the end of a row.
const overrun = 128

// Close frees the tables.
func (s *Scaler) Close() {
	C.sws_freeContext(s.sws)
	s.sws = nil
}

// Gray returns p's brightness, scaled to w x h: one byte per pixel, rows without padding. The bytes are
// valid until the next call.
func (s *Scaler) Gray(p *Frame, w, h int) ([]byte, error) { return s.scale(p, 1, 1, w, h) }

// BGR returns p, scaled to w x h: blue, green, red, rows without padding. The bytes are valid until
// the next call.
func (s *Scaler) BGR(p *Frame, w, h int) ([]byte, error) { return s.scale(p, 0, 3, w, h) }

func (s *Scaler) scale(p *Frame, gray C.int, bytes, w, h int) ([]byte, error) {
	if w <= 0 || h <= 0 {
		return nil, fmt.Errorf("scaling to %dx%d: not a size", w, h)
	}
	n := w * h * bytes
	if cap(s.buf) < n+overrun {
		s.buf = make([]byte, n+overrun)
	}
	code := C.gp_scale(&s.sws, p.f, gray, (*C.uint8_t)(unsafe.Pointer(&s.buf[0])), C.int(w), C.int(h))
	return s.buf[:n], averror("scaling", code)
}
