// Package presence knows the state of every device of the edge, and reports changes of it.
package presence

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gridpost/devices"
)

// Store saves a device's state for the hub.
type Store interface {
	SaveStatus(ctx context.Context, st devices.Status) error
}

// States holds the state of every device. Setting a state never blocks; Run saves it. Of states
// that change faster than they can be saved, the newest counts.
type States struct {
	store  Store
	logger *slog.Logger
	wake   chan struct{}

	mu     sync.Mutex
	states map[string]devices.Status
	dirty  map[string]bool // not saved yet
}

// New returns States without devices.
func New(st Store, logger *slog.Logger) *States {
	return &States{store: st, logger: logger, wake: make(chan struct{}, 1), states: map[string]devices.Status{}, dirty: map[string]bool{}}
}

// Add adds a device of which nothing is known yet.
func (s *States) Add(device string) {
	s.Set(device, devices.Unknown, "not heard of since the edge started")
}

// Set notes a device's state. Since is when the state changed, not its cause.
func (s *States) Set(device string, state devices.State, cause string) {
	s.mu.Lock()
	old, known := s.states[device]
	if known && old.State == state && old.Cause.Text == cause {
		s.mu.Unlock()
		return
	}
	st := devices.Status{Device: device, State: state, Cause: devices.Cause{Text: cause}, Since: time.Now().UTC()}
	if known && old.State == state {
		st.Since = old.Since
	}
	s.states[device], s.dirty[device] = st, true
	s.mu.Unlock()
	if known {
		s.logger.Info("device", "device", device, "state", state, "cause", cause)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Get returns the state of a device, and whether there is such a device.
func (s *States) Get(device string) (devices.Status, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.states[device]
	return st, ok
}

// Run saves states until ctx ends, and those that were set before.
func (s *States) Run(ctx context.Context) error {
	retry := time.NewTicker(5 * time.Second)
	defer retry.Stop()
	for {
		s.save(ctx)
		select {
		case <-ctx.Done():
			s.save(context.WithoutCancel(ctx))
			return nil
		case <-s.wake:
		case <-retry.C:
		}
	}
}

func (s *States) save(ctx context.Context) {
	for {
		s.mu.Lock()
		var st devices.Status
		found := false
		for device := range s.dirty {
			st, found = s.states[device], true
			break
		}
		if found {
			delete(s.dirty, st.Device)
		}
		s.mu.Unlock()
		if !found {
			return
		}
		if err := s.store.SaveStatus(ctx, st); err != nil {
			s.mu.Lock()
			s.dirty[st.Device] = true
			s.mu.Unlock()
			if ctx.Err() == nil {
				s.logger.Warn("a device's state could not be saved; it is retried", "device", st.Device, "error", err)
			}
			return
		}
	}
}
