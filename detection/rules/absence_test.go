package rules

import (
	"testing"
	"time"

	"gridpost/detection"
)

// absenceSpec returns a rule about a post at which nobody is for ten seconds, changed as the edits say.
func absenceSpec(edits ...func(*absenceTerms)) Spec {
	terms := &absenceTerms{tracked: tracked{clear: defaultClear, classes: []string{"person"}}, area: yard, hold: 10 * time.Second}
	for _, edit := range edits {
		edit(terms)
	}
	return spec("post", detection.Moderate, terms)
}

func TestAbsence(t *testing.T) {
	r := newRig(t, absenceSpec())
	r.want(r.nobody(0, 5))
	r.want(r.stand(5, 6, 1, 0.5, 0.9)) // somebody looks in
	r.want(r.nobody(6, 17), "opened post 15.5")
	r.want(r.stand(17, 19, 2, 0.5, 0.9)) // somebody passes
	r.want(r.nobody(19, 25))
	r.want(r.stand(25, 40, 3, 0.5, 0.9), "closed post 27.5")
	r.want(r.stand(40, 60, 3, 0.1, 0.9), "opened post 49.5") // beside the post
}

func TestAbsenceOfPersonsOnly(t *testing.T) {
	r := newRig(t, absenceSpec())
	var alerts []detection.Incident
	for s := 0.0; s < 12; s += 0.5 {
		tr := object(1, 0.5, 0.9, at(s))
		tr.Class = "dog"
		alerts = append(alerts, r.e.Frame(detection.Frame{Time: at(s)}, []detection.Track{tr})...)
	}
	r.want(alerts, "opened post 10.0")
}

func TestNobodyIsAbsentWhileNothingIsSeen(t *testing.T) {
	r := newRig(t, absenceSpec())
	r.want(r.e.Tick(at(0)))
	r.want(r.nobody(0, 5))
	r.want(r.nobody(50, 54)) // no frame for 45 s
	r.want(r.nobody(54, 57), "opened post 55.5")
	r.want(r.e.Tick(at(57)))
	r.want(r.e.Tick(at(89)))
	r.want(r.e.Tick(at(90)), "closed post 90.0") // nobody knows
	r.want(r.nobody(95, 105))
	r.want(r.nobody(105, 106), "opened post 105.0")
}

func TestAbsenceAgainstAPlainReference(t *testing.T) {
	rule := absenceSpec(func(t *absenceTerms) { t.hold = 6 * time.Second })
	present := func(m moment) bool {
		for _, tr := range m.tracks {
			if tr.Class == "person" && yard.Contains(tr.Box.Foot()) {
				return true
			}
		}
		return false
	}
	againstReference(t, rule, defaultClear, 2, []string{"person", "car"}, func(past []moment, open bool) bool {
		now := past[len(past)-1]
		if open || present(now) {
			return !present(now)
		}
		last := past[0].now
		for _, m := range past {
			if present(m) {
				last = m.now
			}
		}
		return now.now-last >= 6*time.Second
	})
}
