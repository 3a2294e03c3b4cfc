// Package vision detects motion in gray frames, draws boxes and encodes JPEG, with OpenCV.
//
// It belongs to the worker's process: an OpenCV exception aborts the process. It must not
// import decode or onnx; pixels are passed as plain bytes.
package vision

import (
	"fmt"
	"image"
	"math"
	"slices"

	"gocv.io/x/gocv"
)

// The parameters of motion detection. Times are in seconds of the stream's clock, sizes in fractions
// of the frame.
const (
	// analysisPixels is how many pixels an analysed frame has: enough for a person of a hundredth of its
	// height squared, few enough for about a thousandth of a core per frame.
	analysisPixels = 384 * 288

	memorySeconds  = 120.0 // a still object becomes background after a tenth of this
	threshold      = 20    // variances by which a foreground pixel differs
	learnSeconds   = 1.0   // at the start, when nothing is reported
	relearnSeconds = 1.0   // after which a scene change is the new background

	sceneChangeArea = 0.7    // of the frame in one box: a change of light or of the camera's aim, not an object
	minArea         = 0.0008 // of the area of the frame: smaller boxes are noise
	minFill         = 0.15   // of the pixels in a box
	minInside       = 0.05   // of the shorter side: how far inside an object at the frame's edge must be
)

// Motion detects moving objects in the frames of a fixed camera. It belongs to one goroutine.
//
// A frame is scaled to the reference exposure and compared with the background model; the pixels that
// differ are grouped into objects. An object is reported from its second frame on.
type Motion struct {
	w, h int
	rate float64

	back     *background
	exposure *exposure

	smooth, mask          gocv.Mat
	labels, stats, middle gocv.Mat // of the connected components
	open, closing         gocv.Mat // structuring elements

	frames        int         // since the background model was reset
	changedFrames int         // consecutive frames with a scene change
	previous      []component // components of the last frame
}

// NewMotion returns a detector for frames of w x h pixels, see Size, which arrive
// at about rate per second.
func NewMotion(w, h int, rate float64) (*Motion, error) {
	back, err := newBackground(w, h, int(memorySeconds*rate), threshold)
	if err != nil {
		return nil, err
	}
	m := &Motion{w: w, h: h, rate: rate, back: back, exposure: newExposure(w, h)}
	m.smooth, m.mask = gocv.NewMat(), gocv.NewMatWithSize(h, w, gocv.MatTypeCV8U)
	m.labels, m.stats, m.middle = gocv.NewMat(), gocv.NewMat(), gocv.NewMat()
	m.open = gocv.GetStructuringElement(gocv.MorphEllipse, image.Pt(3, 3))
	m.closing = gocv.GetStructuringElement(gocv.MorphEllipse, image.Pt(9, 9))
	return m, nil
}

// Close frees what OpenCV holds.
func (m *Motion) Close() {
	m.back.close()
	for _, x := range []*gocv.Mat{&m.smooth, &m.mask, &m.labels, &m.stats, &m.middle, &m.open, &m.closing} {
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

// Detect returns the boxes of moving objects in pixels of gray. It changes gray. It returns none while
// the background is learned and when the whole frame changes.
func (m *Motion) Detect(gray []byte) ([]image.Rectangle, error) {
	if len(gray) != m.w*m.h {
		return nil, fmt.Errorf("detecting motion: %d bytes are not a frame of %dx%d", len(gray), m.w, m.h)
	}
	m.exposure.normalise(gray, 1/(30*m.rate))
	if err := m.compare(gray); err != nil {
		return nil, fmt.Errorf("detecting motion: %w", err)
	}
	m.frames++
	components := mergeComponents(m.components(), m.h)
	if m.isSceneChange(components) || float64(m.frames) <= learnSeconds*m.rate {
		m.previous = nil
		return nil, nil
	}
	found := m.confirmed(components)
	m.previous = components
	return found, nil
}

// compare sets the mask to the pixels that differ from the background.
func (m *Motion) compare(gray []byte) error {
	src, err := gocv.NewMatFromBytes(m.h, m.w, gocv.MatTypeCV8U, gray)
	if err != nil {
		return err
	}
	defer src.Close()
	gocv.GaussianBlur(src, &m.smooth, image.Pt(5, 5), 0, 0, gocv.BorderReplicate)
	if err := m.back.apply(&m.smooth, &m.mask, m.pace()); err != nil {
		return err
	}
	gocv.MorphologyEx(m.mask, &m.mask, gocv.MorphOpen, m.open)
	if m.frames == 0 {
		m.mask.SetTo(gocv.NewScalar(0, 0, 0, 0)) // there is no background yet
	}
	uncertainty, pace := m.exposure.uncertainty(), max(1/(20*m.rate), 1/float64(m.frames+1))
	if uncertainty > 0.03 {
		pace /= 8
	}
	return m.back.removeShadows(&m.smooth, &m.mask, uncertainty/3, pace)
}

// pace is the learning rate of the background model. At first every frame has the same weight; later
// frames have less and less, so that an object that stands in the first frame and leaves is soon
// forgotten and one that arrives later and stops is not.
func (m *Motion) pace() float64 {
	if m.frames == 0 {
		return 1
	}
	n := float64(m.frames + 1)
	if n > 2*m.rate {
		n *= 5
	}
	return max(1/(memorySeconds*m.rate), 1/(2*n))
}

// isSceneChange reports a frame that differs almost everywhere. If the change persists, the background
// model is reset.
func (m *Motion) isSceneChange(components []component) bool {
	most := int(sceneChangeArea * float64(m.w*m.h))
	if !slices.ContainsFunc(components, func(p component) bool { return area(p.box) >= most }) {
		m.changedFrames = 0
		return false
	}
	m.changedFrames++
	if float64(m.changedFrames) > relearnSeconds*m.rate {
		m.frames, m.changedFrames = 0, 0
		m.exposure = newExposure(m.w, m.h)
	}
	return true
}

// confirmed returns the boxes of the components that are large enough for an object and that are near
// a component of the previous frame.
func (m *Motion) confirmed(components []component) []image.Rectangle {
	var found []image.Rectangle
	minSize := minArea * float64(m.w*m.h)
	for _, p := range components {
		if size := float64(area(p.box)); size < minSize || float64(p.area) < minFill*size {
			continue
		}
		if m.isSliver(p.box) {
			continue
		}
		nearby := p.box.Inset(-max(p.box.Dx(), p.box.Dy()) / 4)
		for _, b := range m.previous {
			if nearby.Overlaps(b.box) {
				found = append(found, p.box)
				break
			}
		}
	}
	return found
}

// isSliver reports a thin box at the edge of the frame. A swaying camera produces such boxes from
// whatever is just outside of the frame.
func (m *Motion) isSliver(b image.Rectangle) bool {
	minSize := int(minInside * float64(min(m.w, m.h)))
	return b.Dx() < minSize && (b.Min.X <= 1 || b.Max.X >= m.w-1) ||
		b.Dy() < minSize && (b.Min.Y <= 1 || b.Max.Y >= m.h-1)
}
