package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// queue is a Queue in memory with the promises of the interface.
type queue struct {
	mu       sync.Mutex
	wake     chan struct{}
	targets  []Target
	Rows     map[string]*row
	disabled map[string]string
	leases   map[string]*lease
	Paces    map[string]Pace
	Numbers  map[string]int64 // of the newest delivery, by target
	full     int              // so many more writes fail
	onWrite  func()
}

type row struct {
	Delivery Delivery
	State    State
	Due      time.Time
	Outcomes []Outcome
}

// lease is a lease of a target; the newest one of a target is in force until it expires.
type lease struct {
	q      *queue
	target string
	ttl    time.Duration
	until  time.Time
}

var errFull = errors.New("no space left on device")

func newQueue(targets ...Target) *queue {
	return &queue{
		wake: make(chan struct{}), targets: targets, Rows: map[string]*row{}, disabled: map[string]string{},
		leases: map[string]*lease{}, Paces: map[string]Pace{}, Numbers: map[string]int64{},
	}
}

// reopened is what a restarted hub finds: what was written, and nothing else.
func (q *queue) reopened(t *testing.T) *queue {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	disk, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	again := newQueue(q.targets...)
	if err := json.Unmarshal(disk, again); err != nil {
		t.Fatal(err)
	}
	return again
}

// changed is for Options.Wake.
func (q *queue) changed() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.wake
}

func (q *queue) signal() {
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.wake)
	q.wake = make(chan struct{})
}

// add queues an alert for every target.
func (q *queue) add(a Alert) {
	q.mu.Lock()
	for _, t := range q.targets {
		id := DeliveryID(a.ID, t.ID)
		if q.Rows[id] == nil {
			q.Numbers[t.ID]++
			q.Rows[id] = &row{Delivery: Delivery{ID: id, Target: t.ID, Sequence: q.Numbers[t.ID], Queued: time.Now(), Alert: a}, State: Pending}
		}
	}
	q.mu.Unlock()
	q.signal()
}

func (q *queue) setTargets(targets ...Target) {
	q.mu.Lock()
	q.targets = targets
	q.mu.Unlock()
	q.signal()
}

func (q *queue) Targets(context.Context) ([]Target, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(q.targets), func(t Target) bool { return q.disabled[t.ID] != "" }), nil
}

func (q *queue) Acquire(_ context.Context, target string, ttl time.Duration) (TargetQueue, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.full > 0 {
		return nil, errFull
	}
	if l := q.leases[target]; l != nil && time.Now().Before(l.until) {
		return nil, ErrHeld
	}
	l := &lease{q: q, target: target, ttl: ttl, until: time.Now().Add(ttl)}
	q.leases[target] = l
	return l, nil
}

// write runs fn if the lease is in force and the disk has room.
func (l *lease) write(ctx context.Context, fn func(q *queue)) error {
	q := l.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.onWrite != nil {
		q.onWrite()
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case q.leases[l.target] != l:
		return ErrLost
	case q.full > 0:
		q.full--
		return errFull
	}
	fn(q)
	return nil
}

func (l *lease) Pace() Pace {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	return l.q.Paces[l.target]
}

func (l *lease) SavePace(ctx context.Context, p Pace) error {
	return l.write(ctx, func(q *queue) { q.Paces[l.target] = p })
}

func (l *lease) Renew(ctx context.Context) error {
	return l.write(ctx, func(*queue) { l.until = time.Now().Add(l.ttl) })
}

func (l *lease) Release(ctx context.Context) error {
	return l.write(ctx, func(q *queue) { delete(q.leases, l.target) })
}

// pending returns the pending rows of the lease's target by sequence number, with the lock held.
func (l *lease) pending() []*row {
	var rows []*row
	for _, r := range l.q.Rows {
		if r.Delivery.Target == l.target && r.State == Pending {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b *row) int { return cmp.Compare(a.Delivery.Sequence, b.Delivery.Sequence) })
	return rows
}

func (l *lease) Due(_ context.Context, now time.Time, limit int) (due []Delivery, next time.Time, err error) {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	var free []*row
	held := map[string]bool{}
	for _, r := range l.pending() {
		incident := r.Delivery.Alert.Incident
		if !held[incident] {
			free = append(free, r)
		}
		held[incident] = held[incident] || r.Delivery.Attempts < OrderAttempts
	}
	slices.SortStableFunc(free, func(a, b *row) int { return a.Due.Compare(b.Due) })
	for _, r := range free {
		switch {
		case !r.Due.After(now) && len(due) < limit:
			due = append(due, r.Delivery)
		case next.IsZero() || r.Due.Before(next):
			next = r.Due
		}
	}
	return due, next, nil
}

func (l *lease) Earlier(_ context.Context, d Delivery, limit int) (all []Reference, err error) {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	for _, r := range l.q.Rows {
		if o := r.Delivery; o.Target == l.target && o.Alert.Incident == d.Alert.Incident && o.Sequence < d.Sequence && r.State == Delivered {
			all = append(all, Reference{ID: o.Alert.ID, Time: o.Alert.Time})
		}
	}
	slices.SortFunc(all, func(a, b Reference) int { return cmp.Compare(a.ID, b.ID) })
	return all[max(0, len(all)-limit):], nil
}

func (l *lease) Record(ctx context.Context, outcomes []Outcome) error {
	return l.write(ctx, func(q *queue) {
		for _, o := range outcomes {
			r := q.Rows[o.Delivery]
			if r == nil || r.State != Pending {
				continue
			}
			r.State, r.Due, r.Delivery.Attempts = o.State, o.Next, o.Attempt
			r.Outcomes = append(r.Outcomes, o)
			if p := q.Paces[l.target]; o.Pause.After(p.Until) {
				p.Until = o.Pause
				q.Paces[l.target] = p
			}
			if !o.Disable.IsZero() {
				q.disabled[o.Target] = o.Disable.Text
				for _, r := range l.pending() {
					r.State = Dead
				}
			}
		}
	})
}

// batch is how many rows GiveUp and Resume change at once.
const batch = 10

func (l *lease) GiveUp(ctx context.Context, before time.Time) (n int, more bool, err error) {
	err = l.write(ctx, func(*queue) {
		for _, r := range l.pending() {
			if n < batch && r.Delivery.Queued.Before(before) {
				r.State = Dead
				n++
			}
		}
	})
	return n, n == batch, err
}

func (l *lease) Resume(ctx context.Context, now time.Time) (more bool, err error) {
	n := 0
	err = l.write(ctx, func(*queue) {
		for _, r := range l.pending() {
			if n < batch && r.Due.After(now) {
				r.Due = now
				n++
			}
		}
	})
	return n == batch, err
}

// outcomes returns what was recorded of an alert's delivery to a target.
func (q *queue) outcomes(alert, target string) []Outcome {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.Rows[DeliveryID("event-"+alert, target)].Outcomes)
}

func (q *queue) state(alert, target string) State {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.Rows[DeliveryID("event-"+alert, target)].State
}

// takeLease gives the lease of a target to another hub, which dies at once.
func (q *queue) takeLease(target string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.leases[target] = &lease{q: q, target: target, until: time.Now().Add(leaseTTL)}
}

func (q *queue) leaseUntil(target string) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.leases[target].until
}

func (q *queue) setFull(writes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.full = writes
}
