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

// queue is a Store in memory, with the promises of the interface kept to the letter.
type queue struct {
	mu       sync.Mutex
	wake     chan struct{}
	Targets  []Target
	Rows     map[string]*row
	disabled map[string]string
	full     int // so many more writes fail
	onWrite  func()
}

type row struct {
	Delivery Delivery
	State    State
	Due      time.Time
	Outcomes []Outcome
}

var errFull = errors.New("no space left on device")

func newQueue(targets ...Target) *queue {
	return &queue{wake: make(chan struct{}), Targets: targets, Rows: map[string]*row{}, disabled: map[string]string{}}
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
	again := newQueue()
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
	for _, t := range q.Targets {
		id := DeliveryID(a.ID, t.ID)
		if q.Rows[id] == nil {
			q.Rows[id] = &row{Delivery: Delivery{ID: id, Target: t.ID, Queued: time.Now(), Alert: a}, State: Pending}
		}
	}
	q.mu.Unlock()
	q.signal()
}

func (q *queue) setTargets(targets ...Target) {
	q.mu.Lock()
	q.Targets = targets
	q.mu.Unlock()
	q.signal()
}

func (q *queue) WebhookTargets(context.Context) ([]Target, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(q.Targets), func(t Target) bool { return q.disabled[t.ID] != "" }), nil
}

func (q *queue) DueDeliveries(_ context.Context, target string, now time.Time, limit int) (due []Delivery, next time.Time, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var rows []*row
	for _, r := range q.Rows {
		if r.Delivery.Target == target && r.State == Pending {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b *row) int { return cmp.Compare(a.Delivery.Alert.Sequence, b.Delivery.Alert.Sequence) })
	held := map[string]bool{}
	for _, r := range rows {
		incident := r.Delivery.Alert.Incident
		switch waits := held[incident]; {
		case waits:
		case !r.Due.After(now) && len(due) < limit:
			due = append(due, r.Delivery)
		case next.IsZero() || r.Due.Before(next):
			next = r.Due
		}
		held[incident] = held[incident] || r.Delivery.Attempts < OrderAttempts
	}
	return due, next, nil
}

func (q *queue) RecordDelivery(ctx context.Context, o Outcome) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.onWrite != nil {
		q.onWrite()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if q.full > 0 {
		q.full--
		return errFull
	}
	r := q.Rows[o.Delivery]
	if r == nil || r.State != Pending {
		return nil
	}
	r.State, r.Due, r.Delivery.Attempts = o.State, o.Next, o.Attempt
	r.Outcomes = append(r.Outcomes, o)
	if o.Disable != "" {
		q.disabled[o.Target] = o.Disable
		for _, r := range q.Rows {
			if r.Delivery.Target == o.Target && r.State == Pending {
				r.State = Dead
			}
		}
	}
	return nil
}

// outcomes returns what was recorded of an alert's delivery to a target.
func (q *queue) outcomes(alert, target string) []Outcome {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.Rows[DeliveryID(alert, target)].Outcomes)
}

func (q *queue) state(alert, target string) State {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.Rows[DeliveryID(alert, target)].State
}
