// Package retry waits between attempts: exponential back-off with jitter, and a sleep that ends
// with its context. It is the only implementation in the repository.
//
// It must not import other packages of Gridpost.
package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// Policy says how long to wait after failures. The zero value of a field takes its default.
type Policy struct {
	First   time.Duration // base of the first wait; default 500 ms
	Longest time.Duration // base that is never exceeded; default 30 s
}

// Backoff is the state of one series of attempts. It belongs to one goroutine.
type Backoff struct {
	policy Policy
	base   time.Duration
}

// New returns a Backoff that has seen no failure.
func (p Policy) New() *Backoff {
	if p.First <= 0 {
		p.First = 500 * time.Millisecond
	}
	if p.Longest <= 0 {
		p.Longest = 30 * time.Second
	}
	p.Longest = max(p.Longest, p.First)
	return &Backoff{policy: p}
}

// Next returns how long to wait after one more failure. The base doubles from First to Longest;
// the wait is drawn evenly from half the base to the whole of it, so that a thousand edges do not
// come back to a hub in the same moment.
// See https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/.
func (b *Backoff) Next() time.Duration {
	b.base = min(max(2*b.base, b.policy.First), b.policy.Longest)
	return jitter(b.base)
}

// Reset starts over after a success.
func (b *Backoff) Reset() { b.base = 0 }

// Wait waits after one more failure. It returns false when ctx ended before.
func (b *Backoff) Wait(ctx context.Context) bool { return Sleep(ctx, b.Next()) }

// WaitAtLeast is Wait for a peer that asked for a pause, such as by Retry-After: it waits for the
// back-off or for least with jitter, whichever is longer.
func (b *Backoff) WaitAtLeast(ctx context.Context, least time.Duration) bool {
	return b.WaitAtLeastOr(ctx, least, nil)
}

// WaitOr is Wait, but a value from wake ends the wait early: something happened that makes the
// next attempt worthwhile now.
func (b *Backoff) WaitOr(ctx context.Context, wake <-chan struct{}) bool {
	return b.WaitAtLeastOr(ctx, 0, wake)
}

// WaitAtLeastOr is WaitAtLeast and WaitOr together.
func (b *Backoff) WaitAtLeastOr(ctx context.Context, least time.Duration, wake <-chan struct{}) bool {
	d := b.Next()
	if least > 0 {
		d = max(d, least+rand.N(least/4+1))
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-t.C:
	}
	return true
}

func jitter(d time.Duration) time.Duration {
	half := d / 2
	return half + rand.N(d-half+1)
}

// Sleep waits for d. It returns false when ctx ended before.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
