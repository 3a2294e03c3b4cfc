package health

import "math"

// structure is where a thumbnail has edges and how they run. A gradient (x, y) is stored as the vector
// (x²-y², 2xy) of twice its angle, scaled to a length of 0..1: it is the same for an edge from dark to
// bright and from bright to dark, so infrared light, which swaps them, and any change of brightness
// leave it as it is.
type structure struct {
	w, h   int
	x, y   []float32 // of each pixel
	edges  []float32 // pixels with an edge in each cell, 0..25
	mean   []float32 // brightness of each cell
	coarse []float32 // mean squared gradient of the thumbnail in each cell

	// contrast is, for each cell, the logarithm of coarse by the square of the brightness: how strong its
	// edges are, whatever the exposure.
	contrast []float32
}

const (
	// A gradient is an edge if its length, in levels of brightness between neighbours, is above noise and
	// above a share of the frame's brightness: the same scene in less light has smaller ones.
	leastEdge    = 0.7
	relativeEdge = 0.012
)

// newStructure returns the structure of a sample that shows a frame.
func newStructure(s *Sample) *structure {
	w, h := s.Width, s.Height
	t := &structure{
		w: w, h: h, x: make([]float32, w*h), y: make([]float32, w*h),
		edges: make([]float32, s.cells()), mean: make([]float32, s.cells()),
		coarse: make([]float32, s.cells()), contrast: make([]float32, s.cells()),
	}
	flat, brightness := flattened(s)
	least := max(leastEdge, relativeEdge*brightness)
	noise := float32(least * least)
	for y := range h {
		for x := range w {
			i, c := y*w+x, y/cell*(w/cell)+x/cell
			t.mean[c] += float32(s.Gray[i]) / (cell * cell)
			if x == 0 || y == 0 || x == w-1 || y == h-1 {
				continue
			}
			gx, gy := (flat[i+1]-flat[i-1])/2, (flat[i+w]-flat[i-w])/2
			e := gx*gx + gy*gy
			t.coarse[c] += e / (cell * cell)
			if e < noise {
				continue
			}
			t.edges[c]++
			weight := 1 / (e + noise) // a weak edge counts half
			t.x[i], t.y[i] = (gx*gx-gy*gy)*weight, 2*gx*gy*weight
		}
	}
	for c, m := range t.mean {
		const rounding, black = 0.01, 10 // so that there is a logarithm, and black is not divided by
		t.contrast[c] = float32(math.Log((float64(t.coarse[c]) + rounding) / float64(m*m+black*black)))
	}
	return t
}

// flattened returns the thumbnail without its slow changes of brightness, such as the round light of an infrared lamp,
// and its mean brightness.
func flattened(s *Sample) (flat []float32, brightness float64) {
	const radius = 4
	w, h := s.Width, s.Height
	// sums has the sum of all pixels above and to the left of each corner.
	sums := make([]int32, (w+1)*(h+1))
	for y := range h {
		var row int32
		for x := range w {
			row += int32(s.Gray[y*w+x])
			sums[(y+1)*(w+1)+x+1] = sums[y*(w+1)+x+1] + row
		}
	}
	flat = make([]float32, w*h)
	for y := range h {
		y0, y1 := max(y-radius, 0), min(y+radius+1, h)
		for x := range w {
			x0, x1 := max(x-radius, 0), min(x+radius+1, w)
			sum := sums[y1*(w+1)+x1] - sums[y0*(w+1)+x1] - sums[y1*(w+1)+x0] + sums[y0*(w+1)+x0]
			flat[y*w+x] = float32(s.Gray[y*w+x]) - float32(sum)/float32((y1-y0)*(x1-x0))
		}
	}
	return flat, float64(sums[len(sums)-1]) / float64(w*h)
}

// likeness returns how well the edges of t, moved by (dx, dy) pixels, fit those of a reference: 1 if they
// are the same, 0 if they are unrelated, -1 if they are across.
func (t *structure) likeness(x, y []float32, dx, dy int) float64 {
	var both, ours, theirs float32
	x0, x1 := max(0, -dx), min(t.w, t.w-dx)
	for row := max(0, -dy); row < min(t.h, t.h-dy); row++ {
		a, b := row*t.w, (row+dy)*t.w+dx
		ax, ay := x[a+x0:a+x1], y[a+x0:a+x1]
		bx, by := t.x[b+x0 : b+x1][:len(ax)], t.y[b+x0 : b+x1][:len(ax)]
		ay = ay[:len(ax)]
		by = by[:len(ax)]
		for i := range ax {
			both += ax[i]*bx[i] + ay[i]*by[i]
			ours += bx[i]*bx[i] + by[i]*by[i]
			theirs += ax[i]*ax[i] + ay[i]*ay[i]
		}
	}
	const little = 4 // pixels with an edge: too few to compare
	if ours < little || theirs < little {
		return 0
	}
	return float64(both) / math.Sqrt(float64(ours)*float64(theirs))
}

// shift is how far the edges of a frame lie from those of a reference.
type shift struct {
	dx, dy   int     // pixels of the thumbnail
	likeness float64 // at (dx, dy)
	distinct bool    // it fits there, and nowhere else
}

// search looks for the shift at which t fits a reference best, up to 2/5 of the frame. It takes some
// milliseconds.
func (t *structure) search(x, y []float32) shift {
	const step = 2
	mx, my := t.w*2/5, t.h*2/5
	best := shift{likeness: -1}
	var all []shift
	for dy := -my / step * step; dy <= my; dy += step {
		for dx := -mx / step * step; dx <= mx; dx += step {
			s := shift{dx: dx, dy: dy, likeness: t.likeness(x, y, dx, dy)}
			all = append(all, s)
			if s.likeness > best.likeness {
				best = s
			}
		}
	}
	rough := best
	for dy := rough.dy - 1; dy <= rough.dy+1; dy++ {
		for dx := rough.dx - 1; dx <= rough.dx+1; dx++ {
			if l := t.likeness(x, y, dx, dy); l > best.likeness {
				best = shift{dx: dx, dy: dy, likeness: l}
			}
		}
	}
	// What is unrelated fits a little everywhere, because most edges of a town are level or upright: the
	// best place must stand out from the others.
	const (
		near     = 6    // pixels: the slope of the peak
		least    = 0.15 // likeness
		outlying = 4.5  // standard deviations
	)
	var n, sum, squares float64
	for _, s := range all {
		if max(abs(s.dx-best.dx), abs(s.dy-best.dy)) > near {
			n++
			sum += s.likeness
			squares += s.likeness * s.likeness
		}
	}
	if n > 1 {
		mean := sum / n
		deviation := math.Sqrt(max(squares/n-mean*mean, 0))
		best.distinct = best.likeness > least && best.likeness > mean+outlying*deviation
	}
	return best
}

func abs(n int) int { return max(n, -n) }
