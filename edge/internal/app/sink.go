package app

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gridpost/detection"
)

// incidentKeeper keeps an alert for good.
type incidentKeeper interface {
	SaveIncident(ctx context.Context, inc detection.Incident) error
}

// sink keeps alerts in the order in which it gets them. Alerts that cannot be kept, because the
// disk is full, wait in memory and are tried again every second.
type sink struct {
	store  incidentKeeper
	logger *slog.Logger

	writing chan struct{} // held by the one that writes: a mutex that may be held over I/O

	mu      sync.Mutex
	pending []detection.Incident // at most maxPending; beyond it the oldest is lost, and counted
	cause   string               // why the last write failed; empty: it did not
	lost    uint64
}

const maxPending = 10_000

func newSink(s incidentKeeper, logger *slog.Logger) *sink {
	return &sink{store: s, logger: logger, writing: make(chan struct{}, 1)}
}

// save returns nil when all that it was ever given is on the disk. Otherwise what is not is
// tried again later, also when ctx has ended.
func (k *sink) save(ctx context.Context, alerts []detection.Incident) error {
	k.mu.Lock()
	if len(alerts)+len(k.pending) == 0 {
		k.mu.Unlock()
		return nil
	}
	k.pending = append(k.pending, alerts...)
	if over := len(k.pending) - maxPending; over > 0 {
		k.pending = k.pending[over:]
		k.lost += uint64(over)
	}
	k.mu.Unlock()
	return k.flush(context.WithoutCancel(ctx))
}

// flush writes all that waits, oldest first, up to the first failure.
func (k *sink) flush(ctx context.Context) error {
	k.writing <- struct{}{}
	defer func() { <-k.writing }()
	for {
		k.mu.Lock()
		if len(k.pending) == 0 {
			k.cause, k.pending = "", nil
			k.mu.Unlock()
			return nil
		}
		inc := k.pending[0]
		k.mu.Unlock()
		err := k.store.SaveIncident(ctx, inc)
		k.mu.Lock()
		if err != nil {
			first := k.cause == ""
			k.cause = err.Error()
			k.mu.Unlock()
			if first {
				k.logger.Error("an incident cannot be kept; it is tried again every second", "error", err)
			}
			return err
		}
		// save may have dropped it meanwhile, to keep the bound.
		if len(k.pending) > 0 && k.pending[0].ID == inc.ID && k.pending[0].Version == inc.Version {
			k.pending = k.pending[1:]
		}
		k.mu.Unlock()
		if inc.Version == 1 || inc.State == detection.Closed {
			k.logger.Info("incident", "id", inc.ID, "device", inc.Device, "rule", inc.Rule, "state", inc.State)
		}
	}
}

// run tries again what could not be kept.
func (k *sink) run(ctx context.Context) error {
	for sleep(ctx, time.Second) {
		_ = k.flush(ctx) // its failure is in state
	}
	_ = k.flush(context.WithoutCancel(ctx))
	return nil
}

// state returns why alerts cannot be kept, how many wait, and how many were lost.
func (k *sink) state() (cause string, waiting int, lost uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cause, len(k.pending), k.lost
}
