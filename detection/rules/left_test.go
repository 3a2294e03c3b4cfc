package rules

import (
	"testing"
	"time"

	"gridpost/detection"
)

// leftSpec returns a rule about things that are left for ten seconds, changed as the edits say.
func leftSpec(edits ...func(*leftTerms)) Spec {
	terms := &leftTerms{tracked: tracked{clear: defaultClear, classes: luggage()}, area: yard, hold: 10 * time.Second, gap: 2 * time.Second}
	for _, edit := range edits {
		edit(terms)
	}
	return spec("bag", detection.Severe, terms)
}

// item is an object of a class that stands at a place for some seconds.
type item struct {
	id       uint64
	class    string
	x, y     float64
	from, to float64
}

// hall shows items every 0.5 s, from the first time to before the second one.
func (r *rig) hall(from, to float64, items ...item) []detection.Incident {
	var alerts []detection.Incident
	for ; from < to; from += 0.5 {
		var tracks []detection.Track
		for _, i := range items {
			if from < i.from || from >= i.to {
				continue
			}
			tr := object(i.id, i.x, i.y, at(from))
			tr.Class = i.class
			tracks = append(tracks, tr)
		}
		alerts = append(alerts, r.e.Frame(detection.Frame{Time: at(from)}, tracks)...)
	}
	return alerts
}

func TestAThingIsLeft(t *testing.T) {
	r := newRig(t, leftSpec())
	r.want(r.hall(0, 80,
		item{1, "suitcase", 0.3, 0.9, 0, 80},   // was there before
		item{2, "person", 0.6, 0.9, 20, 30},    // puts down
		item{3, "suitcase", 0.65, 0.9, 22, 60}, // this
		item{4, "suitcase", 0.3, 0.9, 61, 80},  // the model has lost the first one for a moment
		item{5, "person", 0.5, 0.5, 35, 80},    // stands, far from it
		item{6, "car", 0.5, 0.7, 40, 80},
	), "opened bag 39.5", "closed bag 62.5")
}

func TestAThingWithSomebodyIsNotLeft(t *testing.T) {
	r := newRig(t, leftSpec())
	r.want(r.nobody(0, 15))
	r.want(r.hall(15, 60, item{1, "backpack", 0.5, 0.9, 15, 60}, item{2, "person", 0.55, 0.9, 15, 60}))
	carried := func(seconds float64) []detection.Track { // moves with somebody
		tr := object(7, 0.25+0.02*(seconds-60), 0.9, at(seconds))
		tr.Class = "handbag"
		return []detection.Track{tr}
	}
	for s := 60.0; s < 85; s += 0.5 {
		r.want(r.e.Frame(detection.Frame{Time: at(s)}, carried(s)))
	}
}

func TestAThingIsLeftWithoutAModel(t *testing.T) {
	r := newRig(t, leftSpec())
	r.want(r.nobody(0, 15))
	var alerts []detection.Incident
	var trail []detection.Point
	for i := range 120 { // somebody walks by, and something stays behind
		s := 15 + float64(i)/4
		thing := object(1, 0.5, 0.9, at(s))
		passer := object(2, 0.2+0.01*float64(i), 0.9, at(s))
		trail = append(trail, passer.Box.Foot())
		passer.Trail = trail
		tracks := []detection.Track{thing}
		if i < 60 {
			tracks = append(tracks, passer)
		}
		alerts = append(alerts, r.e.Frame(detection.Frame{Time: at(s)}, tracks)...)
	}
	if err := r.log.take(alerts); err != nil {
		t.Fatal(err)
	}
	if len(alerts) != 1 || alerts[0].TrackID != 1 || alerts[0].Opened.Before(at(25)) || alerts[0].Opened.After(at(40)) {
		t.Errorf("%+v", alerts)
	}
	r.want(r.nobody(50, 60), "closed bag 47.8")
}

// left against a plain reference: things that stand with nobody near.
func TestLeftAgainstAPlainReference(t *testing.T) {
	rule := leftSpec(func(t *leftTerms) { t.hold = 4 * time.Second })
	const reach = stillSize * 0.1
	againstReference(t, rule, 3*time.Second, 5, []string{"suitcase", "person", "suitcase"}, func(past []moment, _ bool) bool {
		now := past[len(past)-1]
		for _, tr := range now.tracks {
			var from *detection.Point // where it began to stand
			var since, last, near time.Duration
			in, old := false, false
			var scene []detection.Box
			for _, m := range past {
				beginning := m.now-past[0].now < sceneTime
				for _, other := range m.tracks {
					if beginning && other.Class == "suitcase" && other.Last.Equal(m.at) && yard.Contains(other.Box.Foot()) && !places(scene).knows(other.Box) {
						scene = append(scene, other.Box)
					}
				}
				seen, ok := m.detected(tr.ID)
				foot := seen.Box.Foot()
				if in = ok && seen.Class == "suitcase" && yard.Contains(foot); !in {
					continue
				}
				if from == nil || m.now-last > 2*time.Second {
					old = false
				}
				if from == nil || m.now-last > 2*time.Second || from.Distance(foot) > reach {
					from, since, near = &foot, m.now, m.now
				}
				last = m.now
				for _, box := range scene {
					old = old || box.IoU(seen.Box) >= samePlace
				}
				for _, other := range m.tracks {
					grown := detection.Box{X: other.Box.X - 0.1, Y: other.Box.Y - 0.1, W: other.Box.W + 0.2, H: other.Box.H + 0.2}
					if other.Class == person && other.Last.Equal(m.at) && grown.Intersection(seen.Box).Area() > 0 {
						near = m.now
					}
				}
			}
			if in && !old && now.now-max(since, near) >= 4*time.Second {
				return true
			}
		}
		return false
	})
}
