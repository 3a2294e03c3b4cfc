package track

import (
	"math/rand/v2"
	"testing"
	"time"

	"gridpost/detection"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// actor is an object that moves straight from one position to another.
type actor struct {
	from, to   detection.Point // of its middle
	start, end time.Duration
	w, h       float64
	class      string
}

func (a actor) at(t time.Duration) (detection.Box, bool) {
	if t < a.start || t > a.end {
		return detection.Box{}, false
	}
	f := float64(t-a.start) / float64(a.end-a.start)
	x, y := a.from.X+f*(a.to.X-a.from.X), a.from.Y+f*(a.to.Y-a.from.Y)
	b := detection.Box{X: x - a.w/2, Y: y - a.h/2, W: a.w, H: a.h}.Intersection(detection.Box{W: 1, H: 1})
	return b, b.W > 0.01 && b.H > 0.01
}

// scene shows actors as background subtraction would.
type scene struct {
	actors []actor
	rate   int           // frames a second
	length time.Duration // of all
	noise  float64       // of each edge, in sizes, as a standard deviation
	miss   float64       // probability that a blob is not detected
	split  float64       // probability that a blob is detected as two pieces
	specks float64       // probability of a false blob, in each frame
	merge  bool          // blobs that touch are one
	blind  func(t time.Duration) bool
	seed   uint64
}

func (s scene) frames() []detection.Frame {
	rng := rand.New(rand.NewPCG(s.seed, 7)) // a repeatable scene
	var out []detection.Frame
	for i := 0; ; i++ {
		t := time.Duration(i) * time.Second / time.Duration(s.rate)
		if t > s.length {
			return out
		}
		f := detection.Frame{Session: 1, PTS: t, Time: time.Unix(1000, 0).Add(t)}
		if s.blind == nil || !s.blind(t) {
			f.Detections = s.detect(t, rng)
		}
		out = append(out, f)
	}
}

func (s scene) detect(t time.Duration, rng *rand.Rand) []detection.Detection {
	var seen []detection.Detection
	add := func(b detection.Box, class string) {
		if class == "" {
			class = detection.Motion
		}
		b = b.Intersection(detection.Box{W: 1, H: 1})
		if b.Valid() {
			seen = append(seen, detection.Detection{Class: class, Score: 1, Box: b})
		}
	}
	for _, a := range s.actors {
		b, ok := a.at(t)
		if !ok || rng.Float64() < s.miss {
			continue
		}
		x0, y0 := b.X+s.noise*b.W*rng.NormFloat64(), b.Y+s.noise*b.H*rng.NormFloat64()
		x1, y1 := b.X+b.W+s.noise*b.W*rng.NormFloat64(), b.Y+b.H+s.noise*b.H*rng.NormFloat64()
		b = detection.Box{X: x0, Y: y0, W: max(x1-x0, 0.005), H: max(y1-y0, 0.005)}
		if rng.Float64() < s.split {
			cut := 0.3 + 0.4*rng.Float64()
			add(detection.Box{X: b.X, Y: b.Y, W: b.W, H: b.H * (cut - 0.05)}, a.class)
			add(detection.Box{X: b.X, Y: b.Y + b.H*(cut+0.05), W: b.W, H: b.H * (0.95 - cut)}, a.class)
			continue
		}
		add(b, a.class)
	}
	if rng.Float64() < s.specks {
		add(detection.Box{X: rng.Float64(), Y: rng.Float64(), W: 0.02, H: 0.02}, "")
	}
	if s.merge {
		seen = merged(seen)
	}
	return seen
}

func merged(seen []detection.Detection) []detection.Detection {
	for again := true; again; {
		again = false
		for i := range seen {
			for j := i + 1; j < len(seen); j++ {
				if seen[i].Box.IoU(seen[j].Box) > 0 {
					seen[i].Box = seen[i].Box.Union(seen[j].Box)
					seen = append(seen[:j], seen[j+1:]...)
					again = true
					break
				}
			}
		}
	}
	return seen
}

// trace is everything that a Tracker returned about one ID.
type trace struct {
	first, last detection.Box
	from, to    time.Duration
	seen        int
	class       string
}

// follow runs a Tracker and returns what it made of each object.
func follow(t *testing.T, frames []detection.Frame, o Options) map[uint64]*trace {
	t.Helper()
	tr := New(o)
	paths := map[uint64]*trace{}
	var highest uint64
	for _, f := range frames {
		tracks := tr.Update(f)
		for i, k := range tracks {
			if k.ID == 0 || (i > 0 && tracks[i-1].ID >= k.ID) {
				t.Fatalf("at %v: IDs do not rise: %v", f.PTS, tracks)
			}
			if k.Last.After(f.Time) || k.First.After(k.Last) || len(k.Trail) == 0 {
				t.Fatalf("at %v: track %+v out of time", f.PTS, k)
			}
			if k.Last.Equal(f.Time) && k.Trail[len(k.Trail)-1] != k.Box.Foot() {
				t.Fatalf("at %v: trail ends at %v, foot is %v", f.PTS, k.Trail[len(k.Trail)-1], k.Box.Foot())
			}
			p := paths[k.ID]
			if p == nil {
				if k.ID <= highest {
					t.Fatalf("at %v: ID %d came back", f.PTS, k.ID)
				}
				highest = k.ID
				p = &trace{first: k.Box, from: f.PTS}
				paths[k.ID] = p
			}
			if k.Last.Equal(f.Time) {
				p.last, p.to, p.class = k.Box, f.PTS, k.Class
				p.seen++
			}
		}
	}
	return paths
}
