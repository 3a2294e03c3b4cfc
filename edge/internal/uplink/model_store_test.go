package uplink

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/hub/api"
)

// row is an event of the model's alerts lane.
type row struct {
	seq     uint64
	kind    api.Kind
	id      string // of the incident
	version int
	data    json.RawMessage
}

// disk is the content of the model's store.
type disk struct {
	versions  map[string]int
	open      map[string]bool
	outbox    []row
	evidence  map[string]bool // by incident: delivered
	readings  int             // taken
	sent      int             // of which delivered
	announced map[string]bool // incidents whose evidence was announced and not yet delivered
}

// modelStore implements Store. Numbers rise over everything, as those of a table do.
type modelStore struct {
	t    *testing.T
	hub  *modelHub
	file string // content of every file of evidence
	wake chan struct{}

	mu         sync.Mutex
	seq        uint64
	unreadable string // incident whose evidence the disk does not give back
	disk
}

func newModelStore(t *testing.T, hub *modelHub, file string) *modelStore {
	return &modelStore{t: t, hub: hub, file: file, wake: make(chan struct{}, 1), disk: disk{
		versions: map[string]int{}, open: map[string]bool{}, evidence: map[string]bool{}, announced: map[string]bool{},
	}}
}

func (s *modelStore) enqueue(kind api.Kind, id string, version int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	s.seq++
	s.outbox = append(s.outbox, row{s.seq, kind, id, version, data})
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *modelStore) incidentOf(id string) detection.Incident {
	state := detection.Closed
	if s.open[id] {
		state = detection.Open
	}
	return detection.Incident{ID: id, Device: "yard", Rule: "line", State: state, Version: s.versions[id]}
}

// alert opens, changes or closes an incident.
func (s *modelStore) alert(id string, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions[id]++
	s.open[id] = open
	s.enqueue(api.KindIncident, id, s.versions[id], s.incidentOf(id))
	if s.versions[id] == 1 {
		s.enqueue(api.KindEvidence, id, 0, api.Evidence{Incident: id, Name: "a.jpg", Size: 5})
		s.announced[id] = true
	}
}

func (s *modelStore) AlertsWaiting() <-chan struct{} { return s.wake }

func (s *modelStore) Alerts(_ context.Context, limit, maxBytes int) (out []api.Event, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.outbox {
		if len(out) == limit || len(out) > 0 && maxBytes < len(r.data) {
			break
		}
		maxBytes -= len(r.data)
		out = append(out, api.Event{Lane: api.LaneAlerts, Seq: r.seq, Kind: r.kind, Time: time.Now(), Data: r.data})
	}
	return out, nil
}

// AlertsDelivered fails the test when it is to delete what the hub never had.
func (s *modelStore) AlertsDelivered(_ context.Context, committed uint64, notYet []api.Refusal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(notYet) > 0 {
		s.t.Errorf("the hub does not know %d events", len(notYet))
	}
	s.outbox = slices.DeleteFunc(s.outbox, func(r row) bool {
		if r.seq <= committed && !s.hub.had(r) {
			s.t.Errorf("%s version %d was deleted, and the hub never had it", r.id, r.version)
		}
		return r.seq <= committed
	})
	return nil
}

func (s *modelStore) ReleaseHeld(context.Context, []api.Kind) error { return nil }

func (s *modelStore) Telemetry(_ context.Context, limit, _ int) (out []api.Event, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := s.sent + 1; n <= s.readings && len(out) < min(limit, 20); n++ {
		out = append(out, api.Event{Lane: api.LaneTelemetry, Seq: uint64(n), Kind: api.KindReadings, Data: json.RawMessage(strconv.Itoa(n))})
	}
	return out, nil
}

func (s *modelStore) TelemetryDelivered(_ context.Context, committed uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = max(s.sent, int(committed))
	return nil
}

func (s *modelStore) Drop(_ context.Context, lane api.Lane, seq uint64) error {
	s.t.Errorf("event %s/%d was dropped as poison", lane, seq)
	return nil
}

func (s *modelStore) Waiting() map[api.Lane]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[api.Lane]uint64{api.LaneAlerts: uint64(len(s.outbox)), api.LaneTelemetry: uint64(s.readings - s.sent)}
}

func (s *modelStore) WaitingEvidence(_ context.Context, limit int, skip func(api.Evidence) bool) (out []api.Evidence, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(s.announced)) {
		meta := api.Evidence{Incident: id, Name: "a.jpg", Size: 5}
		waits := slices.ContainsFunc(s.outbox, func(r row) bool { return r.id == id && r.kind == api.KindEvidence })
		if !waits && len(out) < limit && !skip(meta) {
			out = append(out, meta)
		}
	}
	return out, nil
}

func (s *modelStore) OpenEvidence(meta api.Evidence) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if meta.Incident == s.unreadable {
		return nil, &os.PathError{Op: "open", Path: s.file, Err: syscall.EIO}
	}
	return os.Open(s.file)
}

func (s *modelStore) EvidenceDelivered(_ context.Context, meta api.Evidence) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.announced, meta.Incident)
	s.evidence[meta.Incident] = true
	return nil
}

func (s *modelStore) EvidenceLost(_ context.Context, meta api.Evidence, reason string) error {
	s.t.Errorf("the evidence of %s counts as lost: %s", meta.Incident, reason)
	return nil
}

func (s *modelStore) refs(of func(id string) bool) (out []api.IncidentRef) {
	for _, id := range slices.Sorted(maps.Keys(s.versions)) {
		if of(id) {
			ref := api.IncidentRef{ID: id, Version: s.versions[id]}
			if s.evidence[id] {
				ref.Evidence = 1
			}
			out = append(out, ref)
		}
	}
	return out
}

func (s *modelStore) OpenRefs(context.Context) ([]api.IncidentRef, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refs(func(id string) bool {
		return s.open[id] || slices.ContainsFunc(s.outbox, func(r row) bool { return r.id == id })
	}), nil
}

func (s *modelStore) RecentRefs(_ context.Context, after string, limit int) ([]api.IncidentRef, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.refs(func(id string) bool { return !s.open[id] && id > after })
	return out[:min(len(out), limit)], nil
}

func (s *modelStore) Enqueue(_ context.Context, ids []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if s.versions[id] == 0 {
			s.t.Errorf("the unknown incident %s is to be sent again", id)
			continue
		}
		s.enqueue(api.KindIncident, id, s.versions[id], s.incidentOf(id))
		s.enqueue(api.KindEvidence, id, 0, api.Evidence{Incident: id, Name: "a.jpg", Size: 5})
		s.announced[id] = true
		delete(s.evidence, id)
	}
	return nil
}
