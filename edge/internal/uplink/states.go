package uplink

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
)

// States holds the newest values of an edge's states: its inventory, the status of each device,
// and its health. They live in memory only. An Uplink announces all of them at the start of each
// epoch and afterwards those that changed; of values that change faster than they can be sent,
// the newest counts.
//
// It exists from the start of the program, before the edge is enrolled, and is handed to New.
// Its methods never block and are safe for concurrent use. It is bounded by the number of devices.
type States struct {
	wake chan struct{} // room for one: something has changed

	mu        sync.Mutex
	revision  uint64 // of the newest change
	inventory *state
	statuses  map[string]*state // by device
	health    *state
}

// state is one value on its way to the hub.
type state struct {
	kind     api.Kind
	value    any
	at       time.Time // when it came about, with the monotonic clock where it was set
	set      time.Time // when it was set, with the monotonic clock
	revision uint64
	sent     uint64 // revision that the hub has in the present epoch; 0: none
}

// NewStates returns States without values.
func NewStates() *States {
	return &States{wake: make(chan struct{}, 1), statuses: map[string]*state{}}
}

// SetInventory replaces the list of the edge's devices. When the list has changed, the statuses
// are announced again after it, because the hub forgets that of a device it did not know.
func (s *States) SetInventory(inv api.Inventory) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inventory != nil && reflect.DeepEqual(s.inventory.value, inv) {
		return
	}
	s.inventory = s.next(api.KindInventory, inv, time.Now())
	for _, st := range s.statuses {
		s.revision++
		st.revision = s.revision
	}
}

// SetStatus sets the status of a device. A status that equals the present one changes nothing.
func (s *States) SetStatus(st devices.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.statuses[st.Device]; old != nil && reflect.DeepEqual(old.value, st) {
		return
	}
	s.statuses[st.Device] = s.next(api.KindStatus, st, st.Since)
}

// RemoveDevice forgets a device's status. The hub learns by the inventory that a device is gone.
func (s *States) RemoveDevice(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.statuses, name)
}

// SetHealth sets the health of the edge itself.
func (s *States) SetHealth(h api.Health) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health = s.next(api.KindHealth, h, h.Time)
}

// next makes the newest state and signals it. s.mu is held.
func (s *States) next(kind api.Kind, value any, at time.Time) *state {
	s.revision++
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return &state{kind: kind, value: value, at: at, set: time.Now(), revision: s.revision}
}

// Waiting returns how many states the hub does not have yet.
func (s *States) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, st := range s.all() {
		if st.sent < st.revision {
			n++
		}
	}
	return n
}

// Snapshot returns the present values. Those that were never set are zero.
func (s *States) Snapshot() (inv api.Inventory, statuses map[string]devices.Status, h api.Health) {
	s.mu.Lock()
	defer s.mu.Unlock()
	statuses = make(map[string]devices.Status, len(s.statuses))
	for _, st := range s.all() {
		switch v := st.value.(type) {
		case api.Inventory:
			inv = v
		case devices.Status:
			statuses[v.Device] = v
		case api.Health:
			h = v
		}
	}
	return inv, statuses, h
}

// all returns the states in the order in which the hub must hear of them: a device before its
// status. s.mu is held.
func (s *States) all() []*state {
	out := make([]*state, 0, len(s.statuses)+2)
	if s.inventory != nil {
		out = append(out, s.inventory)
	}
	names := make([]string, 0, len(s.statuses))
	for name := range s.statuses {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		out = append(out, s.statuses[name])
	}
	if s.health != nil {
		out = append(out, s.health)
	}
	return out
}

// announceAll marks everything as unknown to the hub: a new epoch begins.
func (s *States) announceAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.all() {
		s.revision++ // what is on its way was sent in the last epoch and does not count
		st.revision, st.sent = s.revision, 0
	}
}

// outgoing is a state in a request, with the revision that was sent.
type outgoing struct {
	state    *state
	revision uint64
}

// pending returns the states that the hub does not have, in order, at most limit events of about
// maxBytes together but at least one, numbered from first on. A value that cannot be encoded is
// left out until it is set again; the error says so and is for the log.
func (s *States) pending(first uint64, limit, maxBytes int, clock api.ClockGrade) ([]api.Event, []outgoing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var events []api.Event
	var out []outgoing
	var errs error
	for _, st := range s.all() {
		if st.sent >= st.revision {
			continue
		}
		if len(events) == limit {
			break
		}
		data, err := json.Marshal(st.value)
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("encoding %s: %w", st.kind, err))
			st.sent = st.revision
			continue
		}
		if maxBytes -= len(data); maxBytes < 0 && len(events) > 0 {
			break
		}
		age := time.Since(st.set).Milliseconds()
		events = append(events, api.Event{
			Lane: api.LaneState, Seq: first + uint64(len(events)), Kind: st.kind, Time: st.at.UTC(), Clock: clock, AgeMS: &age, Data: data,
		})
		out = append(out, outgoing{st, st.revision})
	}
	return events, out, errs
}

// delivered notes that the hub has states. A state that has changed since is sent again, because
// SetStatus and the others replace it.
func (s *States) delivered(all []outgoing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range all {
		o.state.sent = max(o.state.sent, o.revision)
	}
}

// hasInventory says whether an inventory waits to be announced.
func (s *States) hasInventory() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inventory != nil && s.inventory.sent < s.inventory.revision
}
