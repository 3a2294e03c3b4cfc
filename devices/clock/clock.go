// Package clock tells how far this machine's clock can be trusted.
//
// An edge without a battery for its clock starts in 1970, and one whose clock was set by hand may
// be years ahead. Its clock is trusted when the kernel says that it is synchronized (NTP or PTP), or
// when the last answer of the hub agreed with it to 5 minutes. Validity periods of certificates are
// enforced only by a trusted clock; see package enrol. The package must not import other packages
// of Gridpost.
package clock

import (
	"sync"
	"time"
)

// Tolerance is how far a trusted clock may be from the hub's.
const Tolerance = 5 * time.Minute

// The grades of a clock.
const (
	GradeSynchronized   = "synchronized"   // disciplined by NTP or PTP, as the kernel says
	GradeUnsynchronized = "unsynchronized" // free-running: may be wrong by seconds or decades
)

// Options replace what a Clock reads, for tests. Zero values read the machine.
type Options struct {
	Now          func() time.Time // wall clock with Go's monotonic reading
	Synchronized func() bool      // whether the kernel disciplines the clock
}

// Clock is this machine's clock and what is known of its error. It is safe for concurrent use.
type Clock struct {
	o Options

	mu    sync.Mutex
	known bool      // the hub has answered
	hub   time.Time // its clock at seen
	seen  time.Time
}

// New returns a Clock of this machine to which no hub has answered.
func New(o Options) *Clock {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Synchronized == nil {
		o.Synchronized = Synchronized
	}
	return &Clock{o: o}
}

// Now returns the time of this machine.
func (c *Clock) Now() time.Time { return c.o.Now() }

// Observe takes the hub's time from an answer that has just come, such as its Date
// (RFC 9110, section 6.6.1).
func (c *Clock) Observe(hub time.Time) {
	now := c.o.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known, c.hub, c.seen = true, hub.Round(0), now
}

// Trusted reports whether validity periods can be judged by this machine's clock.
func (c *Clock) Trusted() bool {
	if c.o.Synchronized() {
		return true
	}
	offset, known := c.Offset()
	return known && offset.Abs() <= Tolerance
}

// Offset returns how far this machine's clock is ahead of the hub's. known is false while the hub
// has not answered. A clock that was set since the last answer is seen: the time that has passed is
// measured by the monotonic clock.
func (c *Clock) Offset() (offset time.Duration, known bool) {
	now := c.o.Now()
	hub, known := c.hubAt(now)
	return now.Round(0).Sub(hub), known
}

// Estimate returns the best estimate of the true time: this machine's clock if it is trusted, the
// hub's otherwise. known is false when there is neither.
func (c *Clock) Estimate() (now time.Time, known bool) {
	machine := c.o.Now()
	if c.Trusted() {
		return machine, true
	}
	return c.hubAt(machine)
}

func (c *Clock) hubAt(now time.Time) (hub time.Time, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hub.Add(now.Sub(c.seen)), c.known
}

// Grade returns the grade of this machine's clock, by the kernel alone.
func (c *Clock) Grade() string {
	if c.o.Synchronized() {
		return GradeSynchronized
	}
	return GradeUnsynchronized
}
