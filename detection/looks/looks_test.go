package looks

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// site is a simulation of cameras and a model, on a clock of its own.
type site struct {
	q       *Queue
	now     time.Time
	took    time.Duration // of a look
	cameras []simulated
	ends    []ending // looks under way
	busy    time.Time
}

type simulated struct {
	want  Want
	every time.Duration // between frames; 0: it has none
	next  time.Time
	looks int
	last  time.Time
	gap   time.Duration // the longest one without a look
}

type ending struct {
	id int
	at time.Time
}

func newSite(budget float64, most int, took time.Duration, cameras ...simulated) *site {
	s := &site{q: New(budget, most), now: time.Unix(1000, 0), took: took, cameras: cameras}
	for i := range s.cameras {
		s.q.Add(i, s.now)
		s.cameras[i].next, s.cameras[i].last = s.now, s.now
	}
	return s
}

// many returns n cameras with ten frames a second.
func many(n int, w Want) (out []simulated) {
	for range n {
		out = append(out, simulated{want: w, every: 100 * time.Millisecond})
	}
	return out
}

// run lets time pass in milliseconds.
func (s *site) run(t *testing.T, d time.Duration) {
	t.Helper()
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(time.Millisecond) {
		for len(s.ends) > 0 && !s.ends[0].at.After(s.now) {
			s.q.Done(s.ends[0].id, s.took)
			s.ends = s.ends[1:]
		}
		for i := range s.cameras {
			if c := &s.cameras[i]; c.every > 0 && !c.next.After(s.now) {
				c.next = c.next.Add(c.every)
				s.q.Want(i, c.want)
			}
		}
		for {
			id, _, ok := s.q.Next(s.now)
			if !ok {
				break
			}
			c := &s.cameras[id]
			c.looks++
			c.gap = max(c.gap, s.now.Sub(c.last))
			c.last = s.now
			// One model, which runs one look after the other.
			if s.busy.Before(s.now) {
				s.busy = s.now
			}
			s.busy = s.busy.Add(s.took)
			s.ends = append(s.ends, ending{id, s.busy})
			if len(s.ends) > s.q.most {
				t.Fatalf("%d looks under way, %d allowed", len(s.ends), s.q.most)
			}
		}
	}
}

func (s *site) total() (n int) {
	for _, c := range s.cameras {
		n += c.looks
	}
	return n
}

// perSecond returns the looks of camera i per second of d.
func (s *site) perSecond(i int, d time.Duration) float64 {
	return float64(s.cameras[i].looks) / d.Seconds()
}

func TestStillCamerasGetTheirFloorAndNoMore(t *testing.T) {
	s := newSite(100, 4, 5*time.Millisecond, many(8, Want{})...)
	s.run(t, 20*time.Second)
	for i := range s.cameras {
		if r := s.perSecond(i, 20*time.Second); r < 1.95 || r > 2.3 {
			t.Errorf("camera %d: %.2f looks a second", i, r)
		}
	}
}

func TestTheRestGoesToOpenIncidentsAndThenToMotion(t *testing.T) {
	cameras := append(many(2, Want{Moving: true, Urgent: true}), many(6, Want{Moving: true})...)
	cameras = append(cameras, many(4, Want{})...)
	s := newSite(40, 4, 5*time.Millisecond, cameras...)
	s.run(t, 30*time.Second)
	for i := range s.cameras {
		r := s.perSecond(i, 30*time.Second)
		switch {
		case i < 2 && r < 6.5: // all that is left, 40 - 10 * 2.2, for two cameras
			t.Errorf("camera %d with an open incident: %.2f looks a second", i, r)
		case i >= 2 && r < 1.95:
			t.Errorf("camera %d: %.2f looks a second", i, r)
		case i >= 8 && r > 2.3:
			t.Errorf("camera %d, which is still: %.2f looks a second", i, r)
		}
	}
	// Without incidents motion has the rest.
	s = newSite(40, 4, 5*time.Millisecond, append(many(4, Want{Moving: true}), many(8, Want{})...)...)
	s.run(t, 30*time.Second)
	for i := range 4 {
		if r := s.perSecond(i, 30*time.Second); r < 4.5 {
			t.Errorf("camera %d, in which something moves: %.2f looks a second", i, r)
		}
	}
}

