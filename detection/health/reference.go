package health

import (
	"math"
	"slices"
	"time"
)

const (
	// same is the likeness from which a frame shows the view of a reference. Things that cover half of the
	// view, and other light, leave less.
	same = 0.5

	firstSamples = 20  // from which a first reference is made
	trialSamples = 120 // from which one for other light is made
	slowest      = 600 // samples over which a reference follows the view
	slowestLoss  = 7200
	maxViews     = 5 // references for one view: by day, by night, in infrared light

	searchEvery  = 10 * time.Second // at first, while it is not clear what a camera sees
	searchSeldom = time.Minute
)

// reference is what a view looks like in one light.
type reference struct {
	x, y     []float32     // means of a structure
	contrast []float32     // likewise, of each cell
	detail   []float32     // of each cell: logarithm of the share of fine detail in its edges, mean
	seen     []float32     // of each cell: samples from which detail was made
	n        int           // samples
	dx, dy   int           // pixels by which the view had moved already when this was learned
	idle     time.Duration // since a frame fitted
}

func newReference(t *structure, dx, dy int) *reference {
	cells := len(t.edges)
	return &reference{
		x: make([]float32, len(t.x)), y: make([]float32, len(t.y)), contrast: make([]float32, cells),
		detail: make([]float32, cells), seen: make([]float32, cells), dx: dx, dy: dy,
	}
}

// learn moves the reference towards a frame: to the mean of the first ones, then slowly.
func (r *reference) learn(t *structure, detail []float32) {
	r.n++
	r.idle = 0
	k := float32(1) / float32(min(r.n, slowest))
	for i := range r.x {
		r.x[i] += (t.x[i] - r.x[i]) * k
		r.y[i] += (t.y[i] - r.y[i]) * k
	}
	for c := range r.contrast {
		r.contrast[c] += (t.contrast[c] - r.contrast[c]) * k
		if math.IsNaN(float64(detail[c])) {
			continue
		}
		r.seen[c]++
		// What a lens loses slowly, by dirt or by its age, is not to be learned as fast as other light is.
		most := float32(slowest)
		if detail[c] < r.detail[c] {
			most = slowestLoss
		}
		if r.n <= trialSamples {
			most = trialSamples
		}
		r.detail[c] += (detail[c] - r.detail[c]) / min(r.seen[c], most)
	}
}

func (r *reference) likeness(t *structure) float64 { return t.likeness(r.x, r.y, 0, 0) }

// detailed returns, for each cell, the logarithm of the share of fine detail in its edges; NaN where it has
// too few. The camera's noise is in all cells, so that of the plainest ones is taken off.
func detailed(t *structure, s *Sample) []float32 {
	sorted := slices.Clone(s.Fine)
	slices.Sort(sorted)
	noise := float64(sorted[len(sorted)/10])
	out := make([]float32, len(t.edges))
	for c := range out {
		const fewest, weakest = 3, 0.3
		if t.edges[c] < fewest || t.coarse[c] < weakest {
			out[c] = float32(math.NaN())
			continue
		}
		fine := max(float64(s.Fine[c])-noise, 0)/16 + 0.02
		out[c] = float32(math.Log(fine / float64(t.coarse[c])))
	}
	return out
}

// lostDetail returns the middle change of detail from the reference, as a logarithm. ok is false if too few cells
// can be compared.
func (r *reference) lostDetail(detail []float32) (change float64, ok bool) {
	var all []float64
	for c, d := range detail {
		if !math.IsNaN(float64(d)) && r.seen[c] >= firstSamples/2 {
			all = append(all, float64(d-r.detail[c]))
		}
	}
	const fewest = 8
	if len(all) < fewest {
		return 0, false
	}
	slices.Sort(all)
	return all[len(all)/2], true
}

