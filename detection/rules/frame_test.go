package rules

import (
	"testing"
	"time"

	"gridpost/detection"
)

func TestZoneOpensAndCloses(t *testing.T) {
	r := newRig(t, zoneSpec())
	r.want(r.frame(0, [3]float64{1, 0.1, 0.9}))   // outside
	r.want(r.frame(0.5, [3]float64{1, 0.3, 0.9})) // in
	r.want(r.frame(1.0, [3]float64{1, 0.4, 0.9}))
	r.want(r.frame(1.5, [3]float64{1, 0.5, 0.9}), "opened yard 1.5")
	r.want(r.frame(2.0, [3]float64{1, 0.5, 1.0})) // on the edge of frame and zone
	r.want(r.frame(2.5, [3]float64{1, 0.9, 0.9})) // out
	r.want(r.frame(4.9))
	r.want(r.frame(5.1), "closed yard 5.0")
	r.want(r.frame(9))
}

func TestZoneMergesWhoeverComes(t *testing.T) {
	r := newRig(t, zoneSpec())
	r.want(r.frame(0, [3]float64{1, 0.3, 0.9}))
	r.want(r.frame(1, [3]float64{1, 0.3, 0.9}), "opened yard 1.0")
	r.want(r.frame(1.2, [3]float64{2, 0.6, 0.9}, [3]float64{3, 0.7, 0.9}))
	r.want(r.frame(1.4, [3]float64{2, 0.6, 0.9}, [3]float64{3, 0.7, 0.9}))
	r.want(r.frame(2.4, [3]float64{2, 0.6, 0.9}, [3]float64{3, 0.7, 0.9}), "changed yard 2.4 count 3")
	r.want(r.frame(2.5, [3]float64{4, 0.5, 0.9}))
	r.want(r.frame(3.6, [3]float64{4, 0.5, 0.9}), "changed yard 3.6 count 4")
	r.want(r.frame(6.7), "closed yard 6.6 count 4")
}

func TestZoneDoesNotFlap(t *testing.T) {
	r := newRig(t, zoneSpec())
	var alerts []detection.Incident
	for i := range 600 { // comes and goes every second for a minute; away for less than it takes to close
		x := 0.5
		if i/10%2 == 1 {
			x = 0.1
		}
		alerts = append(alerts, r.frame(float64(i)/10, [3]float64{1, x, 0.9})...)
	}
	for i := range 20 {
		alerts = append(alerts, r.frame(60+float64(i)/2)...)
	}
	if len(alerts) != 0 {
		t.Errorf("somebody who never stays for a second: %d alerts", len(alerts))
	}
	alerts = nil
	for i := range 600 {
		x := 0.5
		if i >= 20 && i/10%2 == 1 {
			x = 0.1
		}
		alerts = append(alerts, r.frame(100+float64(i)/10, [3]float64{1, x, 0.9})...)
	}
	r.want(alerts, "opened yard 101.0")
}

func TestZoneForgivesATremblingBox(t *testing.T) {
	r := newRig(t, zoneSpec())
	for i := range 20 {
		x := 0.5
		if i%4 == 3 { // one frame in four has the foot outside
			x = 0.15
		}
		alerts := r.frame(float64(i)/10, [3]float64{1, x, 0.9})
		if i == 10 {
			r.want(alerts, "opened yard 1.0")
		} else {
			r.want(alerts)
		}
	}
}

func TestZoneLooksAtSizeAndClass(t *testing.T) {
	s := zoneSpec(func(t *zoneTerms) { t.hold, t.classes = 0, []string{"person"} })
	r := newRig(t, s)
	show := func(seconds float64, class string, w float64) []detection.Incident {
		tr := object(1, 0.5, 0.9, at(seconds))
		tr.Class, tr.Box.W = class, w
		return r.e.Frame(detection.Frame{Time: at(seconds)}, []detection.Track{tr})
	}
	r.want(show(0, "car", 0.1))
	r.want(show(1, "person", 0.04)) // 0.04 x 0.2 is too small
	r.want(show(2, "person", 0.1), "opened yard 2.0")
	r.want(r.frame(6), "closed yard 5.0")
	r.want(show(7, detection.Motion, 0.1), "opened yard 7.0") // without a model nothing is known of classes
}

