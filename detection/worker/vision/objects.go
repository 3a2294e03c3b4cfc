package vision

import "image"

// What distinguishes an object from light and from a place where an object was. Times are in seconds, shares are
// fractions.
const (
	ownShare     = 0.25 // of a box's circumference in pixels: the least of edges that an object has of its own
	softShare    = 0.3  // of the contrast: the least gradient along the outline of an object; a pool of light has less
	largeArea    = 1.0 / 3
	keptShare    = 0.6 // of the background's edges in a large box: with more of them it is light
	stillOverlap = 0.75
	ghostSeconds = 0.7  // after which a component that does not move is looked at
	ghostLead    = 1.3  // by how much the outline must follow the background's edges more than those of the frame
	ghostShare   = 0.15 // of the outline: the least that must follow them
	mostStanding = 3600 // after which what stands is the background
)

// place is where a component has been without moving.
type place struct {
	box    image.Rectangle
	since  int // frame
	ghosts int // consecutive frames in which it looked like the place of an object that is gone
}

// objects returns the boxes of the components that are objects, and absorbs those that are left over from objects
// that are gone.
func (m *Motion) objects(p planes, components []component, edge int) []image.Rectangle {
	var found []image.Rectangle
	var places []place
	for _, c := range components {
		if !m.large(c) || m.isSliver(c.box) {
			continue
		}
		e := m.back.evidence(p.norm, p.mask, c.box, edge)
		at := m.place(c.box)
		still := float64(m.frames-at.since) / m.rate
		if still >= ghostSeconds && (isGhost(e) || still > mostStanding) {
			at.ghosts++
		} else {
			at.ghosts = 0
		}
		if at.ghosts >= 3 {
			m.back.absorb(p.norm, p.mask, c.box)
			continue
		}
		places = append(places, at)
		if m.isLight(c.box, e) || !m.confirmed(c.box) {
			continue
		}
		found = append(found, c.box)
	}
	m.places = places
	return found
}

// place returns where a component with that box has been without moving.
func (m *Motion) place(box image.Rectangle) place {
	for _, p := range m.places {
		both := area(p.box.Intersect(box))
		if float64(both) >= stillOverlap*float64(area(p.box)+area(box)-both) {
			return p
		}
	}
	return place{box: box, since: m.frames}
}

// isGhost reports whether the edges along an outline are those of the background: what was there has gone.
func isGhost(e evidence) bool {
	return float64(e.outlineLost) > ghostLead*float64(e.outlineOwn) && float64(e.outlineLost) > ghostShare*float64(e.outline)
}

// isLight reports whether nothing but the light has changed in a box: it has hardly any edges of its own, or a soft outline, or it is
// large and has those of the background.
func (m *Motion) isLight(box image.Rectangle, e evidence) bool {
	if float64(e.own) < ownShare*float64(2*(box.Dx()+box.Dy())) || float64(e.sharpness) < softShare*float64(e.contrast) {
		return true
	}
	return float64(area(box)) > largeArea*float64(m.w*m.h) && float64(e.kept) > keptShare*float64(e.kept+e.lost) && e.own < e.kept
}

// large reports whether a component is large enough for an object.
func (m *Motion) large(c component) bool {
	size := float64(area(c.box))
	return size >= minArea*float64(m.w*m.h) && float64(c.area) >= minFill*size
}

// confirmed reports whether there was a component near box in the last frame.
func (m *Motion) confirmed(box image.Rectangle) bool {
	nearby := box.Inset(-max(box.Dx(), box.Dy()) / 4)
	for _, b := range m.previous {
		if nearby.Overlaps(b.box) {
			return true
		}
	}
	return false
}

// isSliver reports a thin box at the edge of the frame. A swaying camera produces such boxes from
// whatever is just outside of the frame.
func (m *Motion) isSliver(b image.Rectangle) bool {
	minSize := int(minInside * float64(min(m.w, m.h)))
	return b.Dx() < minSize && (b.Min.X <= 1 || b.Max.X >= m.w-1) ||
		b.Dy() < minSize && (b.Min.Y <= 1 || b.Max.Y >= m.h-1)
}
