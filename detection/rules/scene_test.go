package rules

import (
	"math/rand/v2"
	"testing"
	"time"

	"gridpost/detection"
)

// moment is a frame of a scene: when it was taken, and the tracks that were detected or are still known.
type moment struct {
	now    time.Duration // since the scene began
	at     time.Time
	tracks []detection.Track
}

// detected returns the track of an ID if it was detected in the frame.
func (m moment) detected(id uint64) (detection.Track, bool) {
	for _, tr := range m.tracks {
		if tr.ID == id && tr.Last.Equal(m.at) {
			return tr, true
		}
	}
	return detection.Track{}, false
}

// frame returns the frame with what was detected in it.
func (m moment) frame() detection.Frame {
	f := detection.Frame{Time: m.at}
	for _, tr := range m.tracks {
		if tr.Last.Equal(m.at) {
			f.Detections = append(f.Detections, detection.Detection{Class: tr.Class, Score: tr.Score, Box: tr.Box})
		}
	}
	return f
}

// scene makes up what objects do in front of a camera: they come, walk from place to place, stand, are not
// detected for some frames, and go. A place is taken again only some seconds after somebody has gone.
type scene struct {
	rng     *rand.Rand
	classes []string
	busy    int // most objects at a time
	now     time.Duration
	actors  []*actor
	nextID  uint64
	free    time.Duration // nobody comes before
}

type actor struct {
	id       uint64
	class    string
	at, to   detection.Point
	speed    float64       // fractions of the frame per second
	stand    time.Duration // until when
	hidden   time.Duration // until when it is not detected
	last     time.Time     // when it was detected last
	box      detection.Box
	goes     bool // at its aim
	detected bool // ever
}

// next returns the next frame.
func (s *scene) next() moment {
	step := time.Duration(50+s.rng.IntN(350)) * time.Millisecond
	s.now += step
	m := moment{now: s.now, at: day.Add(s.now)}
	if len(s.actors) < s.busy && s.now >= s.free && s.rng.IntN(10) == 0 {
		s.nextID++
		a := &actor{id: s.nextID, class: s.classes[s.rng.IntN(len(s.classes))], at: s.place()}
		a.to = a.at
		s.actors = append(s.actors, a)
	}
	var staying []*actor
	for _, a := range s.actors {
		if s.move(a, step) {
			s.free = s.now + 10*time.Second
			continue
		}
		staying = append(staying, a)
		if s.now < a.hidden && a.detected {
			m.tracks = append(m.tracks, a.track())
			continue
		}
		a.detected, a.last = true, m.at
		a.box = object(a.id, a.at.X, a.at.Y, m.at).Box
		m.tracks = append(m.tracks, a.track())
	}
	s.actors = staying
	return m
}

func (a *actor) track() detection.Track {
	return detection.Track{ID: a.id, Class: a.class, Score: 1, Box: a.box, First: day, Last: a.last, Trail: []detection.Point{a.box.Foot()}}
}

// move lets an object go on for a step, and reports whether it has gone.
func (s *scene) move(a *actor, step time.Duration) (gone bool) {
	switch way := a.at.Distance(a.to); {
	case s.now < a.stand:
	case way > 0:
		f := min(1, a.speed*step.Seconds()/way)
		a.at.X += f * (a.to.X - a.at.X)
		a.at.Y += f * (a.to.Y - a.at.Y)
	case a.goes:
		return true
	default:
		a.to, a.speed = s.place(), 0.02+0.3*s.rng.Float64()
		a.stand = s.now + time.Duration(s.rng.IntN(8000))*time.Millisecond
		a.goes = s.rng.IntN(5) == 0
	}
	if s.rng.IntN(60) == 0 {
		a.hidden = s.now + time.Duration(s.rng.IntN(1500))*time.Millisecond
	}
	return false
}

func (s *scene) place() detection.Point {
	return detection.Point{X: 0.05 + 0.9*s.rng.Float64(), Y: 0.2 + 0.8*s.rng.Float64()}
}

// againstReference compares a rule that has one incident at a time with a plain function: holds says from all
// frames since the last start, and whether the incident is open, whether the rule's condition holds at the newest
// frame. The incident must be open
// while it does, and for the clear time after that. Reloads with other rules must not be noticed; a restart
// keeps the incident and forgets everything else.
func againstReference(t *testing.T, rule Spec, clear time.Duration, busy int, classes []string, holds func(past []moment, open bool) bool) {
	t.Helper()
	opened := 0
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 11)) // repeatable
		s := &scene{rng: rng, classes: classes, busy: busy}
		r := newRig(t, rule)
		var past []moment
		var open, restored bool
		var last time.Duration
		for i := range 600 {
			switch rng.IntN(250) {
			case 0:
				e, err := NewEngine("gate", []Spec{rule}, r.log.id)
				if err != nil {
					t.Fatal(err)
				}
				if closed := e.Restore(r.log.open(), s.next().at); len(closed) != 0 {
					t.Fatalf("seed %d, frame %d: restoring closed %+v", seed, i, closed)
				}
				r.e, past, restored = e, nil, true
			case 1:
				r.want(r.reconfigure(s.now.Seconds(), rule, spec("more", detection.Minor, &silenceTerms{hold: time.Hour})))
			}
			m := s.next()
			past = append(past, m)
			if restored {
				last, restored = m.now, false
			}
			if holds(past, open) {
				if !open {
					opened++
				}
				open, last = true, m.now
			}
			open = open && m.now-last < clear
			if err := r.log.take(r.e.Frame(m.frame(), m.tracks)); err != nil {
				t.Fatalf("seed %d, frame %d: %v", seed, i, err)
			}
			if got := len(r.e.Open()) > 0; got != open {
				t.Fatalf("seed %d, frame %d at %v: open is %t, by the reference %t", seed, i, m.now, got, open)
			}
		}
	}
	if opened < 10 {
		t.Errorf("only %d incidents: the test shows little", opened)
	}
}
