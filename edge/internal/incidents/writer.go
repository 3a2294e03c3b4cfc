// Package incidents writes the alerts of all devices to the disk, and keeps those that cannot be
// written in memory until they can.
package incidents

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/devices/retry"
)

// Store saves alerts durably.
type Store interface {
	// SaveIncidents returns nil when all are on the disk; otherwise none is. It may be called
	// concurrently.
	SaveIncidents(ctx context.Context, all []detection.Incident) error
}

const (
	maxWaiting = 10_000 // alerts in memory, of all devices; beyond it the oldest of the device with most is lost, and counted
	maxSlice   = 100    // alerts in one write

	// An alert that failed so often, while others were written, can never be written.
	maxFailures = 60
)

// Writer writes the alerts of each device in the order in which it gets them. Devices do not wait
// for each other. Alerts that cannot be written, because the disk is full, wait in memory and are
// retried every second.
type Writer struct {
	store  Store
	logger *slog.Logger

	mu      sync.Mutex
	queues  map[string]*queue // by device, of those whose alerts wait or are being written
	waiting int               // alerts in all queues
	written uint64            // successful writes
	cause   error             // why the last write failed; nil: it did not
	lost    uint64
}

// queue holds the alerts of one device. Writer.mu guards its alerts.
type queue struct {
	alerts []waiting
	busy   chan struct{} // held by the one that writes: a mutex that may be held over I/O
}

// waiting is an alert that is not on the disk yet.
type waiting struct {
	incident detection.Incident
	failures int    // of writing it alone
	written  uint64 // Writer.written at its first failure
}

// New returns a Writer.
func New(s Store, logger *slog.Logger) *Writer {
	return &Writer{store: s, logger: logger, queues: map[string]*queue{}}
}

// Save writes alerts of a device. It returns nil when all alerts of the device that it was ever given
// are on the disk, whatever other devices wait for; otherwise the rest is retried later, also when
// ctx has ended. Alerts of one device are given by one goroutine at a time.
func (w *Writer) Save(ctx context.Context, device string, alerts []detection.Incident) error {
	w.mu.Lock()
	q := w.queues[device]
	if q == nil {
		if len(alerts) == 0 {
			w.mu.Unlock()
			return nil
		}
		q = &queue{busy: make(chan struct{}, 1)}
		w.queues[device] = q
	}
	for _, inc := range alerts {
		q.alerts = append(q.alerts, waiting{incident: inc})
	}
	w.waiting += len(alerts)
	w.bound()
	w.mu.Unlock()
	if err := w.flush(context.WithoutCancel(ctx), device, q); err != nil {
		return fmt.Errorf("saving the incidents of %s: %w", device, err)
	}
	return nil
}

// bound drops alerts until no more than maxWaiting are left. w.mu is held.
func (w *Writer) bound() {
	for ; w.waiting > maxWaiting; w.waiting-- {
		var longest *queue
		for _, q := range w.queues {
			if longest == nil || len(q.alerts) > len(longest.alerts) {
				longest = q
			}
		}
		longest.alerts = longest.alerts[1:]
		w.lost++
	}
}

// flush writes what waits for a device, oldest first.
func (w *Writer) flush(ctx context.Context, device string, q *queue) error {
	q.busy <- struct{}{}
	defer func() { <-q.busy }()
	for {
		w.mu.Lock()
		if len(q.alerts) == 0 {
			if w.queues[device] == q {
				delete(w.queues, device)
			}
			w.mu.Unlock()
			return nil
		}
		var slice []detection.Incident
		for _, a := range q.alerts[:min(len(q.alerts), maxSlice)] {
			slice = append(slice, a.incident)
		}
		w.mu.Unlock()
		err := w.write(ctx, q, slice)
		if err != nil && len(slice) > 1 {
			err = w.writeSingly(ctx, q, slice)
		}
		if err != nil {
			return err
		}
	}
}

