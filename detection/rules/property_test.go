package rules

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices"
)

// everyKind is a rule of each kind, some twice.
func everyKind() []Spec {
	three := 3.0
	whole := zoneSpec(func(t *zoneTerms) { t.hold, t.minSize, t.clear = 0, 0, 500*time.Millisecond })
	slant := lineSpec(func(t *lineTerms) {
		t.direction = detection.Up
		t.at = detection.Segment{A: detection.Point{X: 0.1, Y: 0.9}, B: detection.Point{X: 0.9, Y: 0.2}}
	})
	whole.Name, slant.Name = "whole", "slant"
	return []Spec{
		zoneSpec(), whole, lineSpec(), slant, floodSpec(),
		loiteringSpec(func(t *loiteringTerms) { t.hold, t.gap = 3*time.Second, 2*time.Second }),
		wrongWaySpec(), crowdSpec(func(t *crowdTerms) { t.hold = 200 * time.Millisecond }),
		stoppedSpec(func(t *stoppedTerms) { t.hold, t.gap = time.Millisecond, 0 }), absenceSpec(), sightingSpec(),
		leftSpec(func(t *leftTerms) { t.hold, t.gap = 300*time.Millisecond, 200*time.Millisecond }), removedSpec(func(t *removedTerms) { t.settled, t.hold = 200*time.Millisecond, time.Second }),
		spec("cold", detection.Minor, &thresholdTerms{sign: -1, value: 2, clear: &three}),
		spec("silent", detection.Minor, &silenceTerms{hold: 20 * time.Second}),
	}
}

// odd drives an Engine with random input: objects that come, go and jump, clocks that are
// set, readings that are not finite, restarts.
type odd struct {
	rng     *rand.Rand
	now     time.Time
	objects map[uint64]detection.Point
	nextID  uint64
}

func newOdd(seed uint64) *odd {
	return &odd{rng: rand.New(rand.NewPCG(seed, 9)), now: day, objects: map[uint64]detection.Point{}} // repeatable
}

func (o *odd) step(e *Engine) []detection.Incident {
	switch d := o.rng.IntN(100); {
	case d < 2:
		o.now = o.now.Add(time.Duration((o.rng.Float64() - 0.5) * 1e9 * float64(time.Second)))
	case d < 4:
		o.now = o.now.Add(time.Duration(o.rng.IntN(90)) * time.Second)
	default:
		o.now = o.now.Add(time.Duration(o.rng.IntN(300)) * time.Millisecond)
	}
	switch o.rng.IntN(4) {
	case 0:
		return e.Tick(o.now)
	case 1:
		r := devices.Reading{Device: "gate", Time: o.now, Value: 5 * o.rng.Float64(), Quality: devices.Good}
		switch o.rng.IntN(10) {
		case 0:
			r.Value = math.NaN()
		case 1:
			r.Quality = devices.Bad
		case 2:
			r.Time = r.Time.Add(-time.Duration(o.rng.IntN(100)) * time.Second)
		}
		return e.Reading(r, o.now)
	}
	return e.Frame(o.frame())
}

// frame returns a frame whose detections are those of its tracks, some of them of other classes.
func (o *odd) frame() (detection.Frame, []detection.Track) {
	f := detection.Frame{Time: o.now}
	tracks := o.tracks()
	for _, tr := range tracks {
		d := detection.Detection{Class: tr.Class, Score: o.rng.Float64(), Box: tr.Box}
		switch o.rng.IntN(20) {
		case 0, 1, 2, 3, 4:
			d.Class = "smoke"
		case 5:
			d.Class, d.Score = "fire", math.NaN()
		}
		f.Detections = append(f.Detections, d)
	}
	return f, tracks
}

func (o *odd) tracks() []detection.Track {
	if len(o.objects) < 8 && o.rng.IntN(5) == 0 {
		o.nextID++
		o.objects[o.nextID] = detection.Point{X: o.rng.Float64(), Y: o.rng.Float64()}
	}
	var tracks []detection.Track
	for id := uint64(1); id <= o.nextID; id++ {
		p, ok := o.objects[id]
		if !ok {
			continue
		}
		if o.rng.IntN(40) == 0 {
			delete(o.objects, id)
			continue
		}
		p.X += 0.2 * (o.rng.Float64() - 0.5)
		p.Y += 0.2 * (o.rng.Float64() - 0.5)
		o.objects[id] = p
		tr := object(id, p.X, p.Y, o.now)
		switch o.rng.IntN(20) {
		case 0:
			tr.Last = o.now.Add(-time.Second) // coasting
		case 1:
			tr.Box = detection.Box{X: math.NaN(), Y: math.Inf(1), W: math.Inf(-1), H: p.X}
			tr.Trail = append(tr.Trail, tr.Box.Foot())
		case 2:
			tr.Trail = nil
		}
		tracks = append(tracks, tr)
	}
	return tracks
}

func runOdd(t *testing.T, seed uint64, steps int) (opened map[string]int) {
	t.Helper()
	o := newOdd(seed)
	r := newRig(t, everyKind()...)
	for i := range steps {
		alerts := o.step(r.e)
		if o.rng.IntN(300) == 0 { // the edge is started again
			e, err := NewEngine("gate", everyKind(), r.log.id)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.log.take(alerts); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, i, err)
			}
			r.e = e
			alerts = e.Restore(r.log.open(), o.now)
			if len(alerts) != 0 {
				t.Fatalf("seed %d, step %d: restoring its own incidents closed %v", seed, i, alerts)
			}
		}
		if err := r.log.take(alerts); err != nil {
			t.Fatalf("seed %d, step %d: %v", seed, i, err)
		}
	}
	opened = map[string]int{}
	for _, inc := range r.log.known {
		opened[inc.Rule]++
	}
	return opened
}

func TestAnySequenceOfAlertsIsInOrder(t *testing.T) {
	total := map[string]int{}
	for seed := range uint64(40) {
		for rule, n := range runOdd(t, seed, 3000) {
			total[rule] += n
		}
	}
	for _, s := range everyKind() {
		if total[s.Name] == 0 {
			t.Errorf("rule %s never opened anything: the test shows nothing about it", s.Name)
		}
	}
}

// FuzzEngine is the same for any seed, and for tracks of any numbers.
func FuzzEngine(f *testing.F) {
	f.Add(uint64(1), 0.5, 0.4, 0.5, 0.6)
	f.Add(uint64(2), math.NaN(), math.Inf(1), -math.MaxFloat64, math.MaxFloat64)
	f.Add(uint64(3), 5e-324, 1e308, -1e308, 0.0)
	f.Fuzz(func(t *testing.T, seed uint64, ax, ay, bx, by float64) {
		runOdd(t, seed, 100)
		r := newRig(t, everyKind()...)
		for i, p := range []detection.Point{{X: ax, Y: ay}, {X: bx, Y: by}, {X: ax, Y: by}, {X: bx, Y: ay}, {X: ax, Y: ay}} {
			now := at(float64(i) / 4)
			tr := object(1, p.X, p.Y, now)
			tr.Trail = append(tr.Trail, detection.Point{X: bx, Y: by}, p)
			if err := r.log.take(r.e.Frame(detection.Frame{Time: now}, []detection.Track{tr})); err != nil {
				t.Fatal(err)
			}
			if err := r.log.take(r.read(reading(float64(i), ax))); err != nil {
				t.Fatal(err)
			}
		}
	})
}
