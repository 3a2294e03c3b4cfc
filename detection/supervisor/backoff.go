package supervisor

import (
	"math/rand/v2"
	"time"
)

// Backoff determines when a failed worker is restarted. Zero fields take the defaults given.
type Backoff struct {
	First  time.Duration // wait after the first failure, doubled with each further one; 1 s
	Most   time.Duration // longest wait; 60 s
	Steady time.Duration // of running after which a failure counts as the first one; 60 s

	// Budget is how many restarts are allowed within Window; 10 in 10 minutes. Once it is
	// used up, the next start waits until the oldest restart is outside of the window: a camera
	// whose frames crash the worker must not take the CPU from the others.
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

// history is the state of a Backoff. It belongs to one goroutine.
type history struct {
	b     Backoff
	next  time.Duration
	times []time.Time // of the last failures, oldest first, Budget of them at most
}

func (b Backoff) history() *history { return &history{b: b, next: b.First} }

// failed records a failure at now of a worker that had run for some time, and returns how long to
// wait before the next start. spent reports that the budget is used up. The wait has jitter of a
// tenth, so that the workers of many cameras do not start at the same time.
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
