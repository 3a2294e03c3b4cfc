package rules

import (
	"math"
	"math/rand/v2"
	"testing"

	"gridpost/detection"
)

// tall is 0.1 high at y 0.4 and 0.4 high at the lower edge: the horizon is at y 0.2.
var tall = perspective{far: reference{0.4, 0.1}, near: reference{1, 0.4}}

func TestLeastHeight(t *testing.T) {
	for y, want := range map[float64]float64{0.4: 0.1, 1: 0.4, 0.7: 0.25, 0.3: 0.05, 0.2: 0, 0: 0} {
		if got := tall.least(y); math.Abs(got-want) > 1e-9 {
			t.Errorf("at %g: %g, want %g", y, got, want)
		}
	}
}

// An object of one size that a camera sees anywhere on level ground is either tall enough everywhere or nowhere.
func TestPerspectiveOfACamera(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3)) // repeatable
	for range 2000 {
		height, horizon := 2+8*rng.Float64(), 0.3*rng.Float64() // of the camera above the ground in m; in the frame
		focal := 0.8 + rng.Float64()
		// The foot of an object at a distance, and the height of one of size m, in the frame of a level camera.
		foot := func(distance float64) float64 { return horizon + focal*height/distance }
		seen := func(distance, size float64) float64 { return focal * size / distance }
		nearest := focal * height / (1 - horizon) // at the lower edge
		a, b := nearest*1.1, nearest*(2+3*rng.Float64())
		p := perspective{near: reference{foot(a), seen(a, 1.2)}, far: reference{foot(b), seen(b, 1.2)}}
		distance := nearest * (1 + 9*rng.Float64())
		for size, want := range map[float64]bool{1.25: true, 1.15: false} {
			h := seen(distance, size)
			box := detection.Box{X: 0.4, Y: foot(distance) - h, W: 0.1, H: h}
			if got := p.allows(box); got != want {
				t.Fatalf("%+v: an object of %g m at %g m: %t", p, size, distance, got)
			}
		}
	}
}

func TestRulesLookAtThePerspective(t *testing.T) {
	zone := newRig(t, zoneSpec(func(t *zoneTerms) { t.hold, t.minTall = 0, tall }))
	zone.want(zone.frame(0, [3]float64{1, 0.5, 0.95}))                   // 0.2 high near the camera
	zone.want(zone.frame(1, [3]float64{2, 0.5, 0.5}), "opened yard 1.0") // the same far away
	for y, want := range map[float64]int{0.5: 1, 0.9: 0} {
		line := newRig(t, lineSpec(func(t *lineTerms) { t.minTall, t.at.A.Y, t.at.B.Y = tall, y, y }))
		if got := len(line.walk(1, 0, 0.5, y-0.08, 0.5, y+0.08, 10)); got != want {
			t.Errorf("a line at %g: %d crossings, want %d", y, got, want)
		}
	}
	loiterer := newRig(t, loiteringSpec(func(t *loiteringTerms) { t.minTall = tall }))
	loiterer.want(loiterer.stand(0, 20, 1, 0.5, 0.95))
	loiterer.want(loiterer.stand(20, 31, 2, 0.5, 0.5), "opened loiters 30.0")
}
