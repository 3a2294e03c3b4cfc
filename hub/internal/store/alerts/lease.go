package alerts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/jobs"
	"gridpost/hub/internal/notify"
)

// leaseKind is the kind of the leases of targets among all jobs; the key is the target.
const leaseKind = "webhook"

// lease is the lease of a target. It implements notify.TargetQueue.
type lease struct {
	*jobs.Lease
	r      *Repository
	target string
	pace   notify.Pace
}

var _ notify.Queue = (*Repository)(nil)

// Acquire implements notify.Queue.
func (r *Repository) Acquire(ctx context.Context, target string, ttl time.Duration) (notify.TargetQueue, error) {
	var paused int64
	var failures int
	err := r.d.Read(ctx).One(`SELECT paused_until, failures FROM webhooks WHERE id = ? AND removed_at IS NULL AND disabled = ''`, target)(&paused, &failures)
	if errors.Is(err, db.ErrNotFound) {
		return nil, notify.ErrLost
	}
	if err != nil {
		return nil, fmt.Errorf("reading webhook %s: %w", target, err)
	}
	l, err := jobs.Acquire(ctx, r.d, leaseKind, target, ttl)
	if errors.Is(err, jobs.ErrHeld) {
		return nil, notify.ErrHeld
	}
	if err != nil {
		return nil, err
	}
	q := &lease{Lease: l, r: r, target: target, pace: notify.Pace{Failures: failures}}
	if paused != 0 {
		q.pace.Until = db.FromMillis(paused)
	}
	return q, nil
}

// Pace implements notify.Lease.
func (l *lease) Pace() notify.Pace { return l.pace }

// Renew implements notify.Lease.
func (l *lease) Renew(ctx context.Context) error { return lost(l.Lease.Renew(ctx)) }

// lost is err with notify.ErrLost for a lease that is not held any more.
func lost(err error) error {
	if errors.Is(err, jobs.ErrLost) {
		return notify.ErrLost
	}
	return err
}

// update runs fn in a transaction in which the lease is held and the target's row is locked. It returns
// notify.ErrLost when the lease is not held any more, or the target was removed.
func (l *lease) update(ctx context.Context, name string, fn func(*db.Tx) error) error {
	return lost(l.r.d.Update(ctx, name, func(t *db.Tx) error {
		if err := l.Check(t); err != nil {
			return fmt.Errorf("checking the lease of webhook %s: %w", l.target, err)
		}
		if err := lock(t, l.target); err != nil {
			if errors.Is(err, db.ErrNotFound) {
				return notify.ErrLost
			}
			return fmt.Errorf("locking webhook %s: %w", l.target, err)
		}
		return fn(t)
	}))
}
