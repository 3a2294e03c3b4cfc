package supervisor

import (
	"time"

	"gridpost/devices/retry"
)

// Restart determines when a worker that failed is started again. Zero fields take the defaults given.
//
// There are three reasons to wait. After any failure a worker waits for its back-off. A worker that
// fails again and again, for instance because its model cannot be loaded, uses up its budget. And a
// camera on which workers crash is quarantined: what it sends crashes the worker, or somebody attacks
// the worker with it, and each further start is another attempt. A quarantine ends by itself, so that
// nobody has to visit the site, but the next crash begins a longer one at once.
type Restart struct {
	Backoff retry.Policy  // after each failure; 1 s to 60 s
	Steady  time.Duration // of running after which a failure counts as the first one; 60 s

	// Budget is how many restarts are allowed within Window; 10 in 10 minutes. Once it is used up, the
	// next start waits until the oldest restart is outside of the window.
	Budget int
	Window time.Duration

	// Crashes is how many crashes in a row quarantine the camera; 2. Crashes are in a row if the worker
	// ran for less than Stable between them; 10 minutes.
	Crashes int
	Stable  time.Duration

	// Quarantine is how long quarantines last, each one longer than the one before until a worker was
	// stable: 30 to 60 minutes at first, 12 to 24 hours at last, drawn at random.
	Quarantine retry.Policy
}

func (r Restart) withDefaults() Restart {
	def := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	def(&r.Backoff.First, time.Second)
	def(&r.Backoff.Longest, time.Minute)
	def(&r.Steady, time.Minute)
	def(&r.Window, 10*time.Minute)
	def(&r.Stable, 10*time.Minute)
	def(&r.Quarantine.First, time.Hour)
	def(&r.Quarantine.Longest, 24*time.Hour)
	if r.Budget <= 0 {
		r.Budget = 10
	}
	if r.Crashes <= 0 {
		r.Crashes = 2
	}
	return r
}

// reason is why a restart waits.
type reason int

const (
	backingOff  reason = iota
	overBudget         // too many failures within the window
	quarantined        // too many crashes in a row
)

// restarts is the state of a Restart. It belongs to one goroutine.
type restarts struct {
	o          Restart
	backoff    *retry.Backoff
	quarantine *retry.Backoff
	failures   []time.Time // the last ones, oldest first, Budget at most
	crashes    int         // in a row
}

func (r Restart) new() *restarts {
	return &restarts{o: r, backoff: r.Backoff.New(), quarantine: r.Quarantine.New()}
}

// next records a failure at now of a worker that was ready for some time, and returns how long to
// wait before the next start and why.
func (r *restarts) next(now time.Time, ran time.Duration, crash bool) (time.Duration, reason) {
	if ran >= r.o.Steady {
		r.backoff.Reset()
	}
	if ran >= r.o.Stable {
		r.crashes = 0
		r.quarantine.Reset()
	}
	if crash {
		r.crashes++
	}
	r.failures = append(r.failures, now)
	if len(r.failures) > r.o.Budget {
		r.failures = r.failures[len(r.failures)-r.o.Budget:]
	}
	wait := r.backoff.Next()
	if crash && r.crashes >= r.o.Crashes {
		return max(wait, r.quarantine.Next()), quarantined
	}
	if len(r.failures) == r.o.Budget {
		if rest := r.failures[0].Add(r.o.Window).Sub(now); rest > wait {
			return rest, overBudget
		}
	}
	return wait, backingOff
}
