package vision

import (
	"image"

	"gocv.io/x/gocv"
)

// piece is a connected part of the mask.
type piece struct {
	box  image.Rectangle
	area int // pixels that differ
}

// mostPieces bounds what is looked at in one picture; beyond, it is noise.
const mostPieces = 200

// pieces returns the connected parts of the mask that are large enough to be something.
func (m *Motion) pieces() []piece {
	gocv.MorphologyEx(m.mask, &m.mask, gocv.MorphClose, m.join)
	n := gocv.ConnectedComponentsWithStats(m.mask, &m.labels, &m.stats, &m.middle)
	least := max(int(smallest*float64(m.w*m.h))/4, 6) // a part of a thing; whole things are judged later
	var out []piece
	for i := 1; i < n && len(out) < mostPieces; i++ {
		at := func(column int) int { return int(m.stats.GetIntAt(i, column)) }
		if area := at(4); area >= least {
			x, y := at(0), at(1)
			out = append(out, piece{image.Rect(x, y, x+at(2), y+at(3)), area})
		}
	}
	return out
}

// join puts together the pieces of one thing and drops what is too small to be one. h is the
// picture's height in pixels.
func join(pieces []piece, h int) []piece {
	for again := true; again; {
		again = false
		for i := 0; i < len(pieces); i++ {
			for j := len(pieces) - 1; j > i; j-- {
				if !together(pieces[i].box, pieces[j].box, h) {
					continue
				}
				pieces[i] = piece{pieces[i].box.Union(pieces[j].box), pieces[i].area + pieces[j].area}
				pieces = append(pieces[:j], pieces[j+1:]...)
				again = true
			}
		}
	}
	return pieces
}

// together reports that two boxes belong to one thing: one lies for a good part within the
// other, or they stand close above each other, as a body does behind a post or a car of the
// road's colour.
func together(a, b image.Rectangle, h int) bool {
	both := a.Intersect(b)
	if 3*area(both) >= min(area(a), area(b)) {
		return true
	}
	gap := max(a.Min.Y, b.Min.Y) - min(a.Max.Y, b.Max.Y)
	wide := min(a.Max.X, b.Max.X) - max(a.Min.X, b.Min.X)
	return gap <= h/36 && 5*wide >= 3*min(a.Dx(), b.Dx())
}

func area(r image.Rectangle) int { return r.Dx() * r.Dy() }
