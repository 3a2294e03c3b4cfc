// Package retention deletes what is old or too much.
//
// Each kind of data is one entry of a list: how long it is kept, how much of it, and the function of the
// repository that owns it, which deletes a few of the oldest rows in one transaction. What is protected
// (open incidents, what a hold protects, people, edges) no such function deletes, whatever it is asked for.
// The package must import no repository.
package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"gridpost/devices/retry"
	"gridpost/hub/internal/db"
)

// Kind is a kind of data that is deleted when it is old, or too much.
type Kind struct {
	Name string // a value of a metric's label: [a-z_]+

	// Age is how long it is kept; 0: for good.
	Age time.Duration

	// Delete deletes at most limit of the oldest entries from before a time, in one transaction, and returns
	// how many; 0 when there is none left. It passes its context on to the transaction: db.Trace measures it.
	Delete func(ctx context.Context, before time.Time, limit int) (deleted int, err error)

	// Max bounds what Size returns, in the unit that it has; 0: no bound.
	Max  int64
	Size func(ctx context.Context) (int64, error)
}

// Options of a Keeper.
type Options struct {
	Kinds  []Kind
	Logger *slog.Logger

	// Now, and Sleep, which returns false when ctx has ended; nil: the machine's.
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) bool
}

// Keeper deletes what the kinds say. Its methods may be called from any goroutine, for one kind from one
// at a time.
type Keeper struct {
	o       Options
	steps   map[string]*step
	deleted map[string]*atomic.Int64
}

// New returns a keeper. It starts nothing.
func New(o Options) *Keeper {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = retry.Sleep
	}
	k := &Keeper{o: o, steps: make(map[string]*step, len(o.Kinds)), deleted: make(map[string]*atomic.Int64, len(o.Kinds))}
	for _, kind := range o.Kinds {
		k.steps[kind.Name], k.deleted[kind.Name] = newStep(), &atomic.Int64{}
	}
	return k
}

// Deleted returns how many entries of each kind were deleted since the start.
func (k *Keeper) Deleted() map[string]int64 {
	out := make(map[string]int64, len(k.deleted))
	for name, n := range k.deleted {
		out[name] = n.Load()
	}
	return out
}

// Pass deletes what is old or too much of every kind. An error of one kind does not stop the others.
func (k *Keeper) Pass(ctx context.Context) error {
	var errs []error
	for _, kind := range k.o.Kinds {
		if err := k.pass(ctx, kind); err != nil {
			errs = append(errs, fmt.Errorf("deleting old %s: %w", kind.Name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func (k *Keeper) pass(ctx context.Context, kind Kind) error {
	total := 0
	defer func() {
		if total > 0 {
			k.o.Logger.Info("deleted what is old", "kind", kind.Name, "count", total)
		}
	}()
	if kind.Age > 0 {
		before := k.o.Now().Add(-kind.Age)
		for {
			n, err := k.delete(ctx, kind, before)
			if total += n; err != nil || n == 0 {
				if err != nil {
					return err
				}
				break
			}
		}
	}
	n, err := k.Shrink(ctx, kind)
	total += n
	return err
}

// Shrink deletes the oldest entries of a kind, whatever their age, until there are no more than it says. It
// returns how many were deleted.
func (k *Keeper) Shrink(ctx context.Context, kind Kind) (total int, err error) {
	if kind.Max <= 0 || kind.Size == nil {
		return 0, nil
	}
	for {
		size, err := kind.Size(ctx)
		if err != nil || size <= kind.Max {
			return total, err
		}
		n, err := k.delete(ctx, kind, k.o.Now())
		total += n
		if err != nil || n == 0 { // what is left is protected
			return total, err
		}
	}
}

// delete deletes one step, and leaves the writer alone for at least as long afterwards.
func (k *Keeper) delete(ctx context.Context, kind Kind, before time.Time) (int, error) {
	s := k.steps[kind.Name]
	var executed time.Duration
	traced := db.WithTrace(ctx, &db.Trace{Executed: func(d time.Duration) { executed += d }})
	began := k.o.Now()
	n, err := kind.Delete(traced, before, s.limit)
	k.deleted[kind.Name].Add(int64(n))
	took := k.o.Now().Sub(began)
	if err != nil {
		s.failed()
		return n, err
	}
	s.observe(n, executed)
	if n > 0 && !k.o.Sleep(ctx, max(took, minPause)) {
		return n, ctx.Err()
	}
	return n, nil
}
