package rules

import (
	"testing"

	"gridpost/detection"
)

func TestLineCountsOneCarThatGoesBackAndForthOnce(t *testing.T) {
	r := newRig(t, lineSpec())
	r.want(r.walk(1, 0, 0.5, 0.6, 0.5, 0.4, 10), "opened gate 0.6 up")
	r.want(r.walk(1, 1.1, 0.5, 0.4, 0.5, 0.6, 10)) // down and up again within the clear time
	r.want(r.walk(1, 2.2, 0.5, 0.6, 0.5, 0.4, 10))
	r.want(r.frame(3.7), "closed gate 3.6 up")
	r.want(r.walk(1, 9, 0.5, 0.4, 0.5, 0.6, 10), "opened gate 9.6 down") // later it comes back
}

func TestLineNeedsAWay(t *testing.T) {
	r := newRig(t, lineSpec())
	first := at(0)
	for i := range 100 { // hangs over the line for ten seconds, and swings
		tr := object(1, 0.5, 0.49+0.035*float64(i%2), at(float64(i)/10))
		tr.First = first
		r.want(r.e.Frame(detection.Frame{Time: at(float64(i) / 10)}, []detection.Track{tr}))
	}
}

func TestZoneHoldsWhatTheEdgeCutsOff(t *testing.T) {
	near := detection.Polygon{{X: 0.2, Y: 0.4}, {X: 0.8, Y: 0.4}, {X: 0.8, Y: 0.96}, {X: 0.2, Y: 0.96}}
	far := detection.Polygon{{X: 0.2, Y: 0.4}, {X: 0.8, Y: 0.4}, {X: 0.8, Y: 0.9}, {X: 0.2, Y: 0.9}}
	for _, c := range []struct {
		area detection.Polygon
		foot float64
		want bool
	}{{near, 1, true}, {near, 0.98, false}, {near, 0.95, true}, {far, 1, false}} {
		r := newRig(t, zoneSpec(func(t *zoneTerms) { t.area, t.hold = c.area, 0 }))
		if got := len(r.frame(0, [3]float64{1, 0.5, c.foot})) > 0; got != c.want {
			t.Errorf("a foot at %v in a zone to %v: inside %v, want %v", c.foot, c.area[2].Y, got, c.want)
		}
	}
	if !nearEdge(near) || nearEdge(far) || nearEdge(yard) {
		t.Errorf("near the edge: %v, %v, %v", nearEdge(near), nearEdge(far), nearEdge(yard))
	}
}

func TestForCountsFromTheFirstDetection(t *testing.T) {
	r := newRig(t, zoneSpec())
	show := func(seconds float64) []detection.Incident {
		tr := object(1, 0.5, 0.9, at(seconds))
		tr.First = at(0)
		return r.e.Frame(detection.Frame{Time: at(seconds)}, []detection.Track{tr})
	}
	r.want(show(0.3)) // the tracker needs some frames
	r.want(show(0.9))
	r.want(show(1.0), "opened yard 1.0")
}

func TestClassesWithAModel(t *testing.T) {
	for _, c := range []struct {
		classes  []string
		class    string
		modelled bool
		moving   bool
		want     bool
	}{
		{nil, "cell phone", true, true, true},
		{[]string{"car"}, detection.Motion, false, false, true}, // without a model
		{[]string{"car"}, detection.Motion, true, true, false},
		{[]string{"car", detection.Motion}, detection.Motion, true, true, true},
		{[]string{"car", detection.Motion}, "cell phone", true, true, true},
		{[]string{"car", detection.Motion}, "cell phone", true, false, false}, // it lies there
		{[]string{"car", detection.Motion}, "car", true, false, true},
		{[]string{"car"}, "cell phone", true, true, false},
	} {
		rule := tracked{classes: c.classes}
		tr := object(1, 0.5, 0.9, at(0))
		tr.Class, tr.Modelled, tr.Moving = c.class, c.modelled, c.moving
		if got := rule.counts(tr); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
