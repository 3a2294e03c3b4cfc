package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"gridpost/devices"
	"gridpost/devices/retry"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/relay"
	"gridpost/hub/internal/store/audit"
)

// Bounds of a publicationLog.
const (
	recordEvery  = 5 * time.Second  // entries about publications of edges wait for others at most this long
	repeatWindow = 10 * time.Minute // in which maxRecorded publications of a stream by its edge have entries of their own
	maxRecorded  = 12
	maxWaiting   = 4096 // entries that wait; publications of edges beyond are counted only
	maxTogether  = 500  // entries written in one transaction
)

// publicationLog writes to the audit log who publishes the video of a camera.
//
// A publication by a person or a token, which takes the place of a camera, is stored before it begins. One by
// the camera's edge follows from a view, which is stored before it begins; its entries are written together with others
// within recordEvery and cost the view no transaction. A hub that is killed loses those of this time.
//
// An entry that cannot be stored is stored later. What waits is bounded: of an edge that publishes a stream again and
// again, the publications after maxRecorded in a repeatWindow are counted, and one entry has their number.
type publicationLog struct {
	db  *db.DB
	log *slog.Logger

	mu      sync.Mutex
	waiting []publicationEntry
	repeats map[string]*repeats // by publicationObject, of the publications of edges within repeatWindow
	wake    chan struct{}       // capacity 1
}

// publicationEntry is an entry of the audit log that is not stored yet.
type publicationEntry struct{ who, action, object, detail string }

// repeats are the publications of a stream by its edge in a repeatWindow.
type repeats struct {
	who      string
	since    time.Time
	recorded int    // with entries of their own
	counted  int    // without
	last     string // why the last of counted that has ended did
}

func newPublicationLog(d *db.DB, log *slog.Logger) *publicationLog {
	return &publicationLog{db: d, log: log, repeats: map[string]*repeats{}, wake: make(chan struct{}, 1)}
}

func publicationObject(p relay.Publication) string {
	if p.Stream == "" {
		return p.Edge + "/" + p.Device
	}
	return p.Edge + "/" + p.Device + "/" + p.Stream
}

// Begin implements relay.Publications.
func (l *publicationLog) Begin(ctx context.Context, p relay.Publication) (end func(devices.Cause), err error) {
	if p.ByEdge() {
		return l.beginByEdge("edge "+p.Edge, publicationObject(p)), nil
	}
	e := publicationEntry{who: p.User, action: "publish", object: publicationObject(p)}
	err = l.db.Update(ctx, "begin_publication", func(t *db.Tx) error {
		audit.Append(t, e.who, e.action, e.object, e.detail)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return func(cause devices.Cause) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.add(e.who, "publish end", e.object, cause.Text)
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}, nil
}

// beginByEdge is Begin for a publication by the camera's edge.
func (l *publicationLog) beginByEdge(who, object string) (end func(devices.Cause)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.repeats[object]
	if r == nil {
		r = &repeats{who: who, since: l.db.Now()}
		l.repeats[object] = r
	}
	if r.recorded >= maxRecorded || len(l.waiting) >= maxWaiting {
		r.counted++
		return func(cause devices.Cause) {
			l.mu.Lock()
			defer l.mu.Unlock()
			r.last = cause.Text
		}
	}
	r.recorded++
	l.add(who, "publish", object, "")
	return func(cause devices.Cause) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.add(who, "publish end", object, cause.Text)
	}
}

// add adds an entry about what has happened now. mu is held.
func (l *publicationLog) add(who, action, object, why string) {
	detail := l.db.Now().UTC().Format(time.RFC3339)
	if why != "" {
		detail += " " + why
	}
	l.waiting = append(l.waiting, publicationEntry{who, action, object, detail})
}

// Run stores entries until ctx ends, and then those that are left.
func (l *publicationLog) Run(ctx context.Context) error {
	backoff := retry.Policy{First: 200 * time.Millisecond, Longest: 10 * time.Second}.New()
	tick := time.NewTicker(recordEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-tick.C:
		}
		for ctx.Err() == nil {
			err := l.flush(ctx, l.db.Now().Add(-repeatWindow))
			if err == nil {
				backoff.Reset()
				break
			}
			l.log.Error("storing who has published video; it is tried again", "error", err)
			backoff.Wait(ctx)
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	if err := l.flush(last, l.db.Now()); err != nil {
		l.log.Error("storing who has published video", "error", err)
	}
	return nil
}

// flush stores the entries that wait, with those of the repeats that began at over or before.
func (l *publicationLog) flush(ctx context.Context, over time.Time) error {
	l.mu.Lock()
	l.finish(over)
	left := len(l.waiting)
	l.mu.Unlock()
	for left > 0 {
		n, err := l.store(ctx)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// store stores the first entries that wait, in one transaction, and returns how many. It is called by one goroutine at
// a time.
func (l *publicationLog) store(ctx context.Context) (n int, err error) {
	l.mu.Lock()
	some := slices.Clone(l.waiting[:min(len(l.waiting), maxTogether)])
	l.mu.Unlock()
	err = l.db.Update(ctx, "record_publications", func(t *db.Tx) error {
		for _, e := range some {
			audit.Append(t, e.who, e.action, e.object, e.detail)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = slices.Clone(l.waiting[len(some):])
	return len(some), nil
}

// finish adds the entries of repeats that began at over or before, and begins anew with those. mu is held.
func (l *publicationLog) finish(over time.Time) {
	for object, r := range l.repeats {
		if r.since.After(over) {
			continue
		}
		if r.counted > 0 {
			if len(l.waiting) >= maxWaiting {
				continue // it is counted on
			}
			why := fmt.Sprintf("%d more since %s", r.counted, r.since.UTC().Format(time.RFC3339))
			if r.last != "" {
				why += "; the last end: " + r.last
			}
			l.add(r.who, "publish repeated", object, why)
		}
		delete(l.repeats, object)
	}
}
