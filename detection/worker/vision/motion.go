// Package vision finds what moves in gray pictures, draws boxes and codes JPEG, with OpenCV.
//
// It belongs to the worker's process: an OpenCV exception ends its process. It must not
// import decode or onnx; pixels come as plain bytes.
package vision

import (
	"fmt"
	"image"
	"math"
	"slices"

	"gocv.io/x/gocv"
)

// What counts as motion. Times are in seconds of the pictures' clock, sizes in parts of the
// picture.
const (
	// lookArea is how many pixels a picture has when it is looked at: enough for a person of
	// a hundredth of its height squared, few enough for a thousandth of a core a picture.
	lookArea = 384 * 288

	memory    = 120.0 // after which what stands still has become background is a tenth of this
	threshold = 20    // variances by which a pixel must differ
	learning  = 1.0   // at the beginning, when nothing is reported
	relearn   = 1.0   // after which a picture that differs everywhere is the new background

	everywhere = 0.7    // of the picture in one box: no thing, but a change of light or of the camera's aim
	smallest   = 0.0008 // of the area of the picture: a box below is noise
	filled     = 0.15   // of a box that must have changed
	entered    = 0.05   // of the shorter side: how far in a thing at the picture's edge must be
)

// Motion finds moving things in the pictures of a fixed camera. It belongs to one goroutine.
//
// A picture is brought to the usual light, compared with what each of its pixels used to be,
// and what differs is joined to things. A thing is reported from the second picture on that
// shows it.
type Motion struct {
	w, h int
	rate float64

	back  *background
	light *light

	smooth, mask          gocv.Mat
	labels, stats, middle gocv.Mat // of the connected components
	open, join            gocv.Mat // structuring elements

	seen    int     // pictures since the background was begun
	flooded int     // pictures in a row that differ everywhere
	before  []piece // of the last picture
}

// NewMotion returns a detector for pictures of w x h pixels, see Size, of which it will be
// given about rate a second.
func NewMotion(w, h int, rate float64) (*Motion, error) {
	back, err := newBackground(w, h, int(memory*rate), threshold)
	if err != nil {
		return nil, err
	}
	m := &Motion{w: w, h: h, rate: rate, back: back, light: newLight(w, h)}
	m.smooth, m.mask = gocv.NewMat(), gocv.NewMatWithSize(h, w, gocv.MatTypeCV8U)
	m.labels, m.stats, m.middle = gocv.NewMat(), gocv.NewMat(), gocv.NewMat()
	m.open = gocv.GetStructuringElement(gocv.MorphEllipse, image.Pt(3, 3))
	m.join = gocv.GetStructuringElement(gocv.MorphEllipse, image.Pt(9, 9))
	return m, nil
}

// Close frees what OpenCV holds.
func (m *Motion) Close() {
	m.back.close()
	for _, x := range []*gocv.Mat{&m.smooth, &m.mask, &m.labels, &m.stats, &m.middle, &m.open, &m.join} {
		_ = x.Close() // it frees, and has nothing to say
	}
}

// Size returns the size at which a picture of w x h pixels is looked at: its own, or smaller
// in the same shape.
func Size(w, h int) (int, int) {
	if w <= 0 || h <= 0 {
		return 16, 16
	}
	k := math.Min(1, math.Sqrt(lookArea/(float64(w)*float64(h))))
	return max(16, int(float64(w)*k)&^1), max(16, int(float64(h)*k)&^1)
}

// Find returns the boxes, in pixels of gray, of what moves. It changes gray. While the
// background is learned and when the whole picture changes it returns none.
func (m *Motion) Find(gray []byte) ([]image.Rectangle, error) {
	if len(gray) != m.w*m.h {
		return nil, fmt.Errorf("looking for motion: %d bytes are no picture of %dx%d", len(gray), m.w, m.h)
	}
	m.light.even(gray, 1/(30*m.rate))
	if err := m.compare(gray); err != nil {
		return nil, fmt.Errorf("looking for motion: %w", err)
	}
	m.seen++
	pieces := join(m.pieces(), m.h)
	if m.flood(pieces) || float64(m.seen) <= learning*m.rate {
		m.before = nil
		return nil, nil
	}
	found := m.confirmed(pieces)
	m.before = pieces
	return found, nil
}

// compare fills the mask with what differs.
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
	if m.seen == 0 {
		m.mask.SetTo(gocv.NewScalar(0, 0, 0, 0)) // there is nothing yet that the picture could differ from
	}
	doubt, pace := m.light.doubt(), max(1/(20*m.rate), 1/float64(m.seen+1))
	if doubt > 0.03 {
		pace /= 8
	}
	return m.back.settle(&m.smooth, &m.mask, doubt/3, pace)
}

// pace is how fast the background learns. At the beginning every picture counts as much as each
// before it; then ever less, so that what stands in the first picture and goes is soon forgotten and
// what comes later and stops is not.
func (m *Motion) pace() float64 {
	if m.seen == 0 {
		return 1
	}
	n := float64(m.seen + 1)
	if n > 2*m.rate {
		n *= 5
	}
	return max(1/(memory*m.rate), 1/(2*n))
}

// flood reports a picture that differs everywhere. If that stays, it is the new background.
func (m *Motion) flood(pieces []piece) bool {
	most := int(everywhere * float64(m.w*m.h))
	if !slices.ContainsFunc(pieces, func(p piece) bool { return area(p.box) >= most }) {
		m.flooded = 0
		return false
	}
	m.flooded++
	if float64(m.flooded) > relearn*m.rate {
		m.seen, m.flooded = 0, 0
		m.light = newLight(m.w, m.h)
	}
	return true
}

// confirmed returns the boxes of those pieces that are large enough for a thing and that the
// picture before had something of, too.
func (m *Motion) confirmed(pieces []piece) []image.Rectangle {
	var found []image.Rectangle
	least := smallest * float64(m.w*m.h)
	for _, p := range pieces {
		if size := float64(area(p.box)); size < least || float64(p.area) < filled*size {
			continue
		}
		if m.peeps(p.box) {
			continue
		}
		near := p.box.Inset(-max(p.box.Dx(), p.box.Dy()) / 4)
		for _, b := range m.before {
			if near.Overlaps(b.box) {
				found = append(found, p.box)
				break
			}
		}
	}
	return found
}

// peeps reports a box that is hardly in the picture yet. A swaying camera sees such slivers of
// what lies beyond its edge.
func (m *Motion) peeps(b image.Rectangle) bool {
	least := int(entered * float64(min(m.w, m.h)))
	return b.Dx() < least && (b.Min.X <= 1 || b.Max.X >= m.w-1) ||
		b.Dy() < least && (b.Min.Y <= 1 || b.Max.Y >= m.h-1)
}
