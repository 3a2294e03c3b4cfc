package notify

import (
	"context"
	"errors"
	"sync"
	"time"

	"gridpost/devices/retry"
)

// The lease of a target. A hub that dies is replaced after leaseTTL at the latest. A hub that
// cannot renew its lease stops leaseMargin before the lease expires, with all its attempts, so that
// no delivery is ever attempted by two hubs at the same time.
const (
	leaseTTL    = 20 * time.Second
	leaseRenew  = 7 * time.Second
	leaseMargin = 2 * time.Second
)

const (
	// After this many failures in a row a target is only probed: one delivery at a time, with
	// pauses that double up to maxPause. A long queue must not overload a receiver that is down.
	toleratedFailures = 5
	maxPause          = time.Minute
	maxProbeSteps     = 6 // after so many the pause is maxPause

	// The size of a round: it starts at minRound, doubles after each round without a failure, and
	// starts again at minRound after one with a failure.
	minRound = 4
	maxRound = 64

	// A sender looks for deliveries that are too old once every sweepEvery, but not before it has
	// served the target for sweepGrace: after an outage of the hub, or after its clock was set,
	// deliveries that look too old are attempted first.
	sweepEvery = time.Minute
	sweepGrace = time.Hour
)

// sender delivers to one target. Its goroutine owns everything but what mu guards.
type sender struct {
	n      *Notifier
	cancel context.CancelFunc
	wake   chan struct{} // room for one

	channel  openChannel    // to the target
	probing  *retry.Backoff // pauses while the target fails
	failures int            // in a row
	round    int            // size of the next round
	pause    time.Time      // no attempt before
	saved    Pace           // as the queue has it
	resuming bool           // the target works again: deliveries that wait become due
	sweep    time.Time      // when to look for deliveries that are too old

	mu     sync.Mutex
	target Target
}

func newSender(n *Notifier, t Target, cancel context.CancelFunc) *sender {
	return &sender{
		n: n, cancel: cancel, channel: openChannel{n: n}, wake: make(chan struct{}, 1), target: t, round: minRound,
		probing: retry.Policy{First: 2 * time.Second, Longest: maxPause}.New(),
	}
}

// set uses a target's new URL and secrets from now on, and wakes the sender.
func (s *sender) set(t Target) {
	s.mu.Lock()
	s.target = t
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *sender) current() Target {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.target
}

// run serves the target whenever it holds the target's lease, until ctx ends.
func (s *sender) run(ctx context.Context) {
	defer s.channel.close()
	failing := retry.Policy{First: time.Second, Longest: s.n.o.Poll}.New()
	for ctx.Err() == nil {
		began := time.Now()
		q, err := s.n.o.Queue.Acquire(ctx, s.current().ID, leaseTTL)
		switch {
		case err == nil:
			failing.Reset()
			s.serve(ctx, q, began.Add(leaseTTL))
		case errors.Is(err, ErrHeld):
			retry.Sleep(ctx, leaseRenew)
		case errors.Is(err, ErrLost): // the target was removed; refresh stops this sender
			failing.Wait(ctx)
		default:
			if ctx.Err() == nil {
				s.n.o.Logger.Error("acquiring the lease of a webhook target", "target", s.current().ID, "error", err)
			}
			failing.Wait(ctx)
		}
	}
}