func TestASmallBudgetIsSharedAndStarvesNobody(t *testing.T) {
	s := newSite(10, 4, 5*time.Millisecond, append(many(2, Want{Urgent: true}), many(14, Want{Moving: true})...)...)
	s.run(t, 60*time.Second)
	for i := range s.cameras {
		r := s.perSecond(i, 60*time.Second)
		if i < 2 && r < 1.5 {
			t.Errorf("camera %d with an open incident: %.2f looks a second", i, r)
		}
		if r < 0.35 || s.cameras[i].gap > 4*time.Second {
			t.Errorf("camera %d: %.2f looks a second, %v without one", i, r, s.cameras[i].gap)
		}
	}
}

// A budget that the model cannot keep up with is shared as the model's speed allows.
func TestASlowModelStarvesNobody(t *testing.T) {
	s := newSite(1000, 4, 50*time.Millisecond, append(many(1, Want{Urgent: true}), many(13, Want{Moving: true})...)...)
	s.run(t, 60*time.Second)
	for i := range s.cameras {
		if r := s.perSecond(i, 60*time.Second); r < 0.9 || i == 0 && r < 2.5 {
			t.Errorf("camera %d: %.2f looks a second", i, r)
		}
	}
}

// Whatever cameras want, come and go: the budget and the bound hold, nobody starves who wants a look, and
// nobody is granted one who does not.
func TestProperties(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			budget, most, n := 1+r.Float64()*99, 1+r.IntN(6), 1+r.IntN(40)
			q, now := New(budget, most), time.Unix(1000, 0)
			begin := now
			wants, granted, waiting := map[int]bool{}, map[int]bool{}, map[int]time.Time{}
			grants := 0
			for range 10000 {
				now = now.Add(time.Duration(r.IntN(5)) * time.Millisecond)
				id := r.IntN(n)
				switch r.IntN(6) {
				case 0:
					if _, ok := q.cameras[id]; !ok {
						q.Add(id, now)
					}
				case 1:
					if r.IntN(50) == 0 {
						q.Remove(id)
						delete(wants, id)
						delete(granted, id)
						delete(waiting, id)
					}
				case 2, 3:
					if _, ok := q.cameras[id]; ok {
						q.Want(id, Want{Moving: r.IntN(2) == 0, Urgent: r.IntN(8) == 0})
						wants[id] = true
						if _, ok := waiting[id]; !ok {
							waiting[id] = now
						}
					}
				case 4:
					q.Done(id, time.Duration(r.IntN(20))*time.Millisecond)
					delete(granted, id)
				case 5:
					for id := range granted { // a model that keeps up, sometimes
						q.Done(id, time.Millisecond)
						delete(granted, id)
					}
				}
				got, again, ok := q.Next(now)
				if !ok {
					if again < 0 {
						t.Fatalf("ask again in %v", again)
					}
					continue
				}
				if !wants[got] || granted[got] {
					t.Fatalf("camera %d was granted a look: wants %v, granted %v", got, wants, granted)
				}
				delete(wants, got)
				delete(waiting, got)
				granted[got] = true
				if grants++; len(granted) > most {
					t.Fatalf("%d looks under way, %d allowed", len(granted), most)
				}
			}
			if limit := budget*now.Sub(begin).Seconds() + max(1, budget*burst.Seconds()) + 1; float64(grants) > limit {
				t.Errorf("%d looks, %.0f allowed", grants, limit)
			}
			// Weighted shares: with the budget for all of them, nobody waits longer than that takes.
			longest := time.Duration(float64(2*urgentShares*n)/budget*float64(time.Second)) + 2*time.Second
			for id, since := range waiting {
				if now.Sub(since) > longest && !granted[id] {
					t.Errorf("camera %d has waited for %v, %v at most expected", id, now.Sub(since), longest)
				}
			}
		})
	}
}

func TestReplacedModel(t *testing.T) {
	s := newSite(50, 2, time.Hour, many(3, Want{Moving: true})...)
	s.run(t, time.Second)
	if s.total() != 2 {
		t.Fatalf("%d looks with a model that hangs, 2 allowed", s.total())
	}
	s.ends, s.busy, s.took = nil, time.Time{}, time.Millisecond
	s.q.SetBudget(50)
	s.run(t, time.Second)
	if n := s.total(); n < 25 {
		t.Errorf("%d looks after it was replaced", n)
	}
}
