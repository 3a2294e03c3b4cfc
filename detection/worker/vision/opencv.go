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

// DisableThreads makes OpenCV use only the thread of its caller: an edge runs a worker for each
// camera, and thread pools would compete for the same cores. It must be called before anything else
// in this package. gocv has no function for it.
func DisableThreads() { C.gp_one_thread() }

// Version returns the name and version of the library.
func Version() string { return "OpenCV " + gocv.OpenCVVersion() }

// ErrNoMemory means that memory is exhausted: the process should end, because nothing that it does now
// can be relied on.
var ErrNoMemory = errors.New("OpenCV: out of memory")

// background is a model of each pixel's usual brightness: OpenCV's MOG2, whose learning rate gocv does
// not expose, and a mean, which distinguishes shadows from objects.
type background struct {
	p *C.gp_background
	n int // pixels
}

// newBackground returns a background for w x h pixels with a history of that many
// frames. Pixels more than threshold variances away are foreground.
func newBackground(w, h, history int, threshold float64) (*background, error) {
	p := C.gp_background_new(C.int(w), C.int(h), C.int(history), C.double(threshold))
	if p == nil {
		return nil, errors.New("OpenCV returned no background subtractor")
	}
	return &background{p, w * h}, nil
}

func (b *background) close() {
	C.gp_background_free(b.p)
	b.p = nil
}

// plane returns the pixels of a gray frame of the background's size.
func (b *background) plane(m *gocv.Mat) (*C.uint8_t, error) {
	pixels, err := m.DataPtrUint8()
	if err != nil {
		return nil, err
	}
	if len(pixels) != b.n {
		return nil, errors.New("the frame does not have the size of the background")
	}
	return (*C.uint8_t)(unsafe.Pointer(&pixels[0])), nil
}

// apply sets mask to the foreground pixels of gray and learns gray at rate, 0..1.
func (b *background) apply(gray, mask *gocv.Mat, rate float64) error {
	in, out, err := b.planes(gray, mask)
	if err != nil {
		return err
	}
	switch C.gp_background_apply(b.p, in, out, C.double(rate)) {
	case 0:
		return nil
	case C.GP_NO_MEMORY:
		return ErrNoMemory
	}
	return errors.New("OpenCV could not compare the frame with its background")
}

// removeShadows clears the pixels of mask that are only shadows on the mean, and moves the mean towards
// gray by the fraction rate. uncertainty is that of the exposure, 0..1.
func (b *background) removeShadows(gray, mask *gocv.Mat, uncertainty, rate float64) error {
	in, out, err := b.planes(gray, mask)
	if err != nil {
		return err
	}
	C.gp_background_update_mean(b.p, in, out, C.double(rate))
	C.gp_background_remove_shadows(b.p, in, out, C.double(uncertainty))
	return nil
}

func (b *background) planes(gray, mask *gocv.Mat) (in, out *C.uint8_t, err error) {
	if in, err = b.plane(gray); err != nil {
		return nil, nil, err
	}
	out, err = b.plane(mask)
	return in, out, err
}
