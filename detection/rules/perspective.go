package rules

import (
	"fmt"

	"gridpost/detection"
	"gridpost/detection/rules/param"
)

// perspective is how tall the smallest object is that counts, where two feet in the frame are: what is farther away
// is smaller and higher up. On level ground, and with a camera that is held straight, the height of an object in the
// frame is linear in how far its foot is below the horizon, so that it is interpolated, and extrapolated, linearly.
// The zero value allows everything.
type perspective struct {
	near, far reference // near is the lower one in the frame
}

// reference is the height of the smallest object whose foot is at y, in fractions of the frame.
type reference struct{ y, height float64 }

// read reads two pairs [y, height].
func (p *perspective) read(v param.Value) bool {
	var pairs []detection.Point
	if !points(&pairs, 2)(v) {
		return false
	}
	if len(pairs) != 2 {
		v.Fail("two pairs [[y, height], [y, height]]", fmt.Sprint(len(pairs)))
		return false
	}
	far, near := reference{pairs[0].X, pairs[0].Y}, reference{pairs[1].X, pairs[1].Y}
	if far.y > near.y {
		far, near = near, far
	}
	const apart = 0.05
	switch {
	case near.y-far.y < apart:
		v.Fail(fmt.Sprintf("two different places, at least %g apart", apart), fmt.Sprintf("y %g and %g", far.y, near.y))
		return false
	case near.height < far.height:
		v.Fail("a height that does not shrink downwards in the frame", fmt.Sprintf("%g at y %g and %g at y %g", far.height, far.y, near.height, near.y))
		return false
	}
	*p = perspective{near: near, far: far}
	return true
}

// allows reports whether an object is tall enough for where it stands.
func (p perspective) allows(b detection.Box) bool {
	if p == (perspective{}) {
		return true
	}
	return b.H >= p.least(b.Y+b.H)
}

// least returns the least height of an object whose foot is at y; 0 beyond the horizon.
func (p perspective) least(y float64) float64 {
	slope := (p.near.height - p.far.height) / (p.near.y - p.far.y)
	return max(0, p.far.height+slope*(y-p.far.y))
}
