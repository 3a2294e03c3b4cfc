package web

import (
	"context"
	"sync"
	"time"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/incidents"
)

// MonitorEvidence says which evidence of incidents monitors may see. Other roles see all.
type MonitorEvidence string

// The values of MonitorEvidence.
const (
	MonitorsSeeAll  MonitorEvidence = "all"
	MonitorsSeeOpen MonitorEvidence = "open" // of incidents that are not closed
	MonitorsSeeNone MonitorEvidence = "none"
)

// Valid reports whether m is one of the values, or empty, which is MonitorsSeeAll.
func (m MonitorEvidence) Valid() bool {
	switch m {
	case "", MonitorsSeeAll, MonitorsSeeOpen, MonitorsSeeNone:
		return true
	}
	return false
}

// maySeeEvidence reports whether a principal may see the evidence of an incident in its scope.
func (s *Server) maySeeEvidence(ctx context.Context, p auth.Principal, incident string) (bool, error) {
	if p.Role.Allows(auth.Dispatcher) {
		return true, nil
	}
	switch s.o.MonitorEvidence {
	case MonitorsSeeNone:
		return false, nil
	case MonitorsSeeOpen:
		inc, err := s.o.Incidents.Get(ctx, p.Scope, incident)
		return err == nil && inc.State != incidents.Closed, err
	}
	return true, nil
}

const (
	// readAgain is how long a read counts as the same one: a console reads a picture each time that it shows it.
	readAgain = 10 * time.Minute

	maxReads = 10_000 // reads that are remembered; more are recorded again too early
)

// reads remembers which reads of evidence were recorded lately.
type reads struct {
	now func() time.Time

	mu   sync.Mutex
	seen map[read]time.Time
}

// read is what somebody has read.
type read struct{ who, incident, name string }

// known reports whether a read was recorded lately.
func (r *reads) known(one read) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.seen[one]
	return ok && r.now().Sub(at) < readAgain
}

// add notes that a read was recorded. When there is no room, all are forgotten.
func (r *reads) add(one read) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil || len(r.seen) >= maxReads {
		r.seen = map[read]time.Time{}
	}
	r.seen[one] = r.now()
}

// recordRead records that a principal reads evidence. What cannot be recorded must not be shown.
func (s *Server) recordRead(ctx context.Context, p auth.Principal, incident, name string) error {
	one := read{p.Key(), incident, name}
	if s.reads.known(one) {
		return nil
	}
	if err := s.o.Audit.Record(ctx, audit.Entry{Who: p.Name, Action: "evidence read", Object: incident, Detail: name}); err != nil {
		return err
	}
	s.reads.add(one)
	return nil
}
