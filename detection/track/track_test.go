package track

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"gridpost/detection"
)

const sec = time.Second

func TestFollowsThroughNoiseAndGaps(t *testing.T) {
	walker := actor{from: detection.Point{X: 0.1, Y: 0.3}, to: detection.Point{X: 0.9, Y: 0.7}, start: sec, end: 9 * sec, w: 0.06, h: 0.15}
	for name, s := range map[string]scene{
		"clean":       {},
		"noise":       {noise: 0.08},
		"missed":      {noise: 0.03, miss: 0.25},
		"pieces":      {noise: 0.03, split: 0.4},
		"specks":      {noise: 0.03, specks: 0.5},
		"all of it":   {noise: 0.05, miss: 0.15, split: 0.2, specks: 0.2},
		"occluded 1s": {noise: 0.03, blind: func(t time.Duration) bool { return t > 4*sec && t < 5*sec }},
	} {
		for _, rate := range []int{5, 10, 25} {
			for seed := range uint64(10) {
				s.actors, s.rate, s.length, s.seed = []actor{walker}, rate, 10*sec, seed
				long := 0
				for _, p := range follow(t, s.frames(), Options{}) {
					if p.to-p.from > 1500*time.Millisecond { // a piece may pass for an object for a moment
						long++
						if p.from > 2500*time.Millisecond || p.to < 8*sec {
							t.Errorf("%s at %d/s, seed %d: followed from %v to %v only", name, rate, seed, p.from, p.to)
						}
					}
				}
				if long != 1 {
					t.Errorf("%s at %d/s, seed %d: %d tracks for one walker", name, rate, seed, long)
				}
			}
		}
	}
}

func TestKeepsIdentities(t *testing.T) {
	p := func(x, y float64) detection.Point { return detection.Point{X: x, Y: y} }
	for name, c := range map[string]struct {
		actors []actor
		merge  bool
	}{
		"two cars side by side, opposite ways": {actors: []actor{
			{from: p(0.4, -0.1), to: p(0.4, 1.1), start: sec, end: 4 * sec, w: 0.12, h: 0.2},
			{from: p(0.55, 1.1), to: p(0.55, -0.1), start: sec, end: 4 * sec, w: 0.12, h: 0.2},
		}},
		"the same, one blob while they pass": {merge: true, actors: []actor{
			{from: p(0.45, -0.1), to: p(0.45, 1.1), start: sec, end: 4 * sec, w: 0.12, h: 0.2},
			{from: p(0.55, 1.1), to: p(0.55, -0.1), start: sec, end: 4 * sec, w: 0.12, h: 0.2},
		}},
		"walkers whose paths cross": {merge: true, actors: []actor{
			{from: p(0.1, 0.3), to: p(0.9, 0.7), start: sec, end: 9 * sec, w: 0.05, h: 0.14},
			{from: p(0.1, 0.7), to: p(0.9, 0.3), start: sec, end: 9 * sec, w: 0.05, h: 0.14},
		}},
		"walkers who meet head on": {merge: true, actors: []actor{
			{from: p(0.1, 0.5), to: p(0.9, 0.5), start: sec, end: 7 * sec, w: 0.05, h: 0.14},
			{from: p(0.9, 0.52), to: p(0.1, 0.52), start: sec, end: 7 * sec, w: 0.05, h: 0.14},
		}},
		"followers in a row": {actors: []actor{
			{from: p(0, 0.5), to: p(1, 0.5), start: sec, end: 9 * sec, w: 0.08, h: 0.1},
			{from: p(0, 0.5), to: p(1, 0.5), start: 2 * sec, end: 10 * sec, w: 0.08, h: 0.1},
			{from: p(0, 0.5), to: p(1, 0.5), start: 3 * sec, end: 11 * sec, w: 0.08, h: 0.1},
		}},
	} {
		for _, rate := range []int{8, 12, 25} {
			for seed := range uint64(8) {
				s := scene{actors: c.actors, merge: c.merge, rate: rate, length: 12 * sec, noise: 0.03, miss: 0.03, seed: seed}
				var ends []detection.Point
				for _, k := range follow(t, s.frames(), Options{}) {
					if k.to-k.from > sec {
						ends = append(ends, k.last.Center())
					}
				}
				if len(ends) != len(c.actors) {
					t.Errorf("%s at %d/s, seed %d: %d tracks, want %d", name, rate, seed, len(ends), len(c.actors))
					continue
				}
				for _, a := range c.actors {
					want := p(min(max(a.to.X, 0), 1), min(max(a.to.Y, 0), 1))
					if !slices.ContainsFunc(ends, func(e detection.Point) bool { return e.Distance(want) < 0.12 }) {
						t.Errorf("%s at %d/s, seed %d: no track ends at %v, but at %v", name, rate, seed, want, ends)
					}
				}
			}
		}
	}
}

