package health

import (
	"math"
	"slices"
	"time"

	"gridpost/detection"
)

// Problem is what can be wrong with a camera's frames.
type Problem string

// The problems. A problem hides those for which its frames say nothing: dark hides covered, blurred, moved and
// frozen; covered hides the last three; blurred hides moved.
const (
	NoPicture Problem = "no_picture" // access units come, and no frame can be decoded
	Dark      Problem = "dark"       // nothing is brighter than a very dark gray
	Covered   Problem = "covered"    // the view's edges are gone nearly everywhere
	Blurred   Problem = "blurred"    // fine detail is gone, coarse edges are there
	Moved     Problem = "moved"      // the camera looks elsewhere
	Frozen    Problem = "frozen"     // the same frame comes again and again
	Clock     Problem = "clock"      // the camera's clock is wrong, as its sender reports say; not seen in samples
)

// Problems returns all problems.
func Problems() []Problem { return []Problem{NoPicture, Dark, Covered, Blurred, Moved, Frozen, Clock} }

// Verdict says whether a sample shows a problem.
type Verdict int

// The verdicts. A sample may be unable to tell.
const (
	Unknown Verdict = iota
	Absent
	Present
)

// between returns Present from a value on, Absent up to another one, and Unknown between them.
func between(v, absent, present float64) Verdict {
	switch {
	case v >= present:
		return Present
	case v <= absent:
		return Absent
	}
	return Unknown
}

// Options of a Monitor.
type Options struct {
	// Tolerance is how far the view may move, as a fraction of the frame's width.
	Tolerance float64

	// Relearn is after how long another view is the one that the camera is to show.
	Relearn time.Duration
}

// Findings are what one sample says.
type Findings struct {
	Verdicts map[Problem]Verdict // of the problems; those that are missing are unknown

	// Shift is how far the view has moved, as fractions of the frame; zero if it is not known.
	Shift detection.Point
}

// Monitor judges the samples of one camera. It is not safe for concurrent use.
//
// It learns the view from the first 20 samples that show enough, and follows it slowly. What it has learned outlives
// the program by Memory and Restore.
type Monitor struct {
	o     Options
	w, h  int           // of the thumbnails from which it has learned
	home  view          // where the camera is to look
	other *view         // where it looks since it was moved; nil: it was not
	held  time.Duration // how long it has looked there
	lost  time.Duration // since it showed neither
	still stillness
	last  recent

	revision int // grows when something worth saving has been learned
}

// NewMonitor returns a Monitor that has learned nothing.
func NewMonitor(o Options) *Monitor { return &Monitor{o: o} }

// Judge judges a sample that has passed Check. step is the time since the sample before.
func (m *Monitor) Judge(s *Sample, step time.Duration) Findings {
	f := Findings{Verdicts: map[Problem]Verdict{NoPicture: Present}}
	if !s.Decoded() {
		return f
	}
	f.Verdicts[NoPicture] = Absent
	if s.Width != m.w || s.Height != m.h { // another camera, or another format
		*m = Monitor{o: m.o, w: s.Width, h: s.Height, revision: m.revision}
	}
	usual := m.last.middle(s)
	f.Verdicts[Dark] = darkness(usual)
	if f.Verdicts[Dark] != Absent {
		m.still = stillness{}
		return f
	}
	t := newStructure(usual)
	m.judgeView(t, usual, step, &f)
	if f.Verdicts[Covered] != Present {
		f.Verdicts[Frozen] = m.still.judge(t, s)
	} else {
		m.still = stillness{}
	}
	return f
}

// darkness judges the brightest twentieth of the frame: a lamp or an infrared light makes it bright.
func darkness(s *Sample) Verdict {
	const dark, bright = 36, 44 // levels; black is 16 in frames whose range was not expanded
	sorted := slices.Clone(s.Gray)
	slices.Sort(sorted)
	return between(-float64(sorted[len(sorted)*19/20]), -bright, -dark)
}

// judgeView compares a frame with the view, and learns from it.
func (m *Monitor) judgeView(t *structure, s *Sample, step time.Duration, f *Findings) {
	detail := detailed(t, s)
	if !m.home.complete() {
		if hasEdges(t) {
			m.home.begin(t, detail)
			if m.home.complete() {
				m.revision++
			}
		}
		return
	}
	best, likeness := m.home.best(t)
	f.Verdicts[Covered] = m.covered(t, likeness)
	if f.Verdicts[Covered] == Present {
		return
	}
	var plain bool
	f.Verdicts[Blurred], plain = blurred(best, likeness, detail)
	if f.Verdicts[Blurred] == Present {
		return
	}
	sharp := f.Verdicts[Covered] == Absent && (f.Verdicts[Blurred] == Absent || plain)
	f.Verdicts[Moved] = m.moved(t, detail, step, sharp)
	if f.Verdicts[Moved] == Present && m.home.found.distinct {
		f.Shift = detection.Point{X: float64(m.home.found.dx) / float64(t.w), Y: float64(m.home.found.dy) / float64(t.h)}
	}
}

