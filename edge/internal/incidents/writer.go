// Package incidents writes the alerts of all devices to the disk, and keeps those that cannot be
// written in memory until they can.
package incidents

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"gridpost/detection"
	"gridpost/devices/retry"
)

// NewID returns a new ID for an incident.
func NewID() string {
	// Version 7: IDs sort by the time of their making, and no two edges make the same (RFC 9562).
	id, err := uuid.NewV7()
	if err != nil { // no randomness: an incident with another kind of ID is better than none
		return uuid.NewSHA1(uuid.NameSpaceOID, []byte(time.Now().String())).String()
	}
	return id.String()
}

// Store saves an alert durably.
type Store interface {
	SaveIncident(ctx context.Context, inc detection.Incident) error
}

// Writer writes alerts in the order in which it gets them. Alerts that cannot be written, because
// the disk is full, wait in memory and are retried every second.
type Writer struct {
	store  Store
	logger *slog.Logger

	writing chan struct{} // held by the one that writes: a mutex that may be held over I/O

	mu      sync.Mutex
	pending []detection.Incident // at most maxPending; beyond it the oldest is lost, and counted
	cause   string               // why the last write failed; empty: it did not
	lost    uint64
}

const maxPending = 10_000

// New returns a Writer.
func New(s Store, logger *slog.Logger) *Writer {
	return &Writer{store: s, logger: logger, writing: make(chan struct{}, 1)}
}

// Save returns nil when all alerts that it was ever given are on the disk. Otherwise the rest is
// retried later, also when ctx has ended.
func (w *Writer) Save(ctx context.Context, alerts []detection.Incident) error {
	w.mu.Lock()
	if len(alerts)+len(w.pending) == 0 {
		w.mu.Unlock()
		return nil
	}
	w.pending = append(w.pending, alerts...)
	if over := len(w.pending) - maxPending; over > 0 {
		w.pending = w.pending[over:]
		w.lost += uint64(over)
	}
	w.mu.Unlock()
	return w.flush(context.WithoutCancel(ctx))
}

// flush writes all that waits, oldest first, up to the first failure.
func (w *Writer) flush(ctx context.Context) error {
	w.writing <- struct{}{}
	defer func() { <-w.writing }()
	for {
		w.mu.Lock()
		if len(w.pending) == 0 {
			w.cause, w.pending = "", nil
			w.mu.Unlock()
			return nil
		}
		inc := w.pending[0]
		w.mu.Unlock()
		err := w.store.SaveIncident(ctx, inc)
		w.mu.Lock()
		if err != nil {
			first := w.cause == ""
			w.cause = err.Error()
			w.mu.Unlock()
			if first {
				w.logger.Error("an incident cannot be saved; it is retried every second", "error", err)
			}
			return err
		}
		// Save may have dropped it meanwhile, to keep the bound.
		if len(w.pending) > 0 && w.pending[0].ID == inc.ID && w.pending[0].Version == inc.Version {
			w.pending = w.pending[1:]
		}
		w.mu.Unlock()
		if inc.Version == 1 || inc.State == detection.Closed {
			w.logger.Info("incident", "id", inc.ID, "device", inc.Device, "rule", inc.Rule, "state", inc.State)
		}
	}
}

// Run retries what could not be written, until ctx ends.
func (w *Writer) Run(ctx context.Context) error {
	for retry.Sleep(ctx, time.Second) {
		_ = w.flush(ctx) // its failure is in State
	}
	_ = w.flush(context.WithoutCancel(ctx))
	return nil
}

// State returns why alerts cannot be written, how many wait, and how many were lost.
func (w *Writer) State() (cause string, waiting int, lost uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cause, len(w.pending), w.lost
}
