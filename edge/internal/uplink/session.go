package uplink

import (
	"context"
	"sync"

	"github.com/google/uuid"
)

// session is the present epoch and how far the hub knows it. All loops share it.
//
// An epoch begins when the program starts, when the hub says that a later epoch greeted it, and
// when the hub's run changes. Nothing but the greeting is sent before the hub has answered it.
type session struct {
	mu        sync.Mutex
	epoch     string
	hub       string // the hub's run, of the answer to the greeting; empty before protocol 2
	greeted   bool
	changed   chan struct{} // closed and replaced when anything above changes
	announced chan struct{} // closed when the epoch's first states are delivered
}

func newSession() *session {
	return &session{epoch: uuid.NewString(), changed: make(chan struct{}), announced: make(chan struct{})}
}

// present returns the epoch, whether the hub has been greeted with it, and a channel that is closed
// at the next change.
func (s *session) present() (epoch string, greeted bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch, s.greeted, s.changed
}

// ready waits until the hub has been greeted and returns the epoch; ok is false when ctx ended.
func (s *session) ready(ctx context.Context) (epoch string, ok bool) {
	for {
		epoch, greeted, changed := s.present()
		if greeted {
			return epoch, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", false
		}
	}
}

// welcome notes that the hub has answered the epoch's greeting.
func (s *session) welcome(epoch, hub string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch {
		return
	}
	s.hub, s.greeted = hub, true
	s.signal()
}

// supersede starts a new epoch, unless that has been done since the given one.
func (s *session) supersede(epoch string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch {
		return false
	}
	s.epoch, s.hub, s.greeted = uuid.NewString(), "", false
	s.announced = make(chan struct{})
	s.signal()
	return true
}

// sameHub says whether an answer of the epoch comes from the hub's run that was greeted.
func (s *session) sameHub(epoch, hub string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch != epoch || hub == "" || s.hub == hub
}

// announce notes that the hub has the epoch's inventory.
func (s *session) announce(epoch string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch {
		return
	}
	select {
	case <-s.announced:
	default:
		close(s.announced)
	}
}

func (s *session) inventoryDelivered() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.announced
}

// signal wakes those who wait. s.mu is held.
func (s *session) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}
