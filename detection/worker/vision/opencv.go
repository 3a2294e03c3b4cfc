package vision

/*
#cgo pkg-config: opencv4
#include "opencv.h"
*/
import "C"

import (
	"errors"
	"unsafe"

	"gocv.io/x/gocv"
)

// Settle keeps OpenCV to the thread of its caller: an edge runs a worker for each camera, and
// pools of threads would only fight. It is called before anything else here. gocv has no call for
// it.
func Settle() { C.gp_one_thread() }

// Version names the library that does the work.
func Version() string { return "OpenCV " + gocv.OpenCVVersion() }

// background knows what each pixel used to be: OpenCV's MOG2, whose pace of learning gocv does
// not let its caller choose, and a mean, to tell shade from things.
type background struct {
	p *C.gp_background
	n int // pixels
}

// newBackground returns a background for w x h pixels that learns with the pace of history
// pictures. Pixels more than threshold variances away do not fit.
func newBackground(w, h, history int, threshold float64) (*background, error) {
	p := C.gp_background_new(C.int(w), C.int(h), C.int(history), C.double(threshold))
	if p == nil {
		return nil, errors.New("OpenCV gave no background subtractor")
	}
	return &background{p, w * h}, nil
}

func (b *background) close() {
	C.gp_background_free(b.p)
	b.p = nil
}

// plane returns the pixels of a gray picture of the background's size.
func (b *background) plane(m *gocv.Mat) (*C.uint8_t, error) {
	pixels, err := m.DataPtrUint8()
	if err != nil {
		return nil, err
	}
	if len(pixels) != b.n {
		return nil, errors.New("a picture is not of its background's size")
	}
	return (*C.uint8_t)(unsafe.Pointer(&pixels[0])), nil
}

// apply writes into mask what in gray does not fit, and learns gray at rate, 0..1.
func (b *background) apply(gray, mask *gocv.Mat, rate float64) error {
	in, out, err := b.planes(gray, mask)
	if err != nil {
		return err
	}
	if C.gp_background_apply(b.p, in, out, C.double(rate)) != 0 {
		return errors.New("OpenCV could not compare the picture with its background")
	}
	return nil
}

// settle clears what in mask is only shade on the mean, and moves the mean towards gray by the
// part rate of the way. doubt is how far the light is from the usual, 0..1.
func (b *background) settle(gray, mask *gocv.Mat, doubt, rate float64) error {
	in, out, err := b.planes(gray, mask)
	if err != nil {
		return err
	}
	C.gp_background_mean(b.p, in, out, C.double(rate))
	C.gp_background_unshade(b.p, in, out, C.double(doubt))
	return nil
}

func (b *background) planes(gray, mask *gocv.Mat) (in, out *C.uint8_t, err error) {
	if in, err = b.plane(gray); err != nil {
		return nil, nil, err
	}
	out, err = b.plane(mask)
	return in, out, err
}