func TestCoastingTracksAreNotInside(t *testing.T) {
	r := newRig(t, zoneSpec())
	tr := object(1, 0.5, 0.9, at(0))
	for i := range 50 { // returned by the tracker, but last seen at 0
		r.want(r.e.Frame(detection.Frame{Time: at(float64(i) / 10)}, []detection.Track{tr}))
	}
}

func TestZoneSurvivesClocks(t *testing.T) {
	r := newRig(t, zoneSpec())
	in := [3]float64{1, 0.5, 0.9}
	r.want(r.frame(0, in))
	r.want(r.frame(0.5, in))
	r.want(r.frame(1e9, in)) // from 2026 to 2057: no time has passed
	r.want(r.frame(1e9+0.4, in))
	r.want(r.frame(1e9+0.6, in), "opened yard 1000000000.6")
	r.want(r.frame(5, in)) // and back
	r.want(r.frame(6, in))
	r.want(r.frame(7))
	r.want(r.frame(8.9))
	r.want(r.frame(9), "closed yard 1000000000.6") // never before it opened
	r.want(r.frame(10, in))
	r.want(r.frame(9.9, in)) // frames out of order
	r.want(r.frame(10.9, in))
	r.want(r.frame(11, in), "opened yard 11.0")
}

func TestZoneWithoutFrames(t *testing.T) {
	r := newRig(t, zoneSpec())
	r.want(r.e.Tick(at(0)))
	r.want(r.frame(0.1, [3]float64{1, 0.5, 0.9}))
	r.want(r.frame(1.1, [3]float64{1, 0.5, 0.9}), "opened yard 1.1")
	for i := 2; i < 35; i++ {
		r.want(r.e.Tick(at(float64(i))))
	}
	r.want(r.e.Tick(at(35)), "closed yard 35.0")
	r.want(r.frame(40, [3]float64{1, 0.5, 0.9}))
	r.want(r.frame(41, [3]float64{1, 0.5, 0.9}), "opened yard 41.0")
}

// lineSpec returns a line rule, changed as the edits say.
func lineSpec(edits ...func(*lineTerms)) Spec {
	terms := &lineTerms{
		tracked:   tracked{clear: defaultClear},
		at:        detection.Segment{A: detection.Point{X: 0.2, Y: 0.5}, B: detection.Point{X: 0.8, Y: 0.5}},
		direction: detection.AnyDirection,
	}
	for _, edit := range edits {
		edit(terms)
	}
	return spec("gate", detection.Minor, terms)
}

// walk shows track id going from one place to another in n steps of 0.1 s and returns the alerts.
func (r *rig) walk(id uint64, start, x0, y0, x1, y1 float64, n int) []detection.Incident {
	var alerts []detection.Incident
	for i := range n + 1 {
		f := float64(i) / float64(n)
		alerts = append(alerts, r.frame(start+float64(i)/10, [3]float64{float64(id), x0 + f*(x1-x0), y0 + f*(y1-y0)})...)
	}
	return alerts
}

