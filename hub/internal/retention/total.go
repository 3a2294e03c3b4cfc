package retention

import (
	"context"
	"sync"
	"time"
)

// totalAge is how long a measured total counts.
const totalAge = 10 * time.Minute

// Total remembers a total that is slow to measure. What is deleted is subtracted; what comes is noticed at
// the next measurement. Its methods may be called from any goroutine.
type Total struct {
	measure func(ctx context.Context) (int64, error)
	now     func() time.Time

	mu    sync.Mutex
	at    time.Time
	value int64
}

// NewTotal returns a total. It measures nothing yet. now may be nil.
func NewTotal(measure func(ctx context.Context) (int64, error), now func() time.Time) *Total {
	if now == nil {
		now = time.Now
	}
	return &Total{measure: measure, now: now}
}

// Size returns the total; it is a Kind's Size.
func (t *Total) Size(ctx context.Context) (int64, error) {
	now := t.now()
	t.mu.Lock()
	value, fresh := t.value, !t.at.IsZero() && now.Sub(t.at) < totalAge && !now.Before(t.at)
	t.mu.Unlock()
	if fresh {
		return value, nil
	}
	value, err := t.measure(ctx)
	if err != nil {
		return 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at, t.value = now, value
	return value, nil
}

// Subtract takes from the total what was deleted.
func (t *Total) Subtract(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.value -= n
}
