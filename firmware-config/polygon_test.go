package firmwareconfig

import (
	"math"
	"math/rand/v2"
	"testing"

	"gridpost/detection"
)

func TestSelfCrossing(t *testing.T) {
	for name, c := range map[string]struct {
		points  []detection.Point
		crosses bool
	}{
		"triangle":        {[]detection.Point{{X: 0, Y: 0}, {X: 1, Y: 0}, {X: 0, Y: 1}}, false},
		"square":          {[]detection.Point{{X: 0, Y: 0}, {X: 1, Y: 0}, {X: 1, Y: 1}, {X: 0, Y: 1}}, false},
		"point on a side": {[]detection.Point{{X: 0, Y: 0}, {X: 0.5, Y: 0}, {X: 1, Y: 0}, {X: 1, Y: 1}}, false},
		"bow tie":         {[]detection.Point{{X: 0, Y: 0}, {X: 1, Y: 1}, {X: 1, Y: 0}, {X: 0, Y: 1}}, true},
		"flat":            {[]detection.Point{{X: 0, Y: 0}, {X: 0.5, Y: 0.5}, {X: 1, Y: 1}}, true},
		"spike":           {[]detection.Point{{X: 0, Y: 0}, {X: 1, Y: 0}, {X: 0.5, Y: 0}, {X: 0.5, Y: 1}}, true},
		"spike at end":    {[]detection.Point{{X: 0.5, Y: 0}, {X: 0.5, Y: 1}, {X: 0, Y: 0}, {X: 1, Y: 0}}, true},
		"corner twice":    {[]detection.Point{{X: 0, Y: 0}, {X: 0, Y: 0}, {X: 1, Y: 0}, {X: 0, Y: 1}}, true},
		"closed by hand":  {[]detection.Point{{X: 0, Y: 0}, {X: 1, Y: 0}, {X: 0, Y: 1}, {X: 0, Y: 0}}, true},
		"touches":         {[]detection.Point{{X: 0, Y: 0}, {X: 1, Y: 0}, {X: 1, Y: 1}, {X: 0.5, Y: 0}, {X: 0, Y: 1}}, true},
	} {
		if _, _, crosses := selfCrossing(c.points); crosses != c.crosses {
			t.Errorf("%s: crosses %v, expected %v", name, crosses, c.crosses)
		}
	}
}

// TestStarsAreSimple: corners in the order of their angle never cross, and two neighbours
// that change places in a convex polygon always do.
func TestStarsAreSimple(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test wants the same numbers each time
	for range 2000 {
		n := 4 + rnd.IntN(maxCorners-3)
		star, convex := make([]detection.Point, n), make([]detection.Point, n)
		for i := range n {
			angle := 2 * math.Pi * (float64(i) + 0.8*rnd.Float64()) / float64(n)
			radius := 0.1 + 0.4*rnd.Float64()
			star[i] = detection.Point{X: 0.5 + radius*math.Cos(angle), Y: 0.5 + radius*math.Sin(angle)}
			convex[i] = detection.Point{X: 0.5 + 0.5*math.Cos(angle), Y: 0.5 + 0.5*math.Sin(angle)}
		}
		if i, j, crosses := selfCrossing(star); crosses {
			t.Fatalf("sides %d and %d of %v are said to meet", i, j, star)
		}
		k := rnd.IntN(n)
		convex[k], convex[(k+1)%n] = convex[(k+1)%n], convex[k]
		if _, _, crosses := selfCrossing(convex); !crosses {
			t.Fatalf("%v crosses itself and is said not to", convex)
		}
	}
}
