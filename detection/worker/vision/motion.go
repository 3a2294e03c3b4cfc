// Package vision detects motion in gray frames, draws boxes and encodes JPEG, with OpenCV.
//
// It belongs to the worker's process: an OpenCV exception aborts the process. It must not
// import decode or onnx; pixels are passed as plain bytes.
package vision

import (
	"fmt"
	"image"
	"image/color"
	"math"

	"gocv.io/x/gocv"
)

// The parameters of motion detection. Times are in seconds of the stream's clock, sizes in fractions
// of the frame.
const (
	// analysisPixels is how many pixels an analysed frame has: enough for a person of a hundredth of its
	// height squared, few enough for about a thousandth of a core per frame.
	analysisPixels = 384 * 288

	learnSeconds   = 1.0  // at the start, when nothing is reported
	settleSeconds  = 30.0 // in which the background follows what agrees with it
	driftSeconds   = 60.0 // in which the background follows the light
	absorbSeconds  = 10.0 // after which what differs, and is no object, is the background
	relearnSeconds = 1.0  // after which a scene change is the new background

	sceneChangeArea  = 0.7  // of the frame in one box: a change of light or of the camera's aim, not an object
	sceneChangeCells = 0.65 // of the textured cells with another texture: likewise
	fewestChanged    = 0.2  // of all cells: the least that must have another texture for that
	suddenArea       = 0.35 // of the frame that differs, when hardly any of the last frame did: likewise
	calmArea         = 0.05 // of the frame that differs, at most, in a frame in which hardly any does

	minArea   = 0.0008 // of the area of the frame: smaller boxes are noise
	minFill   = 0.15   // of the pixels in a box
	minInside = 0.05   // of the shorter side: how far inside an object at the frame's edge must be
)

// Motion detects moving objects in the frames of a fixed camera, and those that came and stand still. It belongs to
// one goroutine.
//
// A frame is shifted and scaled to the background's position and light, and compared with it; the pixels that
// differ are grouped into objects. An object has edges of its own and is reported from its second frame on.
type Motion struct {
	w, h int
	rate float64

	back *background
	wet  *precipitation

	lit, norm, mask, held gocv.Mat // see planes
	labels, stats, middle gocv.Mat // of the connected components
	open, closing         gocv.Mat // structuring elements

	frames        int         // since the background model was reset
	changedFrames int         // consecutive frames with a scene change
	differed      float64     // fraction of the last frame that differed
	previous      []component // components of the last frame
	places        []place     // where components have been without moving
}

// NewMotion returns a detector for frames of w x h pixels, see Size, which arrive
// at about rate per second.
func NewMotion(w, h int, rate float64) (*Motion, error) {
	back, err := newBackground(w, h)
	if err != nil {
		return nil, err
	}
	m := &Motion{w: w, h: h, rate: rate, back: back, wet: newPrecipitation(w, h, rate)}
	m.lit, m.norm = gocv.NewMatWithSize(h, w, gocv.MatTypeCV8U), gocv.NewMatWithSize(h, w, gocv.MatTypeCV8U)
	m.mask, m.held = gocv.NewMatWithSize(h, w, gocv.MatTypeCV8U), gocv.NewMatWithSize(h, w, gocv.MatTypeCV8U)
	m.labels, m.stats, m.middle = gocv.NewMat(), gocv.NewMat(), gocv.NewMat()
	m.open = gocv.GetStructuringElement(gocv.MorphRect, image.Pt(2, 2))
	m.closing = gocv.GetStructuringElement(gocv.MorphEllipse, image.Pt(9, 9))
	return m, nil
}

// Close frees what OpenCV holds.
func (m *Motion) Close() {
	m.back.close()
	m.wet.close()
	for _, x := range []*gocv.Mat{&m.lit, &m.norm, &m.mask, &m.held, &m.labels, &m.stats, &m.middle, &m.open, &m.closing} {
		_ = x.Close() // it only frees memory and always returns nil
	}
}

// Size returns the size at which a frame of w x h pixels is analysed: its own, or a smaller one
// with the same aspect ratio.
func Size(w, h int) (int, int) {
	if w <= 0 || h <= 0 {
		return 16, 16
	}
	k := math.Min(1, math.Sqrt(analysisPixels/(float64(w)*float64(h))))
	return max(16, int(float64(w)*k)&^1), max(16, int(float64(h)*k)&^1)
}

// planes are the pixels of one analysed frame.
type planes struct {
	lit  []byte // blurred, shifted onto the background
	norm []byte // the same in the light of the background
	mask []byte // what differs
	held []byte // what belongs to objects
}

