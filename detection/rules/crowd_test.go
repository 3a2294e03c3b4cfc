package rules

import (
	"testing"
	"time"

	"gridpost/detection"
)

// crowdSpec returns a rule about more than two objects, changed as the edits say.
func crowdSpec(edits ...func(*crowdTerms)) Spec {
	terms := &crowdTerms{tracked: tracked{clear: defaultClear}, area: yard, limit: 2, calm: unsetCount, hold: 2 * time.Second}
	for _, edit := range edits {
		edit(terms)
	}
	return spec("market", detection.Moderate, terms)
}

// many shows n objects inside every 0.5 s, from the first time to before the second one.
func (r *rig) many(from, to float64, n int) []detection.Incident {
	var alerts []detection.Incident
	for ; from < to; from += 0.5 {
		var all [][3]float64
		for i := range n {
			all = append(all, [3]float64{float64(i + 1), 0.25 + 0.05*float64(i), 0.9})
		}
		alerts = append(alerts, r.frame(from, all...)...)
	}
	return alerts
}

func TestCrowd(t *testing.T) {
	r := newRig(t, crowdSpec())
	r.want(r.many(0, 10, 2))
	r.want(r.many(10, 11.5, 3)) // not for long enough
	r.want(r.many(11.5, 13, 2))
	r.want(r.many(13, 16, 4), "opened market 15.0 value 4 count 4")
	r.want(r.many(16, 18, 6), "changed market 16.0 value 6 count 6")
	r.want(r.many(18, 25, 2), "closed market 20.5 value 6 count 6")
}

func TestCrowdHasHysteresis(t *testing.T) {
	r := newRig(t, crowdSpec(func(t *crowdTerms) { t.limit, t.calm, t.hold = 5, 3, 0 }))
	r.want(r.many(0, 1, 6), "opened market 0.0 value 6 count 6")
	for i := range 10 { // about the limit
		r.want(r.many(1+10*float64(i), 6+10*float64(i), 4))
		r.want(r.many(6+10*float64(i), 11+10*float64(i), 6))
	}
	r.want(r.many(101, 110, 3), "closed market 103.5 value 6 count 6")
	r.want(r.many(110, 120, 5))
}

func TestCrowdCountsWhoIsHiddenForAMoment(t *testing.T) {
	r := newRig(t, crowdSpec())
	var alerts []detection.Incident
	for i := range 40 {
		now := at(float64(i) / 10)
		var tracks []detection.Track
		for id := range 3 {
			tr := object(uint64(id+1), 0.3+0.1*float64(id), 0.9, now)
			if (i+id)%3 == 0 {
				tr.Last = now.Add(-100 * time.Millisecond)
			}
			tracks = append(tracks, tr)
		}
		alerts = append(alerts, r.e.Frame(detection.Frame{Time: now}, tracks)...)
	}
	r.want(alerts, "opened market 2.0 value 3 count 3")
}

func TestCrowdAgainstAPlainReference(t *testing.T) {
	rule := crowdSpec(func(t *crowdTerms) { t.limit, t.calm, t.classes = 3, 2, []string{"person"} })
	inside := func(m moment) (n int) {
		for _, tr := range m.tracks {
			if tr.Class == "person" && yard.Contains(tr.Box.Foot()) {
				n++
			}
		}
		return n
	}
	againstReference(t, rule, defaultClear, 9, []string{"person", "person", "car"}, func(past []moment, open bool) bool {
		n := inside(past[len(past)-1])
		if open || n <= 3 {
			return open && n > 2
		}
		since, fewer := past[len(past)-1].now, unset // fewer: the last frame with fewer before the one after it
		for i := len(past) - 1; i >= 0; i-- {
			switch {
			case inside(past[i]) <= 3:
				fewer = max(fewer, past[i].now)
				continue
			case fewer != unset && fewer-past[i].now > flicker:
				return past[len(past)-1].now-since >= 2*time.Second
			}
			since, fewer = past[i].now, unset
		}
		return past[len(past)-1].now-since >= 2*time.Second
	})
}