func TestPassingSpecksAreNoTracks(t *testing.T) {
	s := scene{rate: 10, length: 60 * sec, specks: 0.7, seed: 3}
	for id, p := range follow(t, s.frames(), Options{}) {
		if p.seen > 5 {
			t.Errorf("track %d out of specks was seen %d times", id, p.seen)
		}
	}
}

func TestSeparatingWalkersBecomeTwo(t *testing.T) {
	p := func(x, y float64) detection.Point { return detection.Point{X: x, Y: y} }
	s := scene{merge: true, rate: 10, length: 8 * sec, noise: 0.02, seed: 1, actors: []actor{
		{from: p(0.5, 0.5), to: p(0.1, 0.5), start: 0, end: 8 * sec, w: 0.05, h: 0.14},
		{from: p(0.5, 0.5), to: p(0.9, 0.5), start: 0, end: 8 * sec, w: 0.05, h: 0.14},
	}}
	late := 0
	for _, k := range follow(t, s.frames(), Options{}) {
		if k.to > 7*sec {
			late++
		}
	}
	if late != 2 {
		t.Errorf("%d tracks in the end, want 2", late)
	}
}

func TestClassIsTheOneSeenMost(t *testing.T) {
	tr := New(Options{})
	var got []detection.Track
	for i := range 20 {
		class := "car"
		if i < 2 || i%5 == 0 {
			class = "truck"
		}
		d := time.Duration(i) * 100 * time.Millisecond
		got = tr.Update(detection.Frame{Session: 1, PTS: d, Time: time.Unix(0, 0).Add(d), Detections: []detection.Detection{
			{Class: class, Score: 0.5, Box: detection.Box{X: 0.3 + 0.01*float64(i), Y: 0.3, W: 0.2, H: 0.2}},
		}})
	}
	if len(got) != 1 || got[0].Class != "car" || got[0].ID != 1 {
		t.Errorf("got %+v, want one car", got)
	}
}

func TestNothingContinuesIntoANewSession(t *testing.T) {
	tr := New(Options{})
	box := detection.Box{X: 0.4, Y: 0.4, W: 0.1, H: 0.1}
	feed := func(session uint32, pts time.Duration) []detection.Track {
		return tr.Update(detection.Frame{Session: session, PTS: pts, Time: time.Unix(5, 0).Add(pts), Detections: []detection.Detection{{Class: "x", Box: box}}})
	}
	run := func(session uint32, from time.Duration) uint64 {
		var got []detection.Track
		for i := range 5 {
			got = feed(session, from+time.Duration(i)*100*time.Millisecond)
			if i == 0 && len(got) != 0 {
				t.Errorf("session %d from %v begins with %v", session, from, got)
			}
		}
		if len(got) != 1 {
			t.Fatalf("session %d: %v", session, got)
		}
		return got[0].ID
	}
	for i, want := range []uint64{1, 2, 3, 4} {
		starts := []struct {
			session uint32
			from    time.Duration
		}{{1, 0}, {2, 10 * sec}, {2, 0} /* back */, {2, 10 * sec} /* a gap */}
		if id := run(starts[i].session, starts[i].from); id != want {
			t.Errorf("start %d: ID %d, want %d", i, id, want)
		}
	}
}

func TestBounds(t *testing.T) {
	tr := New(Options{MaxTracks: 10, MaxTrail: 5})
	rng := rand.New(rand.NewPCG(1, 1)) // repeatable
	for i := range 100 {
		f := detection.Frame{Session: 1, PTS: time.Duration(i) * 40 * time.Millisecond, Time: time.Unix(int64(i), 0)}
		for range 200 {
			f.Detections = append(f.Detections, detection.Detection{Class: string(rune('a' + rng.IntN(26))), Box: detection.Box{
				X: rng.Float64() * 0.9, Y: rng.Float64() * 0.9, W: 0.1 * rng.Float64(), H: 0.1 * rng.Float64(),
			}})
		}
		got := tr.Update(f)
		if len(got) > 10 || len(tr.objects) > 10 {
			t.Fatalf("%d tracks of %d objects", len(got), len(tr.objects))
		}
		for _, k := range got {
			if len(k.Trail) > 5 {
				t.Fatalf("a trail of %d", len(k.Trail))
			}
		}
	}
	if tr.Stats().Dropped == 0 {
		t.Error("nothing was counted as dropped")
	}
}

func TestTrailsStayAsTheyWereGiven(t *testing.T) {
	s := scene{rate: 25, length: 8 * sec, actors: []actor{{to: detection.Point{X: 1, Y: 1}, end: 8 * sec, w: 0.1, h: 0.1}}}
	tr := New(Options{MaxTrail: 7})
	var given, copies [][]detection.Point
	for _, f := range s.frames() {
		for _, k := range tr.Update(f) {
			given, copies = append(given, k.Trail), append(copies, slices.Clone(k.Trail))
		}
	}
	if len(given) < 100 || !reflect.DeepEqual(given, copies) {
		t.Error("a trail was changed after it had been given away")
	}
}

