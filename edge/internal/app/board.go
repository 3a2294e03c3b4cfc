package app

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gridpost/devices"
)

// statusKeeper keeps a device's state for the hub.
type statusKeeper interface {
	SaveStatus(ctx context.Context, st devices.Status) error
}

// board knows the state of every device. Setting a state never blocks; board.run keeps it. Of
// states that change faster than they can be kept, the newest counts.
type board struct {
	store  statusKeeper
	logger *slog.Logger
	wake   chan struct{}

	mu     sync.Mutex
	states map[string]devices.Status
	dirty  map[string]bool // not kept yet
}

func newBoard(s statusKeeper, logger *slog.Logger) *board {
	return &board{store: s, logger: logger, wake: make(chan struct{}, 1), states: map[string]devices.Status{}, dirty: map[string]bool{}}
}

// expect adds a device of which nothing is known yet.
func (b *board) expect(device string) {
	b.set(device, devices.Unknown, "not heard of since the edge started")
}

// set notes a device's state. Since is when the state changed, not its cause.
func (b *board) set(device string, state devices.State, cause string) {
	b.mu.Lock()
	old, known := b.states[device]
	if known && old.State == state && old.Cause.Text == cause {
		b.mu.Unlock()
		return
	}
	st := devices.Status{Device: device, State: state, Cause: devices.Cause{Text: cause}, Since: time.Now().UTC()}
	if known && old.State == state {
		st.Since = old.Since
	}
	b.states[device], b.dirty[device] = st, true
	b.mu.Unlock()
	if known {
		b.logger.Info("device", "device", device, "state", state, "cause", cause)
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *board) get(device string) (devices.Status, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	st, ok := b.states[device]
	return st, ok
}

// run keeps states until ctx ends, and those that were set before.
func (b *board) run(ctx context.Context) error {
	retry := time.NewTicker(5 * time.Second)
	defer retry.Stop()
	for {
		b.keep(ctx)
		select {
		case <-ctx.Done():
			b.keep(context.WithoutCancel(ctx))
			return nil
		case <-b.wake:
		case <-retry.C:
		}
	}
}

func (b *board) keep(ctx context.Context) {
	for {
		b.mu.Lock()
		var st devices.Status
		found := false
		for device := range b.dirty {
			st, found = b.states[device], true
			break
		}
		if found {
			delete(b.dirty, st.Device)
		}
		b.mu.Unlock()
		if !found {
			return
		}
		if err := b.store.SaveStatus(ctx, st); err != nil {
			b.mu.Lock()
			b.dirty[st.Device] = true
			b.mu.Unlock()
			if ctx.Err() == nil {
				b.logger.Warn("a device's state could not be kept; it is tried again", "device", st.Device, "error", err)
			}
			return
		}
	}
}