func TestLineDirections(t *testing.T) {
	for _, c := range []struct {
		line           []detection.Point
		want           detection.Direction
		x0, y0, x1, y1 float64
		dir            string // "" for no crossing
	}{
		{nil, "", 0.5, 0.4, 0.5, 0.6, "down"},
		{nil, "", 0.5, 0.6, 0.5, 0.4, "up"},
		{nil, detection.AnyDirection, 0.5, 0.6, 0.5, 0.4, "up"},
		{nil, detection.Up, 0.5, 0.6, 0.5, 0.4, "up"},
		{nil, detection.Up, 0.5, 0.4, 0.5, 0.6, ""},
		{nil, detection.Down, 0.5, 0.4, 0.5, 0.6, "down"},
		{nil, detection.Down, 0.5, 0.6, 0.5, 0.4, ""},
		{nil, "", 0.1, 0.4, 0.1, 0.6, ""}, // past its end
		{nil, "", 0.9, 0.4, 0.9, 0.6, ""},
		{nil, "", 0.5, 0.4, 0.5, 0.505, ""}, // not clearly across
		{nil, "", 0.1, 0.45, 0.9, 0.48, ""}, // along it
		{nil, "", 0.3, 0.2, 0.7, 0.9, "down"},
		{nil, detection.Left, 0.7, 0.4, 0.3, 0.6, "left"}, // no line to the left or right: by the way
		{nil, detection.Right, 0.7, 0.4, 0.3, 0.6, ""},
		{[]detection.Point{{X: 0.5, Y: 0}, {X: 0.5, Y: 1}}, "", 0.4, 0.5, 0.6, 0.5, "right"},
		{[]detection.Point{{X: 0.5, Y: 1}, {X: 0.5, Y: 0}}, "", 0.6, 0.5, 0.4, 0.5, "left"},
		{[]detection.Point{{X: 0.5, Y: 1}, {X: 0.5, Y: 0}}, detection.Left, 0.6, 0.5, 0.4, 0.5, "left"},
		{[]detection.Point{{X: 0.5, Y: 1}, {X: 0.5, Y: 0}}, detection.Right, 0.6, 0.5, 0.4, 0.5, ""},
		{[]detection.Point{{X: 0, Y: 1}, {X: 1, Y: 0}}, detection.Up, 0.7, 0.7, 0.3, 0.3, "up"}, // slanting: both are right
		{[]detection.Point{{X: 0, Y: 1}, {X: 1, Y: 0}}, detection.Left, 0.7, 0.7, 0.3, 0.3, "left"},
		{[]detection.Point{{X: 0, Y: 1}, {X: 1, Y: 0}}, detection.Down, 0.7, 0.7, 0.3, 0.3, ""},
	} {
		s := lineSpec(func(t *lineTerms) {
			if t.direction = c.want; c.want == "" {
				t.direction = detection.AnyDirection
			}
			if c.line != nil {
				t.at = detection.Segment{A: c.line[0], B: c.line[1]}
			}
		})
		r := newRig(t, s)
		alerts := r.walk(1, 0, c.x0, c.y0, c.x1, c.y1, 20)
		got := ""
		if len(alerts) > 0 {
			got = string(alerts[0].Direction)
		}
		if len(alerts) > 1 || got != c.dir {
			t.Errorf("%+v: %d alerts, direction %q", c, len(alerts), got)
		}
	}
}

func TestLineClosesAndCountsEachCrossing(t *testing.T) {
	r := newRig(t, lineSpec())
	r.want(r.walk(1, 0, 0.5, 0.4, 0.5, 0.6, 10), "opened gate 0.6 down")
	r.want(r.walk(2, 1.2, 0.6, 0.6, 0.6, 0.4, 10), "opened gate 1.8 up")
	r.want(r.frame(3.5))
	r.want(r.frame(4.9), "closed gate 3.6 down", "closed gate 4.8 up")
}

func TestLineIgnoresTrembling(t *testing.T) {
	r := newRig(t, lineSpec())
	r.want(r.frame(0, [3]float64{1, 0.5, 0.4}))
	for i := range 100 { // stands on the line
		r.want(r.frame(float64(i+1)/10, [3]float64{1, 0.5, 0.49 + 0.02*float64(i%2)}))
	}
	r.want(r.frame(11, [3]float64{1, 0.5, 0.6}), "opened gate 11.0 down")
}