// writeSingly writes what could not be written together, so that one alert that can never be written
// holds back only those of its own incident.
func (w *Writer) writeSingly(ctx context.Context, q *queue, slice []detection.Incident) error {
	var errs error
	failed := map[string]bool{}
	for _, inc := range slice {
		if failed[inc.ID] {
			continue
		}
		if err := w.write(ctx, q, []detection.Incident{inc}); err != nil {
			failed[inc.ID] = true
			if errs == nil {
				errs = err
			}
			if len(failed) == 3 { // it is not the alert
				break
			}
		}
	}
	return errs
}

// write writes alerts at once and takes them from the queue.
func (w *Writer) write(ctx context.Context, q *queue, slice []detection.Incident) error {
	err := w.store.SaveIncidents(ctx, slice)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		if w.cause == nil {
			w.logger.Error("incidents cannot be saved; they are retried every second", "error", err)
		}
		w.cause = err
		if len(slice) == 1 {
			w.failed(q, slice[0])
		}
		return err
	}
	w.written++
	for _, inc := range slice {
		w.remove(q, inc)
		if inc.Version == 1 || inc.State == detection.Closed {
			w.logger.Info("incident", "id", inc.ID, "device", inc.Device, "rule", inc.Rule, "state", inc.State)
		}
	}
	if w.waiting == 0 {
		w.cause = nil
	}
	return nil
}

// remove takes an alert from the queue, unless bound has dropped it meanwhile. w.mu is held.
func (w *Writer) remove(q *queue, inc detection.Incident) {
	if i := q.index(inc); i >= 0 {
		q.alerts = slices.Delete(q.alerts, i, i+1)
		w.waiting--
	}
}

// failed counts a failure of an alert by itself, and gives it up when only it fails. w.mu is held.
func (w *Writer) failed(q *queue, inc detection.Incident) {
	i := q.index(inc)
	if i < 0 {
		return
	}
	a := &q.alerts[i]
	if a.failures == 0 {
		a.written = w.written
	}
	a.failures++
	if a.failures < maxFailures || w.written < a.written+maxFailures {
		return
	}
	w.logger.Error("an alert can never be saved and is lost", "incident", inc.ID, "version", inc.Version, "error", w.cause)
	w.remove(q, inc)
	w.lost++
}

func (q *queue) index(inc detection.Incident) int {
	return slices.IndexFunc(q.alerts, func(a waiting) bool {
		return a.incident.ID == inc.ID && a.incident.Version == inc.Version
	})
}

// Run retries what could not be written, until ctx ends.
func (w *Writer) Run(ctx context.Context) error {
	for retry.Sleep(ctx, time.Second) {
		w.flushAll(ctx)
	}
	w.flushAll(context.WithoutCancel(ctx))
	return nil
}

// flushAll tries the devices one after the other. Failures are in Problems.
func (w *Writer) flushAll(ctx context.Context) {
	w.mu.Lock()
	all := make(map[string]*queue, len(w.queues))
	for device, q := range w.queues {
		all[device] = q
	}
	w.mu.Unlock()
	for device, q := range all {
		_ = w.flush(ctx, device, q)
	}
}

// Problems returns whether alerts are lost or only in memory, and why.
func (w *Writer) Problems() []devices.Cause {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []devices.Cause
	if w.lost > 0 {
		out = append(out, devices.NewCause("alerts_lost", "count", strconv.FormatUint(w.lost, 10)))
	}
	if w.cause != nil && w.waiting > 0 {
		out = append(out, devices.NewCause("alerts_in_memory", "count", strconv.Itoa(w.waiting)).BecauseOf(w.cause))
	}
	return out
}

// Stats are the counters of a Writer.
type Stats struct {
	Waiting int    // alerts in memory only, now
	Lost    uint64 // alerts that were given up
}

// Stats may be called at any time, from any goroutine.
func (w *Writer) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Stats{Waiting: w.waiting, Lost: w.lost}
}
