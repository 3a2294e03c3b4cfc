package decode

/*
#include "decode.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"
)

// Picture is one decoded picture. Its pixels belong to libavcodec until Close.
type Picture struct {
	// Tag is what the picture's unit was handed to Decode with; for a picture of a File, its time
	// in microseconds.
	Tag int64

	f *C.AVFrame
}

func newPicture() (*Picture, error) {
	f := C.av_frame_alloc()
	if f == nil {
		return nil, errors.New("decoding: no memory for a picture")
	}
	return &Picture{f: f}, nil
}

// Close gives the pixels back. The picture cannot be used after it; Close can.
func (p *Picture) Close() { C.av_frame_free(&p.f) }

// Size returns width and height in pixels.
func (p *Picture) Size() (w, h int) { return int(p.f.width), int(p.f.height) }

// Bytes returns how much memory the pixels take.
func (p *Picture) Bytes() int { return int(C.gp_picture_bytes(p.f)) }

// Damaged reports that parts of the picture were missing and have been made up.
func (p *Picture) Damaged() bool { return C.gp_damaged(p.f) != 0 }

// Scaler converts pictures. It keeps its tables between pictures of one size. It belongs to
// one goroutine. Its zero value is ready; Close frees the tables.
type Scaler struct {
	sws *C.struct_SwsContext
	buf []byte
}

// overrun is how far libswscale's vector code may write beyond a row's end.
const overrun = 128

// Close frees the tables.
func (s *Scaler) Close() {
	C.sws_freeContext(s.sws)
	s.sws = nil
}

// Gray returns p's brightness, scaled to w x h: one byte a pixel, rows without gaps. The bytes are
// valid until the next call.
func (s *Scaler) Gray(p *Picture, w, h int) ([]byte, error) { return s.scale(p, 1, 1, w, h) }

// BGR returns p, scaled to w x h: blue, green, red, rows without gaps. The bytes are valid until
// the next call.
func (s *Scaler) BGR(p *Picture, w, h int) ([]byte, error) { return s.scale(p, 0, 3, w, h) }

func (s *Scaler) scale(p *Picture, gray C.int, bytes, w, h int) ([]byte, error) {
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
