package rules

import (
	"testing"
	"time"

	"gridpost/detection"
)

// stoppedSpec returns a rule about vehicles that stand for ten seconds, changed as the edits say.
func stoppedSpec(edits ...func(*stoppedTerms)) Spec {
	terms := &stoppedTerms{tracked: tracked{clear: defaultClear, classes: vehicles()}, area: yard, hold: 10 * time.Second, gap: 2 * time.Second}
	for _, edit := range edits {
		edit(terms)
	}
	return spec("parks", detection.Moderate, terms)
}

func TestStopped(t *testing.T) {
	r := newRig(t, stoppedSpec())
	r.want(r.walk(1, 0, 0.1, 0.9, 0.5, 0.9, 40))
	r.want(r.stand(4.5, 15, 1, 0.5, 0.9), "opened parks 14.0") // it arrived within reach of its place at 3.7
	r.want(r.walk(1, 15, 0.5, 0.9, 0.9, 0.9, 40), "closed parks 18.2")
}

func TestStoppedLooksAtVehiclesThatStand(t *testing.T) {
	r := newRig(t, stoppedSpec())
	person := func(from, to float64) []detection.Incident {
		var alerts []detection.Incident
		for ; from < to; from += 0.5 {
			tr := object(1, 0.5, 0.9, at(from))
			tr.Class = "person"
			alerts = append(alerts, r.e.Frame(detection.Frame{Time: at(from)}, []detection.Track{tr})...)
		}
		return alerts
	}
	r.want(person(0, 20))
	r.want(r.walk(2, 20, 0.25, 0.9, 0.75, 0.9, 300)) // half a minute at a walking pace
	r.want(r.stand(60, 68, 3, 0.5, 0.9))
	r.want(r.stand(68, 77, 3, 0.6, 0.9)) // it has moved on
	for i := range 30 {                  // its box trembles
		alerts := r.frame(100+float64(i)/2, [3]float64{4, 0.5 + 0.012*float64(i%3), 0.9})
		if i == 20 {
			r.want(alerts, "opened parks 110.0")
		} else {
			r.want(alerts)
		}
	}
}

func TestStoppedAgainstAPlainReference(t *testing.T) {
	rule := stoppedSpec(func(t *stoppedTerms) { t.hold = 5 * time.Second })
	const reach = stillSize * 0.1 // the boxes are 0.1 wide and 0.2 high
	againstReference(t, rule, 3*time.Second, 4, []string{"car", "person"}, func(past []moment, _ bool) bool {
		now := past[len(past)-1]
		for _, tr := range now.tracks {
			var from *detection.Point // where it began to stand
			var since, last time.Duration
			in := false
			for _, m := range past {
				seen, ok := m.detected(tr.ID)
				foot := seen.Box.Foot()
				in = ok && seen.Class == "car" && yard.Contains(foot)
				if !in {
					continue
				}
				if from == nil || m.now-last > 2*time.Second || from.Distance(foot) > reach {
					from, since = &foot, m.now
				}
				last = m.now
			}
			if in && now.now-since >= 5*time.Second {
				return true
			}
		}
		return false
	})
}
