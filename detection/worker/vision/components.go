package vision

import (
	"image"

	"gocv.io/x/gocv"
)

// component is a connected component of the mask.
type component struct {
	box  image.Rectangle
	area int // foreground pixels
}

// maxComponents bounds the components of one frame; further ones are dropped as noise.
const maxComponents = 200

// components returns the connected components of the mask that may be parts of an object.
func (m *Motion) components() []component {
	gocv.MorphologyEx(m.mask, &m.mask, gocv.MorphClose, m.closing)
	n := gocv.ConnectedComponentsWithStats(m.mask, &m.labels, &m.stats, &m.middle)
	minSize := max(int(minArea*float64(m.w*m.h))/4, 6) // a part of an object; whole objects are checked in confirmed
	var out []component
	for i := 1; i < n && len(out) < maxComponents; i++ {
		at := func(column int) int { return int(m.stats.GetIntAt(i, column)) }
		if area := at(4); area >= minSize {
			x, y := at(0), at(1)
			out = append(out, component{image.Rect(x, y, x+at(2), y+at(3)), area})
		}
	}
	return out
}

// mergeComponents merges the components of one object. h is the frame's height in pixels.
func mergeComponents(components []component, h int) []component {
	for again := true; again; {
		again = false
		for i := 0; i < len(components); i++ {
			for j := len(components) - 1; j > i; j-- {
				if !belongTogether(components[i].box, components[j].box, h) {
					continue
				}
				components[i] = component{components[i].box.Union(components[j].box), components[i].area + components[j].area}
				components = append(components[:j], components[j+1:]...)
				again = true
			}
		}
	}
	return components
}

// belongTogether reports that two boxes belong to one object: one lies mostly within the other, or
// they are close above each other, as the parts of a person behind a post or of a car in the colour
// of the road.
func belongTogether(a, b image.Rectangle, h int) bool {
	both := a.Intersect(b)
	if 3*area(both) >= min(area(a), area(b)) {
		return true
	}
	gap := max(a.Min.Y, b.Min.Y) - min(a.Max.Y, b.Max.Y)
	wide := min(a.Max.X, b.Max.X) - max(a.Min.X, b.Min.X)
	return gap <= h/36 && 5*wide >= 3*min(a.Dx(), b.Dx())
}

func area(r image.Rectangle) int { return r.Dx() * r.Dy() }
