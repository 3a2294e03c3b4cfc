package rules

import (
	"testing"
	"time"

	"gridpost/detection"
)

// loiteringSpec returns a loitering rule, changed as the edits say.
func loiteringSpec(edits ...func(*loiteringTerms)) Spec {
	terms := &loiteringTerms{tracked: tracked{clear: defaultClear}, area: yard, hold: 10 * time.Second, gap: 2 * time.Second}
	for _, edit := range edits {
		edit(terms)
	}
	return spec("loiters", detection.Moderate, terms)
}

// stand shows a track at one place every 0.5 s, from the first time to before the second one.
func (r *rig) stand(from, to float64, id uint64, x, y float64) []detection.Incident {
	var alerts []detection.Incident
	for ; from < to; from += 0.5 {
		alerts = append(alerts, r.frame(from, [3]float64{float64(id), x, y})...)
	}
	return alerts
}

// nobody shows empty frames.
func (r *rig) nobody(from, to float64) []detection.Incident {
	var alerts []detection.Incident
	for ; from < to; from += 0.5 {
		alerts = append(alerts, r.frame(from)...)
	}
	return alerts
}

func TestLoitering(t *testing.T) {
	r := newRig(t, loiteringSpec())
	r.want(r.stand(0, 9.5, 1, 0.5, 0.9))
	r.want(r.stand(9.5, 11, 1, 0.1, 0.9)) // leaves for two seconds
	r.want(r.stand(11, 14, 1, 0.4, 0.9), "opened loiters 11.0")
	r.want(r.stand(14, 20, 2, 0.6, 0.9), "closed loiters 16.5") // somebody else stays, but not for long
	r.want(r.stand(20, 26, 2, 0.6, 0.9), "opened loiters 24.0")
}

func TestLoiteringIsOverWhenSomebodyWasAwayForLonger(t *testing.T) {
	r := newRig(t, loiteringSpec())
	for i := range 20 { // nine seconds inside, three outside
		from := float64(12 * i)
		r.want(r.stand(from, from+9, 1, 0.5, 0.9))
		r.want(r.stand(from+9, from+12, 1, 0.1, 0.9))
	}
}

func TestThoseWhoPassDoNotLoiterTogether(t *testing.T) {
	r := newRig(t, loiteringSpec())
	for i := range 20 { // one after the other, each at the place where the one before has gone
		id := uint64(i + 1)
		r.want(r.walk(id, 5*float64(i), 0.21, 0.9, 0.79, 0.9, 45))
	}
}

func TestLoiteringGoesOnWithAnotherTrack(t *testing.T) {
	r := newRig(t, loiteringSpec())
	show := func(from, to float64, id uint64, first float64) []detection.Incident {
		var alerts []detection.Incident
		for ; from < to; from += 0.5 {
			tr := object(id, 0.5, 0.9, at(from))
			tr.First = at(first)
			alerts = append(alerts, r.e.Frame(detection.Frame{Time: at(from)}, []detection.Track{tr})...)
		}
		return alerts
	}
	r.want(show(0, 7, 1, 0))
	r.want(r.nobody(7, 8.5))
	r.want(show(8.5, 12, 2, 8), "opened loiters 10.0")
	r.want(show(12, 13, 1, 0)) // an old track that is there again is another object
}

func TestLoiteringWithoutAGapAndWithFewFrames(t *testing.T) {
	r := newRig(t, loiteringSpec(func(t *loiteringTerms) { t.gap = 0 }))
	in, out := [3]float64{1, 0.5, 0.9}, [3]float64{1, 0.1, 0.9}
	for s := 0.0; s < 10; s += 2 {
		r.want(r.frame(s, in))
	}
	r.want(r.frame(10, out))
	for s := 12.0; s < 22; s += 2 {
		r.want(r.frame(s, in))
	}
	r.want(r.frame(22, in), "opened loiters 22.0")
}

func TestLoiteringCountsThoseWhoLoiter(t *testing.T) {
	r := newRig(t, loiteringSpec())
	var alerts []detection.Incident
	for s := 0.0; s < 20; s += 0.5 {
		objects := [][3]float64{{1, 0.3, 0.9}}
		if s >= 5 {
			objects = append(objects, [3]float64{2, 0.6, 0.9})
		}
		if s >= 15 {
			objects = append(objects, [3]float64{3, 0.7, 0.6})
		}
		alerts = append(alerts, r.frame(s, objects...)...)
	}
	r.want(alerts, "opened loiters 10.0", "changed loiters 15.0 count 2")
	r.want(r.nobody(20, 25), "closed loiters 22.5 count 2")
}

func TestLoiteringAgainstAPlainReference(t *testing.T) {
	rule := loiteringSpec(func(t *loiteringTerms) { t.hold, t.classes = 6*time.Second, []string{"person"} })
	againstReference(t, rule, 3*time.Second, 4, []string{"person", "car"}, func(past []moment, _ bool) bool {
		now := past[len(past)-1]
		for _, tr := range now.tracks {
			// Back along the track, for as long as it was inside at most two seconds later.
			since, met := now.now, false
			for i := len(past) - 1; i >= 0; i-- {
				seen, ok := past[i].detected(tr.ID)
				if !ok || seen.Class != "person" || !yard.Contains(seen.Box.Foot()) {
					if i == len(past)-1 {
						break // not now
					}
					continue
				}
				if since-past[i].now > 2*time.Second {
					break
				}
				since, met = past[i].now, true
			}
			if met && now.now-since >= 6*time.Second {
				return true
			}
		}
		return false
	})
}