func TestLineCountsWhatWasSeenBeforeItWasATrack(t *testing.T) {
	r := newRig(t, lineSpec())
	tr := object(1, 0.5, 0.7, at(1))
	tr.Trail = []detection.Point{{X: 0.5, Y: 0.4}, {X: 0.5, Y: 0.55}, {X: 0.5, Y: 0.7}}
	r.want(r.e.Frame(detection.Frame{Time: at(1)}, []detection.Track{tr}), "opened gate 1.0 down")
}

func TestLineCountsPiecesOnce(t *testing.T) {
	r := newRig(t, lineSpec())
	var alerts []detection.Incident
	for i := range 21 {
		y := 0.4 + 0.01*float64(i)
		car := object(1, 0.5, y, at(float64(i)/10))
		lamp := object(2, 0.52, y-0.03, at(float64(i)/10))
		lamp.Box.X, lamp.Box.Y, lamp.Box.W, lamp.Box.H = 0.5, y-0.08, 0.04, 0.05
		lamp.Trail = []detection.Point{lamp.Box.Foot()}
		alerts = append(alerts, r.e.Frame(detection.Frame{Time: at(float64(i) / 10)}, []detection.Track{car, lamp})...)
	}
	r.want(alerts, "opened gate 1.2 down")
}

func TestLineClosesWithoutFrames(t *testing.T) {
	r := newRig(t, lineSpec())
	r.want(r.e.Tick(at(0)))
	r.want(r.walk(1, 0, 0.5, 0.4, 0.5, 0.6, 10), "opened gate 0.6 down")
	r.want(r.e.Tick(at(3)))
	r.want(r.e.Tick(at(5)), "closed gate 3.6 down")
}

func TestLineIsBounded(t *testing.T) {
	s := lineSpec(func(t *lineTerms) { t.clear = time.Hour })
	r := newRig(t, s)
	for i := range 200 {
		alerts := r.walk(uint64(i+1), float64(i)*2, 0.5, 0.4, 0.5, 0.6, 10)
		if err := r.log.take(alerts); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.log.open()); n != maxCrossings {
		t.Errorf("%d open, want %d", n, maxCrossings)
	}
}

func TestRestore(t *testing.T) {
	two := 2.0
	specs := []Spec{
		zoneSpec(), lineSpec(),
		spec("flood", detection.Severe, &thresholdTerms{sign: 1, value: 3, clear: &two}),
		spec("silent", detection.Minor, &silenceTerms{hold: time.Minute}),
	}
	inc := func(id, rule string, kind detection.RuleKind) detection.Incident {
		return detection.Incident{
			ID: id, Device: "gate", Rule: rule, Kind: kind, Severity: detection.Minor, State: detection.Open,
			Opened: at(-100), Updated: at(-90), Version: 3, Count: 1,
		}
	}
	open := []detection.Incident{
		inc("z", "yard", detection.Zone), inc("z2", "yard", detection.Zone), inc("l", "gate", detection.Line),
		inc("gone", "was-here", detection.Zone), inc("other", "flood", detection.Below),
		inc("s", "silent", detection.Silence), inc("f", "flood", detection.Above),
		{ID: "c", Device: "gate", Rule: "yard", State: detection.Closed},
		{ID: "d", Device: "door", Rule: "yard", State: detection.Open},
	}
	r := newRig(t, specs...)
	for _, o := range open {
		r.log.known[o.ID] = o
	}
	r.want(r.e.Restore(open, at(0)), "closed yard 0.0", "closed was-here 0.0", "closed flood 0.0")
	r.log.single["yard"], r.log.single["flood"], r.log.single["silent"] = "z", "f", "s"
	r.want(r.e.Tick(at(0)))
	// The first frame ends the silence. The rest has its whole clear time from there.
	r.want(r.frame(1), "closed silent 1.0")
	r.want(r.frame(3, [3]float64{9, 0.5, 0.9})) // somebody is still there
	r.want(r.frame(5), "closed gate -90.0")
	r.want(r.frame(6), "closed yard 6.0")
	r.want(r.read(reading(7, 2.5)))
	r.want(r.read(reading(8, 1.9)), "closed flood 8.0 value 2.5")
}
