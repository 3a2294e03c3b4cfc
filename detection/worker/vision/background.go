package vision

/*
#include "align.h"
#include "background.h"
#include "evidence.h"
#include "light.h"
*/
import "C"

import (
	"image"
	"unsafe"
)

// background is a model of each pixel's usual brightness. Its planes are bytes, one per pixel, rows without padding.
type background struct {
	p    *C.gp_background
	w, h int
}

// newBackground returns a background for frames of w x h pixels.
func newBackground(w, h int) (*background, error) {
	p := C.gp_background_new(C.int(w), C.int(h))
	if p == nil {
		return nil, ErrNoMemory
	}
	return &background{p, w, h}, nil
}

func (b *background) close() {
	C.gp_background_free(b.p)
	b.p = nil
}

// reset makes gray the background.
func (b *background) reset(gray []byte) { C.gp_background_reset(b.p, plane(gray)) }

// noise returns the mean deviation of all pixels from the background, in levels of brightness.
func (b *background) noise() float64 { return float64(C.gp_background_noise(b.p)) }

// compare sets mask to the pixels of gray that differ from the background.
func (b *background) compare(gray, mask []byte) {
	C.gp_background_compare(b.p, plane(gray), plane(mask))
}

// explain clears the pixels of mask that a change of light or a slight movement of the camera explains. edge is the
// gradient in levels over two pixels from which on an edge is seen.
func (b *background) explain(gray, mask []byte, edge int) {
	C.gp_background_explain(b.p, plane(gray), plane(mask), C.int(edge))
}

// What marks the pixels of objects in a plane: those that travel, and those that stay in one place.
const (
	heldInPlace    = C.GP_IN_PLACE
	heldTravelling = C.GP_TRAVELLING
)

// learning is how a frame is learned.
type learning struct {
	step   float64 // seconds since the last frame
	pace   float64 // fraction by which the background moves towards a pixel that agrees with it, 0..1
	drift  float64 // fraction by which the background moves towards the present light, 0..1
	absorb float64 // seconds after which a pixel that differs, and is not held, is the background
}

// learn learns gray, which has been scaled to the light of the background; lit is the same frame in its own light.
// The pixels of held belong to objects and are not learned.
func (b *background) learn(gray, lit, held []byte, l learning) {
	C.gp_background_learn(b.p, plane(gray), plane(lit), plane(held), C.gp_learning{
		step: C.float(l.step), pace: C.float(l.pace), drift: C.float(l.drift), absorb: C.float(l.absorb),
	})
}

// absorb makes gray the background where mask is set in box.
func (b *background) absorb(gray, mask []byte, box image.Rectangle) {
	C.gp_background_absorb(b.p, plane(gray), plane(mask), C.int(box.Min.X), C.int(box.Min.Y), C.int(box.Max.X), C.int(box.Max.Y))
}

// align shifts gray so that it lies on the background, and returns by how many pixels it was shifted.
func (b *background) align(gray []byte) (image.Point, error) {
	var dx, dy C.int
	if C.gp_align(plane(gray), C.gp_background_plane(b.p), C.int(b.w), C.int(b.h), &dx, &dy) != 0 {
		return image.Point{}, ErrNoMemory
	}
	return image.Pt(int(dx), int(dy)), nil
}

// light is how the light of a frame differs from that of the background.
type light struct {
	gain     float64 // of the whole frame; 1: as bright as the background
	cells    int     // of the frame
	textured int     // cells of the background with a texture
	changed  int     // of these, those that have another texture now
}

// relight scales gray to the light of the background into out.
func (b *background) relight(gray, out []byte) light {
	sum := C.gp_light(plane(gray), C.gp_background_plane(b.p), plane(out), C.int(b.w), C.int(b.h), C.float(b.noise()))
	return light{gain: float64(sum.gain), cells: int(sum.cells), textured: int(sum.textured), changed: int(sum.changed)}
}

// evidence counts the edges in a box and along the outline of what differs in it, in pixels.
type evidence struct {
	own, kept, lost int // edges of the frame alone, of both, of the background alone

	outline, outlineOwn, outlineLost int // the outline, and its parts at edges of the frame or of the background alone

	sharpness int // mean gradient of the frame along the outline, levels over two pixels
	contrast  int // mean difference from the background, levels
}

// evidence compares the edges of gray in box with those of the background.
func (b *background) evidence(gray, mask []byte, box image.Rectangle, edge int) evidence {
	e := C.gp_evidence_of(plane(gray), C.gp_background_plane(b.p), plane(mask), C.int(b.w), C.int(b.h),
		C.int(box.Min.X), C.int(box.Min.Y), C.int(box.Max.X), C.int(box.Max.Y), C.int(edge))
	return evidence{
		own: int(e.own), kept: int(e.kept), lost: int(e.lost),
		outline: int(e.outline), outlineOwn: int(e.outlineOwn), outlineLost: int(e.outlineLost),
		sharpness: int(e.sharpness), contrast: int(e.contrast),
	}
}

func plane(pixels []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(pixels))) }
