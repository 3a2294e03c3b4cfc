package supervisor

import (
	"math/rand/v2"
	"time"
)

// Backoff says how soon a worker that failed is started again. Zero fields take defaults.
type Backoff struct {
	First  time.Duration // after the first failure; doubles with each further one; 1 s
	Most   time.Duration // at most; 60 s
	Steady time.Duration // of work after which a failure counts as a first one; 60 s

	// Budget is how many restarts are allowed within Window; 10 in 10 minutes. Once it is
	// spent, the next start waits until the oldest restart is out of the window: a camera
	// whose pictures kill the worker must not take the processor from the others.
	Budget int
	Window time.Duration
}

func (b Backoff) withDefaults() Backoff {
	if b.First <= 0 {
		b.First = time.Second
	}
	if b.Most <= 0 {
		b.Most = time.Minute
	}
	if b.Steady <= 0 {
		b.Steady = time.Minute
	}
	if b.Budget <= 0 {
		b.Budget = 10
	}
	if b.Window <= 0 {
		b.Window = 10 * time.Minute
	}
	return b
}

// history is what a Backoff must remember. It belongs to one goroutine.
type history struct {
	b     Backoff
	next  time.Duration
	times []time.Time // of the last failures, oldest first, Budget of them at most
}

func (b Backoff) history() *history { return &history{b: b, next: b.First} }

// failed notes a failure at now of a worker that had worked for some time, and returns how
// long to wait before the next start. spent says that the budget, not the back-off, decides.
// The wait is spread by a tenth, so that the workers of many cameras do not start as one.
func (h *history) failed(now time.Time, worked time.Duration) (wait time.Duration, spent bool) {
	if worked >= h.b.Steady {
		h.next = h.b.First
	}
	wait = h.next + time.Duration(rand.Int64N(int64(h.next)/10+1)) // no secret
	h.next = min(2*h.next, h.b.Most)

	h.times = append(h.times, now)
	if len(h.times) > h.b.Budget {
		h.times = h.times[len(h.times)-h.b.Budget:]
	}
	if len(h.times) == h.b.Budget {
		if rest := h.times[0].Add(h.b.Window).Sub(now); rest > wait {
			return rest, true
		}
	}
	return wait, false
}
