package rules

import (
	"testing"
	"time"

	"gridpost/detection"
)

// sightingSpec returns a rule about smoke and fire, changed as the edits say.
func sightingSpec(edits ...func(*sightingTerms)) Spec {
	terms := &sightingTerms{classes: []string{"smoke", "fire"}, clear: 5 * time.Second, seen: 3, looks: 5, minScore: 0.4}
	for _, edit := range edits {
		edit(terms)
	}
	return spec("burns", detection.Extreme, terms)
}

// look passes what a model sees to the engine: "s" smoke, "f" fire, "w" a faint one, "p" a person, "." nothing.
func (r *rig) look(seconds float64, what byte) []detection.Incident {
	d := detection.Detection{Score: 0.6, Box: detection.Box{X: 0.4, Y: 0.4, W: 0.2, H: 0.1}}
	switch what {
	case 's':
		d.Class = "smoke"
	case 'f':
		d.Class, d.Score = "fire", 0.9
	case 'w':
		d.Class, d.Score = "smoke", 0.3
	case 'p':
		d.Class = "person"
	case '.':
		return r.e.Frame(detection.Frame{Time: at(seconds)}, nil)
	}
	return r.e.Frame(detection.Frame{Time: at(seconds), Detections: []detection.Detection{d}}, nil)
}

// looks passes one look after the other, a second apart, from the time given.
func (r *rig) looks(from float64, all string) []detection.Incident {
	var alerts []detection.Incident
	for i := range len(all) {
		alerts = append(alerts, r.look(from+float64(i), all[i])...)
	}
	return alerts
}

func TestSighting(t *testing.T) {
	r := newRig(t, sightingSpec())
	r.want(r.looks(0, "s...s..f..s...ppppwwww"))
	r.want(r.looks(30, "s.s.s"), "opened burns 34.0 count 3")
	if inc := r.e.Open()[0]; inc.Class != "smoke" || inc.Score != 0.6 || inc.Box == nil {
		t.Errorf("it shows %+v", inc)
	}
	r.want(r.looks(35, "..f...s"), "changed burns 37.0 count 4") // flames come and go
	r.want(r.looks(42, "....."), "closed burns 46.0 count 5")
}

func TestSightingLooksAtItsAreaAndSize(t *testing.T) {
	for name, edit := range map[string]func(*sightingTerms){
		"elsewhere": func(t *sightingTerms) {
			t.area = detection.Polygon{{X: 0, Y: 0}, {X: 0.3, Y: 0}, {X: 0.3, Y: 0.3}}
		},
		"too small": func(t *sightingTerms) { t.minSize = 0.03 },
	} {
		r := newRig(t, sightingSpec(edit))
		if alerts := r.looks(0, "ffffff"); len(alerts) != 0 {
			t.Errorf("%s: %d alerts", name, len(alerts))
		}
	}
	r := newRig(t, sightingSpec(func(t *sightingTerms) { t.area = yard }))
	r.want(r.looks(0, "fff"), "opened burns 2.0 count 3")
}

func TestSightingForgetsLooksOfLongAgo(t *testing.T) {
	r := newRig(t, sightingSpec())
	r.want(r.e.Tick(at(0)))
	r.want(r.looks(0, "ss"))
	r.want(r.e.Tick(at(2)))
	r.want(r.e.Tick(at(60)))
	r.want(r.looks(60, "s."))
}

func TestSightingAgainstAPlainReference(t *testing.T) {
	rule := sightingSpec(func(t *sightingTerms) { t.area, t.seen, t.looks = yard, 9, 14 })
	againstReference(t, rule, 5*time.Second, 2, []string{"smoke", "dog"}, func(past []moment, open bool) bool {
		n, now := 0, false
		for i := len(past) - 1; i >= max(0, len(past)-14); i-- {
			shown := false
			for _, tr := range past[i].tracks {
				shown = shown || tr.Last.Equal(past[i].at) && tr.Class == "smoke" && yard.Contains(tr.Box.Center())
			}
			if shown {
				n++
			}
			now = now || shown && i == len(past)-1
		}
		return now && (open || n >= 9)
	})
}
