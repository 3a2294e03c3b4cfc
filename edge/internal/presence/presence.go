// Package presence knows the state of every device of the edge, and announces changes of it.
package presence

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"gridpost/devices"
)

// Hub takes states on their way to the hub. It must not block.
type Hub interface {
	SetStatus(st devices.Status)
}

// States holds the state of every device. Its methods never block.
type States struct {
	hub    Hub
	logger *slog.Logger

	mu     sync.Mutex
	states map[string]devices.Status
}

// New returns States without devices.
func New(hub Hub, logger *slog.Logger) *States {
	return &States{hub: hub, logger: logger, states: map[string]devices.Status{}}
}

// Add adds a device of which nothing is known yet, unless it is there.
func (s *States) Add(device string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.states[device]; !known {
		s.set(devices.Status{Device: device, State: devices.Unknown, Cause: devices.NewCause("device_not_heard"), Since: time.Now().UTC()})
	}
}

// Remove forgets a device. Set ignores it until it is added again.
func (s *States) Remove(device string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.states, device)
}

// Set notes a device's state. Since is when the state changed, not its cause.
func (s *States) Set(device string, state devices.State, cause devices.Cause) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, known := s.states[device]
	if !known || old.State == state && old.Cause.Equal(cause) {
		return
	}
	st := devices.Status{Device: device, State: state, Cause: cause, Since: time.Now().UTC()}
	if old.State == state {
		st.Since = old.Since
	}
	s.set(st)
	s.logger.Info("device", "device", device, "state", state, "cause", cause)
}

// set stores and announces a state. s.mu is held, so that the hub gets states in their order.
func (s *States) set(st devices.Status) {
	s.states[st.Device] = st
	s.hub.SetStatus(st)
}

// Get returns the state of a device, and whether there is such a device.
func (s *States) Get(device string) (devices.Status, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.states[device]
	return st, ok
}

// All returns the states of all devices by their names.
func (s *States) All() []devices.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]devices.Status, 0, len(s.states))
	for _, st := range s.states {
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b devices.Status) int { return strings.Compare(a.Device, b.Device) })
	return out
}
