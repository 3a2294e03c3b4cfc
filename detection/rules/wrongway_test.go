package rules

import (
	"testing"
	"time"

	"gridpost/detection"
)

// wrongWaySpec returns a rule of a road on which traffic goes to the right, changed as the edits say.
func wrongWaySpec(edits ...func(*wrongWayTerms)) Spec {
	terms := &wrongWayTerms{
		tracked: tracked{clear: defaultClear}, area: yard, way: 0.09,
		allowed: detection.Segment{A: detection.Point{X: 0.1, Y: 0.5}, B: detection.Point{X: 0.9, Y: 0.5}},
	}
	for _, edit := range edits {
		edit(terms)
	}
	return spec("oneway", detection.Severe, terms)
}

func TestWrongWay(t *testing.T) {
	r := newRig(t, wrongWaySpec())
	r.want(r.walk(1, 0, 0.1, 0.9, 0.9, 0.9, 40))                        // as it should
	r.want(r.walk(2, 10, 0.9, 0.9, 0.1, 0.9, 40), "opened oneway 11.0") // 0.1 inside the zone, which ends at 0.8
	r.want(r.walk(3, 14.1, 0.5, 0.5, 0.5, 0.95, 20))                    // across
	r.want(r.nobody(16.2, 20), "closed oneway 16.5")
}

func TestWrongWayNeedsItsWay(t *testing.T) {
	r := newRig(t, wrongWaySpec())
	for i := range 10 { // back and forth by less
		r.want(r.walk(1, 3*float64(i), 0.5, 0.9, 0.58, 0.9, 12))
		r.want(r.walk(1, 3*float64(i)+1.5, 0.58, 0.9, 0.5, 0.9, 12))
	}
	r.want(r.walk(2, 40, 0.7, 0.5, 0.58, 0.95, 20)) // backwards by 0.12, and mostly across
	r.want(r.walk(3, 50, 0.9, 0.2, 0.1, 0.2, 40))   // outside
	for i := range 40 {                             // a box that shrinks from its right end
		tr := object(4, 0.5, 0.9, at(60+float64(i)/10))
		tr.Box.X, tr.Box.W = 0.3, 0.4-0.009*float64(i)
		r.want(r.e.Frame(detection.Frame{Time: tr.Last}, []detection.Track{tr}))
	}
}

func TestWrongWayOfAnyDirection(t *testing.T) {
	for _, c := range []struct {
		x, y float64
		want detection.Direction
	}{{1, 0, "right"}, {-1, 0, "left"}, {0, 1, "down"}, {0, -1, "up"}, {1, 0.9, "right"}, {0.9, -1, "up"}} {
		a := detection.Point{X: 0.5, Y: 0.7}
		s := wrongWaySpec(func(t *wrongWayTerms) {
			t.allowed = detection.Segment{A: a, B: detection.Point{X: a.X + 0.1*c.x, Y: a.Y + 0.1*c.y}}
		})
		if got := s.Terms.Describe().Direction; got != c.want {
			t.Errorf("%+v: the direction is called %s", c, got)
		}
		r := newRig(t, s)
		r.want(r.walk(1, 0, a.X-0.15*c.x, a.Y-0.15*c.y, a.X+0.15*c.x, a.Y+0.15*c.y, 20))
		if got := r.walk(2, 10, a.X+0.15*c.x, a.Y+0.15*c.y, a.X-0.15*c.x, a.Y-0.15*c.y, 20); len(got) == 0 {
			t.Errorf("%+v: moving back opened nothing", c)
		}
	}
}

func TestWrongWayAgainstAPlainReference(t *testing.T) {
	rule := wrongWaySpec(func(t *wrongWayTerms) { t.way = 0.15 })
	againstReference(t, rule, defaultClear, 4, []string{"car"}, func(past []moment, _ bool) bool {
		now := past[len(past)-1]
		for _, tr := range now.tracks {
			var from *detection.Point // the farthest point to the right since it came or last went wrong
			var last time.Duration
			wrong := false
			for _, m := range past {
				seen, ok := m.detected(tr.ID)
				wrong = false
				switch foot := seen.Box.Foot(); {
				case !ok || !yard.Contains(foot):
					if from != nil && m.now-last > wayGap {
						from = nil
					}
				case from == nil || foot.X > from.X:
					from, last = &foot, m.now
				case from.X-foot.X >= 0.15 && from.X-foot.X >= 0.5*from.Distance(foot):
					from, last, wrong = &foot, m.now, true
				default:
					last = m.now
				}
			}
			if wrong {
				return true
			}
		}
		return false
	})
}