func TestSameFramesSameTracks(t *testing.T) {
	s := scene{rate: 12, length: 20 * sec, noise: 0.05, miss: 0.1, split: 0.2, specks: 0.5, merge: true, seed: 4}
	for i := range 6 {
		s.actors = append(s.actors, actor{
			from: detection.Point{X: 0.1 * float64(i), Y: 0.1}, to: detection.Point{X: 1 - 0.1*float64(i), Y: 0.9},
			start: time.Duration(i) * sec, end: time.Duration(i+8) * sec, w: 0.08, h: 0.12,
		})
	}
	if a, b := follow(t, s.frames(), Options{}), follow(t, s.frames(), Options{}); !reflect.DeepEqual(a, b) || len(a) < 6 {
		t.Errorf("two runs differ, or see too little: %d and %d tracks", len(a), len(b))
	}
}

// FuzzUpdate holds that no detections, however odd, panic, leave bounds or make a track
// whose numbers are none.
func FuzzUpdate(f *testing.F) {
	f.Add(uint64(1), 0.1, 0.1, 0.1, 0.1, int64(100e6))
	f.Add(uint64(2), math.NaN(), math.Inf(1), -1.0, 5e-324, int64(-1))
	f.Add(uint64(3), 1.0, 1.0, 5e-324, 5e-324, int64(math.MaxInt64))
	f.Add(uint64(4), 0.0, 0.0, 1e-160, 1e-160, int64(40e6))
	f.Fuzz(func(t *testing.T, seed uint64, x, y, w, h float64, step int64) {
		rng := rand.New(rand.NewPCG(seed, 1)) // repeatable
		odd := []float64{x, y, w, h, math.NaN(), 0, 1, 0.5, 0.1}
		tr := New(Options{MaxTracks: 8})
		pts := time.Duration(0)
		for range 20 {
			pts += time.Duration(step)
			fr := detection.Frame{Session: uint32(rng.IntN(2)), PTS: pts, Time: time.Unix(0, int64(pts))}
			if rng.IntN(3) > 0 {
				fr.Session = 0
			}
			fr.Detections = append(fr.Detections, detection.Detection{Class: "x", Score: x, Box: detection.Box{X: x, Y: y, W: w, H: h}})
			for range rng.IntN(12) {
				pick := func() float64 { return odd[rng.IntN(len(odd))] }
				fr.Detections = append(fr.Detections, detection.Detection{Class: "x", Score: 1, Box: detection.Box{X: pick(), Y: pick(), W: pick(), H: pick()}})
			}
			for _, k := range tr.Update(fr) {
				if b := k.Box; math.IsNaN(b.X + b.Y + b.W + b.H + b.Area()) {
					t.Fatalf("a track that is nowhere: %+v", k)
				}
			}
		}
	})
}

func TestCheapest(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		cost [][]float64
		want []int
	}{
		{nil, nil},
		{[][]float64{{}}, []int{-1}},
		{[][]float64{{1, 2}, {1, 5}}, []int{1, 0}}, // the greedy way would cost 6
		{[][]float64{{inf, inf}, {inf, 3}}, []int{-1, 1}},
		{[][]float64{{1}, {0.5}, {2}}, []int{-1, 0, -1}},
		{[][]float64{{1, inf}, {0.1, inf}}, []int{-1, 0}},
		{[][]float64{{math.NaN(), 4}}, []int{1}},
	} {
		if got := cheapest(c.cost); !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.cost, got, c.want)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	s := scene{rate: 10, length: 30 * sec, noise: 0.03, merge: true, specks: 0.3, seed: 1}
	for i := range 10 {
		s.actors = append(s.actors, actor{from: detection.Point{X: 0.1 * float64(i)}, to: detection.Point{X: 0.9, Y: 1}, end: 30 * sec, w: 0.05, h: 0.1})
	}
	frames := s.frames()
	b.ReportAllocs()
	tr := New(Options{})
	for i := 0; b.Loop(); i++ {
		tr.Update(frames[i%len(frames)])
	}
}

func TestResetEndsTracksAndKeepsIDs(t *testing.T) {
	tr := New(Options{})
	car := scene{actors: []actor{{from: detection.Point{X: 0.2, Y: 0.5}, to: detection.Point{X: 0.8, Y: 0.5}, end: 4 * time.Second, w: 0.2, h: 0.2}}, rate: 10, length: 2 * time.Second}
	var before, after []detection.Track
	for _, f := range car.frames() {
		before = tr.Update(f)
	}
	tr.Reset()
	for i, f := range car.frames() {
		f.PTS += 2100 * time.Millisecond // the same session seems to go on
		after = tr.Update(f)
		if i == 0 && len(after) != 0 {
			t.Errorf("the first frame after a reset has %d tracks", len(after))
		}
	}
	if len(before) != 1 || len(after) != 1 || after[0].ID <= before[0].ID {
		t.Errorf("before the reset %+v, after it %+v", before, after)
	}
}