// serve delivers until ctx ends or the lease is lost. The lease is valid until expiry unless it is
// renewed.
func (s *sender) serve(ctx context.Context, q TargetQueue, expiry time.Time) {
	held, lose := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		defer lose()
		s.renew(held, q, expiry)
	})
	defer func() {
		lose()
		renewing.Wait()
		// ErrLost is no error here, and what is not released expires.
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
		defer cancel()
		if err := q.Release(release); err != nil && !errors.Is(err, ErrLost) {
			s.n.o.Logger.Warn("releasing the lease of a webhook target", "target", s.current().ID, "error", err)
		}
	}()
	s.restore(q.Pace())
	s.sweep = time.Now().Add(sweepGrace)
	for held.Err() == nil {
		wait, err := s.step(held, q)
		switch {
		case errors.Is(err, ErrLost):
			return
		case err != nil && held.Err() == nil:
			s.n.o.Logger.Error("reading or writing the queue of a webhook target", "target", s.current().ID, "error", err)
			wait = s.n.o.Poll
		}
		timer := time.NewTimer(wait)
		select {
		case <-held.Done():
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// restore goes on at the pace that was saved by whoever served the target before.
func (s *sender) restore(p Pace) {
	s.saved, s.pause, s.failures = p, p.Until, p.Failures
	if limit := time.Now().Add(LongestPause); s.pause.After(limit) {
		s.pause = limit // the clock has been set back
	}
	s.probing.Reset()
	for range min(max(p.Failures-toleratedFailures, 0), maxProbeSteps) {
		s.probing.Next()
	}
}

// pace returns what is worth saving: a target that works has none.
func (s *sender) pace(now time.Time) (p Pace) {
	if s.failures >= toleratedFailures {
		p.Failures = s.failures
	}
	if s.pause.After(now) {
		p.Until = s.pause
	}
	return p
}

// renew renews the lease until ctx ends, and returns when the lease is lost or about to expire.
func (s *sender) renew(ctx context.Context, l Lease, expiry time.Time) {
	for {
		if !retry.Sleep(ctx, min(leaseRenew, time.Until(expiry)/2)) {
			return
		}
		began := time.Now()
		limited, cancel := context.WithDeadline(ctx, expiry.Add(-leaseMargin))
		err := l.Renew(limited)
		cancel()
		switch {
		case err == nil:
			expiry = began.Add(leaseTTL)
			continue
		case ctx.Err() != nil:
			return
		}
		if errors.Is(err, ErrLost) || time.Until(expiry) < 2*leaseMargin {
			s.n.o.Logger.Warn("the lease of a webhook target is lost", "target", s.current().ID, "error", err)
			return
		}
	}
}

// step does what is to be done now, and returns how long there is nothing to do.
func (s *sender) step(ctx context.Context, q TargetQueue) (time.Duration, error) {
	now := time.Now()
	if more, err := s.maintain(ctx, q, now); more || err != nil {
		return 0, err
	}
	if p := s.pace(now); p.Failures != s.saved.Failures || p.Until.After(s.saved.Until) {
		if err := q.SavePace(ctx, p); err != nil {
			return 0, err
		}
		s.saved = p
	}
	if wait := s.pause.Sub(now); wait > 0 {
		return min(wait, sweepEvery), nil
	}
	limit := s.round
	if s.failures >= toleratedFailures {
		limit = 1
	}
	due, next, err := q.Due(ctx, now, limit)
	if err != nil {
		return 0, err
	}
	if len(due) == 0 {
		if next.IsZero() {
			return s.n.o.Poll, nil
		}
		return min(max(next.Sub(now), time.Millisecond), s.n.o.Poll), nil
	}
	return 0, s.deliver(ctx, q, due)
}

// maintain does one small transaction of what concerns many deliveries; more: there is more to do.
func (s *sender) maintain(ctx context.Context, q Backlog, now time.Time) (more bool, err error) {
	if s.resuming {
		s.resuming, err = q.Resume(ctx, now)
		return s.resuming, err
	}
	if now.Before(s.sweep) {
		return false, nil
	}
	n, more, err := q.GiveUp(ctx, now.Add(-s.n.o.GiveUpAfter))
	s.n.dead.Add(uint64(n))
	if err == nil && !more {
		s.sweep = now.Add(sweepEvery)
	}
	return more, err
}

// learn adjusts the pace to the outcomes of a round.
func (s *sender) learn(outcomes []Outcome) {
	failed := false
	for _, o := range outcomes {
		if o.Pause.After(s.pause) {
			s.pause = o.Pause
		}
		if o.accepted() {
			if s.failures >= toleratedFailures {
				s.resuming = true
			}
			s.failures = 0
			s.probing.Reset()
			continue
		}
		failed = true
		s.failures++
	}
	s.round = min(2*s.round, maxRound)
	if failed {
		s.round = minRound
	}
	if s.failures >= toleratedFailures {
		if pause := time.Now().Add(s.probing.Next()); pause.After(s.pause) {
			s.pause = pause
		}
	}
}
