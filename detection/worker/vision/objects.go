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
	rainOverlap  = 0.35 // with a component of the last frame, of an object in heavy rain
	ghostSeconds = 0.7  // after which a component that does not move is looked at
	ghostLead    = 1.3  // by how much the outline must follow the background's edges more than those of the frame
	ghostShare   = 0.15 // of the outline: the least that must follow them
	mostStanding = 3600 // after which what stands is the background
	homeOverlap  = 0.3
	homeSeconds  = 1.5 // after which a component that has not left its place does not travel
)

// place is where a component has been.
type place struct {
	box    image.Rectangle // without moving
	since  int             // frame
	ghosts int             // consecutive frames in which it looked like the place of an object that is gone

	home      image.Rectangle // without going away
	homeSince int             // frame
}

// object is a component that is an object.
type object struct {
	box     image.Rectangle
	travels bool // it does not stay in one place, as a tree does that sways
}

// held returns what marks the pixels of an object; see gp_background_learn.
func (o object) held() uint8 {
	if o.travels {
		return heldTravelling
	}
	return heldInPlace
}

// objects returns the boxes of the components that are objects, and absorbs those that are left over from objects
// that are gone.
func (m *Motion) objects(p planes, components []component, edge int) []object {
	var found []object
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
		found = append(found, object{box: c.box, travels: float64(m.frames-at.homeSince)/m.rate < homeSeconds})
	}
	m.places = places
	return found
}

// place returns where a component with that box has been.
func (m *Motion) place(box image.Rectangle) place {
	at := place{box: box, since: m.frames, home: box, homeSince: m.frames}
	for _, p := range m.places {
		if p.since < at.since && iou(p.box, box) >= stillOverlap {
			at.box, at.since, at.ghosts = p.box, p.since, p.ghosts
		}
		if p.homeSince < at.homeSince && iou(p.home, box) >= homeOverlap {
			at.home, at.homeSince = p.home, p.homeSince
		}
	}
	return at
}

// iou returns the area of the intersection of a and b over that of their union, 0..1.
func iou(a, b image.Rectangle) float64 {
	both := area(a.Intersect(b))
	return float64(both) / float64(max(area(a)+area(b)-both, 1))
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

// confirmed reports whether there was a component near box in the last frame; in heavy rain, one much like it.
func (m *Motion) confirmed(box image.Rectangle) bool {
	nearby := box.Inset(-max(box.Dx(), box.Dy()) / 4)
	for _, b := range m.previous {
		if nearby.Overlaps(b.box) && (!m.wet.heavy() || iou(box, b.box) >= rainOverlap) {
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