// lostContrast returns which share of the cells in which the reference has edges has lost most of their contrast.
// ok is false if the reference has too few edges to tell.
func (r *reference) lostContrast(t *structure) (share float64, ok bool) {
	const (
		plain = -7.6 // contrast of a cell in which there is nothing to lose: 5 levels in 100
		most  = 3.9  // that is lost: all but a seventh of the differences in brightness
	)
	var of, lost int
	for c, usual := range r.contrast {
		if usual < plain {
			continue
		}
		of++
		if t.contrast[c] < usual-most {
			lost++
		}
	}
	if of < len(r.contrast)/10 {
		return 0, false
	}
	return float64(lost) / float64(of), true
}

// view is where a camera looks, as references in different light.
type view struct {
	references []*reference // never empty once the first is complete
	trial      *reference   // in light that is new; nil: none

	wait  time.Duration // until the next search
	pause time.Duration // between searches
	found shift         // by the last search, from the view's first reference
	base  float64       // likeness at no shift then
}

// sight is what a frame has to do with a view.
type sight int

const (
	unclear   sight = iota
	matching        // it shows the view
	relit           // it shows the view in other light
	away            // it shows the view, moved
	unrelated       // it shows something else
)

// complete reports whether a first reference has been learned.
func (v *view) complete() bool { return len(v.references) > 0 && v.references[0].n >= firstSamples }

// best returns the reference that fits a frame best.
func (v *view) best(t *structure) (*reference, float64) {
	var best *reference
	likeness := math.Inf(-1)
	for _, r := range v.references {
		if l := r.likeness(t); l > likeness {
			best, likeness = r, l
		}
	}
	return best, likeness
}

// begin learns the first reference. It begins again if the frames do not show the same.
func (v *view) begin(t *structure, detail []float32) {
	if len(v.references) == 0 || v.references[0].likeness(t) < same {
		v.references = []*reference{newReference(t, 0, 0)}
	}
	v.references[0].learn(t, detail)
}

// look compares a frame with the view, and learns it if sharp says that it may. step is the time since the last
// frame, tolerance the pixels by which the view may have moved.
func (v *view) look(t *structure, detail []float32, step time.Duration, tolerance float64, sharp bool) sight {
	for _, r := range v.references {
		r.idle += step
	}
	r, likeness := v.best(t)
	if likeness >= same {
		if sharp {
			r.learn(t, detail)
		}
		r.idle = 0
		v.wait, v.pause, v.trial = 0, 0, nil
		return matching
	}
	if v.trial != nil && v.trial.likeness(t) >= same {
		if sharp {
			v.adopt(t, detail)
		}
		return relit
	}
	if v.wait -= step; v.wait <= 0 {
		v.found, v.base = t.search(r.x, r.y), likeness
		v.found.dx += r.dx
		v.found.dy += r.dy
		v.pause = min(max(2*v.pause, searchEvery), searchSeldom)
		v.wait = v.pause
	}
	const (
		some  = 0.2  // likeness of the view in light that takes most of it
		other = 0.25 // likeness below which nothing of the view is there
	)
	// Edges that are unrelated hardly ever fit best at just no shift.
	here := math.Hypot(float64(v.found.dx), float64(v.found.dy)) <= tolerance
	switch {
	case here && (v.found.distinct || v.found.likeness >= some):
		if sharp {
			v.trial = newReference(t, v.found.dx, v.found.dy)
			v.trial.learn(t, detail)
		}
		return relit
	case here:
		return unclear
	case v.found.distinct:
		return away
	case max(v.base, likeness) < other:
		return unrelated
	}
	return unclear
}

// adopt goes on with the reference for light that is new. When it is complete, it takes the place of the one that was
// of no use for the longest time.
func (v *view) adopt(t *structure, detail []float32) {
	v.trial.learn(t, detail)
	if v.trial.n < trialSamples {
		return
	}
	if len(v.references) >= maxViews {
		oldest := slices.MaxFunc(v.references, func(a, b *reference) int { return int((a.idle - b.idle) / time.Second) })
		v.references = slices.DeleteFunc(v.references, func(r *reference) bool { return r == oldest })
	}
	v.references = append(v.references, v.trial)
	v.trial = nil
}
