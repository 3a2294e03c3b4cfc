package ingest

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"gridpost/hub/api"
	"gridpost/hub/internal/problem"
)

// maxPending is how many files an edge may have announced and not uploaded: an outage of weeks.
const maxPending = 20_000

// evidence announces a file, unless the edge has announced too much that it has not uploaded. A file that was announced
// before is accepted again.
func (w *writer) evidence(v announced) (*refusal, error) {
	if w.pending == nil {
		p, err := w.o.Incidents.PendingEvidence(w.t, w.edge)
		if err != nil {
			return nil, err
		}
		w.pending = &p
	}
	if over := w.pending.Files >= w.o.maxPending || w.o.EvidenceQuota > 0 && w.pending.Bytes+v.Size > w.o.EvidenceQuota; over {
		if known, err := w.o.Incidents.Announced(w.t, v.Evidence); err != nil {
			return nil, err
		} else if !known {
			return refuse(api.RefusedQuota, fmt.Sprintf("the edge has announced %d files with %d bytes that it has not uploaded", w.pending.Files, w.pending.Bytes),
				"max", fmt.Sprint(w.o.EvidenceQuota)), nil
		}
	}
	w.pending.Files++
	w.pending.Bytes += v.Size
	return foreign(w.o.Incidents.AnnounceEvidence(w.t, w.edge, v.Evidence, v.taken))
}

// usageAge is how long a measured number of bytes counts. What this hub receives is added; what other hubs receive,
// and what is deleted, is noticed at the next measurement.
const usageAge = time.Minute

// usage remembers how many bytes of evidence each edge has stored. Only admitted edges are in it, so it is bounded by
// their number.
type usage struct {
	measure func(ctx context.Context, edge string) (int64, error)
	now     func() time.Time

	mu    sync.Mutex
	edges map[string]measured
}

type measured struct {
	at    time.Time
	bytes int64
}

func newUsage(measure func(context.Context, string) (int64, error), now func() time.Time) *usage {
	return &usage{measure: measure, now: now, edges: map[string]measured{}}
}

// of returns how many bytes an edge has stored.
func (u *usage) of(ctx context.Context, edge string) (int64, error) {
	now := u.now()
	u.mu.Lock()
	m, known := u.edges[edge]
	u.mu.Unlock()
	if age := now.Sub(m.at); known && age >= 0 && age < usageAge {
		return m.bytes, nil
	}
	n, err := u.measure(ctx, edge)
	if err != nil {
		return 0, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.edges[edge] = measured{at: now, bytes: n}
	return n, nil
}

// add counts what an edge has stored since.
func (u *usage) add(edge string, n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if m, known := u.edges[edge]; known {
		m.bytes += n
		u.edges[edge] = m
	}
}

// roomFor reports whether an edge may store so many bytes more. It has answered when it returns false: with 507, upon which
// the edge tries again later, when older evidence has been deleted.
func (s *Server) roomFor(w http.ResponseWriter, r *http.Request, edge string, n int64) bool {
	if s.o.EvidenceQuota <= 0 {
		return true
	}
	stored, err := s.usage.of(r.Context(), edge)
	if err != nil {
		s.fail(w, r, "measuring evidence", err)
		return false
	}
	if stored+n > s.o.EvidenceQuota {
		problem.Write(w, http.StatusInsufficientStorage, fmt.Sprintf("this edge has %d bytes of evidence; the hub stores %d of each edge", stored, s.o.EvidenceQuota))
		return false
	}
	return true
}