// Detect returns the boxes of moving objects, and of those that came and stand still, in pixels of gray. It returns
// none while the background is learned and when the whole frame changes.
func (m *Motion) Detect(gray []byte) ([]image.Rectangle, error) {
	if len(gray) != m.w*m.h {
		return nil, fmt.Errorf("detecting motion: %d bytes are not a frame of %dx%d", len(gray), m.w, m.h)
	}
	p, err := m.blur(gray)
	if err != nil {
		return nil, fmt.Errorf("detecting motion: %w", err)
	}
	if m.frames == 0 {
		m.restart(p)
		return nil, nil
	}
	var shift image.Point
	if !m.learning() { // a background of few frames is noise
		if shift, err = m.back.align(p.lit); err != nil {
			return nil, fmt.Errorf("detecting motion: %w", err)
		}
	}
	light := m.back.relight(p.lit, p.norm)
	edge := m.edge()
	m.back.compare(p.norm, p.mask)
	m.back.explain(p.norm, p.mask, edge)
	m.wet.filter(&m.mask)
	gocv.MorphologyEx(m.mask, &m.mask, gocv.MorphOpen, m.open)
	before := m.differed
	m.differed = float64(gocv.CountNonZero(m.mask)) / float64(m.w*m.h)
	if before < calmArea && m.differed > suddenArea && !m.learning() {
		m.restart(p) // the light was switched, or the camera changed to infrared
		return nil, nil
	}
	parts := m.components()
	components := mergeComponents(parts, m.h)
	m.wet.count()
	if m.learning() {
		m.learn(p, nil)
		return nil, nil
	}
	if m.isSceneChange(components, light) {
		m.previous, m.places = nil, nil
		if m.changedFrames > int(relearnSeconds*m.rate) {
			m.restart(p)
		}
		return nil, nil
	}
	found := m.objects(p, components, edge)
	m.learn(p, found)
	m.previous = components
	boxes := make([]image.Rectangle, len(found))
	for i, o := range found {
		boxes[i] = o.box.Add(shift).Intersect(image.Rect(0, 0, m.w, m.h))
	}
	return boxes, nil
}

// learning reports whether the background is learned and nothing is reported.
func (m *Motion) learning() bool { return float64(m.frames) <= learnSeconds*m.rate }

// edge returns the gradient, in levels over two pixels, from which on an edge is seen and not noise.
func (m *Motion) edge() int { return int(min(max(5+4*m.back.noise(), 9), 24)) }

// blur returns the planes of a frame; lit is set.
func (m *Motion) blur(gray []byte) (p planes, err error) {
	src, err := gocv.NewMatFromBytes(m.h, m.w, gocv.MatTypeCV8U, gray)
	if err != nil {
		return p, err
	}
	defer src.Close()
	gocv.GaussianBlur(src, &m.lit, image.Pt(5, 5), 0, 0, gocv.BorderReplicate)
	for plane, mat := range map[*[]byte]*gocv.Mat{&p.lit: &m.lit, &p.norm: &m.norm, &p.mask: &m.mask, &p.held: &m.held} {
		if *plane, err = mat.DataPtrUint8(); err != nil {
			return p, err
		}
		if len(*plane) != m.w*m.h {
			return p, fmt.Errorf("a plane of %d bytes is not one of %dx%d", len(*plane), m.w, m.h)
		}
	}
	return p, nil
}

// restart makes the frame the background.
func (m *Motion) restart(p planes) {
	m.back.reset(p.lit)
	m.frames, m.changedFrames, m.differed = 1, 0, 0
	m.previous, m.places = nil, nil
	m.wet.restart()
}

// learn learns the frame except for what is in the boxes of objects.
func (m *Motion) learn(p planes, found []object) {
	step := 1 / m.rate
	l := learning{step: step, pace: step / settleSeconds, drift: min(step/driftSeconds, 1), absorb: absorbSeconds}
	l.pace = min(max(l.pace, 1/float64(m.frames+1)), 1)
	if m.learning() {
		l.absorb = learnSeconds / 4
	}
	m.held.SetTo(gocv.NewScalar(0, 0, 0, 0))
	const margin = 4 // pixels
	for _, o := range found {
		gocv.Rectangle(&m.held, o.box.Inset(-margin), color.RGBA{B: o.held()}, -1)
	}
	m.back.learn(p.norm, p.lit, p.held, l)
	m.frames++
}

// isSceneChange reports a frame that differs almost everywhere.
func (m *Motion) isSceneChange(components []component, l light) bool {
	most := int(sceneChangeArea * float64(m.w*m.h))
	changed := float64(l.changed) > sceneChangeCells*float64(l.textured) && float64(l.changed) > fewestChanged*float64(l.cells)
	for _, p := range components {
		changed = changed || area(p.box) >= most
	}
	if !changed {
		m.changedFrames = 0
		return false
	}
	m.changedFrames++
	return true
}