// hasEdges reports whether a frame has enough edges to know its view again.
func hasEdges(t *structure) bool {
	n := 0
	for _, e := range t.edges {
		if e >= 4 {
			n++
		}
	}
	return n >= len(t.edges)/8
}

// covered judges how much of the view is gone, by the reference of which most is left. Fog takes the contrast away,
// too, but what is left of the edges still is the view's.
func (m *Monitor) covered(t *structure, likeness float64) Verdict {
	least, known := 1.0, false
	for _, r := range m.home.references {
		if share, ok := r.lostContrast(t); ok {
			least, known = min(least, share), true
		}
	}
	const little, some = 0.4, 0.5 // likeness
	verdict := between(least, 0.5, 0.75)
	switch {
	case !known:
		return Unknown
	case likeness >= some:
		return Absent
	case likeness >= little && verdict == Present:
		return Unknown
	}
	return verdict
}

// blurred judges the detail of a frame by the reference that it fits best. plain says that there is too little of it to tell.
func blurred(r *reference, likeness float64, detail []float32) (verdict Verdict, plain bool) {
	const (
		sharp     = 0.5  // share of the usual detail
		soft      = 0.28 // in light that is known
		softRelit = 0.14 // in other light, which can take detail away by itself
		nothing   = 0.2  // likeness: another view has other detail, and one that is out of focus has its coarse edges
	)
	change, ok := r.lostDetail(detail)
	if !ok || likeness < nothing {
		return Unknown, !ok
	}
	limit := softRelit
	if likeness >= same {
		limit = soft
	}
	return between(-change, -math.Log(sharp), -math.Log(limit)), false
}

// moved judges whether the camera looks where it is to look.
func (m *Monitor) moved(t *structure, detail []float32, step time.Duration, sharp bool) Verdict {
	tolerance := m.o.Tolerance * float64(t.w)
	known := len(m.home.references)
	seen := m.home.look(t, detail, step, tolerance, sharp)
	if len(m.home.references) != known {
		m.revision++
	}
	if seen == matching || seen == relit {
		m.other, m.held, m.lost = nil, 0, 0
		return Absent
	}
	if m.other != nil && m.elsewhere(t, detail, step, tolerance, sharp) {
		switch {
		case m.held >= m.o.Relearn:
			m.Accept()
			return Absent
		case seen == away || m.other.complete():
			return Present
		}
		return Unknown
	}
	if m.other == nil && hasEdges(t) && seen != unclear {
		m.other = &view{}
		m.other.begin(t, detail)
	}
	if seen == away {
		return Present
	}
	// Nothing of the view is there. Of a camera that was moved, the same is to be seen for some time, which is
	// judged above; what passes by differs from one sample to the next.
	return Unknown
}

// elsewhere reports whether the camera still looks where it looks since it was moved.
func (m *Monitor) elsewhere(t *structure, detail []float32, step time.Duration, tolerance float64, sharp bool) bool {
	seen := unclear
	if m.other.complete() {
		seen = m.other.look(t, detail, step, tolerance, sharp || m.other.references[0].n < trialSamples)
	} else if m.other.references[0].likeness(t) >= same {
		m.other.begin(t, detail)
		seen = matching
	}
	if seen == matching || seen == relit {
		m.held += step
		m.lost = 0
		return true
	}
	const gone = time.Minute // it was moved once more
	if m.lost += step; m.lost >= gone {
		m.other, m.held, m.lost = nil, 0, 0
	}
	return false
}

// Accept makes what the camera shows now the view that it is to show. It reports false if that is what it shows already.
func (m *Monitor) Accept() bool {
	if m.other == nil {
		return false
	}
	m.home, m.other, m.held, m.lost = *m.other, nil, 0, 0
	m.revision++
	return true
}

// stillness notices that frames repeat. A camera's noise is new in each frame that is encoded by itself, so that
// parts with edges never stay exactly the same; a clock that is written into the frame may go on.
type stillness struct {
	changed []bool // cells, since the frames seem to repeat
	intra   int    // samples of frames that are encoded by themselves, since then
}

func (n *stillness) judge(t *structure, s *Sample) Verdict {
	if len(s.Changed) == 0 {
		return Unknown
	}
	if len(n.changed) != len(s.Changed) {
		n.changed = make([]bool, len(s.Changed))
	}
	var usable, changed int
	for c, pixels := range s.Changed {
		n.changed[c] = n.changed[c] || pixels > 0
		const (
			fewest       = 3       // pixels with an edge
			black, white = 25, 230 // beyond them a sensor shows no noise
		)
		if t.edges[c] < fewest || t.mean[c] < black || t.mean[c] > white {
			continue
		}
		usable++
		if n.changed[c] {
			changed++
		}
	}
	if usable < len(s.Changed)/10 {
		return Unknown
	}
	if 10*changed > usable {
		*n = stillness{}
		return Absent
	}
	if s.Intra {
		n.intra++
	}
	const keyframes = 2 // that are the same as the one before
	if n.intra < keyframes {
		return Unknown
	}
	return Present
}
