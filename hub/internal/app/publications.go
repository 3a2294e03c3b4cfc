package app

import (
	"context"
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

// publicationLog writes to the audit log who publishes the video of a camera. An end that cannot be stored is
// stored later. Ends that wait are bounded by the publications whose beginnings were stored.
type publicationLog struct {
	db  *db.DB
	log *slog.Logger

	mu    sync.Mutex
	ended []publicationEnd
	wake  chan struct{} // capacity 1
}

// publicationEnd is the end of a publication that is not stored yet.
type publicationEnd struct {
	publication relay.Publication
	at          time.Time
	cause       devices.Cause
}

func newPublicationLog(d *db.DB, log *slog.Logger) *publicationLog {
	return &publicationLog{db: d, log: log, wake: make(chan struct{}, 1)}
}

func publicationObject(p relay.Publication) string {
	if p.Stream == "" {
		return p.Edge + "/" + p.Device
	}
	return p.Edge + "/" + p.Device + "/" + p.Stream
}

// Begin implements relay.Publications.
func (l *publicationLog) Begin(ctx context.Context, p relay.Publication) error {
	return l.db.Update(ctx, "begin_publication", func(t *db.Tx) error {
		audit.Append(t, p.User, "publish", publicationObject(p), "")
		return nil
	})
}

// End implements relay.Publications.
func (l *publicationLog) End(p relay.Publication, cause devices.Cause) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = append(l.ended, publicationEnd{p, l.db.Now().UTC(), cause})
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run stores ends until ctx ends, and then those that are left.
func (l *publicationLog) Run(ctx context.Context) error {
	backoff := retry.Policy{First: 200 * time.Millisecond, Longest: 10 * time.Second}.New()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-l.wake:
		}
		for ctx.Err() == nil {
			err := l.flush(ctx)
			if err == nil {
				backoff.Reset()
				break
			}
			l.log.Error("storing the ends of publications; it is tried again", "error", err)
			backoff.Wait(ctx)
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	if err := l.flush(last); err != nil {
		l.log.Error("storing the ends of publications", "error", err)
	}
	return nil
}

// flush stores the ends that wait, in one transaction.
func (l *publicationLog) flush(ctx context.Context) error {
	l.mu.Lock()
	all := slices.Clone(l.ended)
	l.mu.Unlock()
	if len(all) == 0 {
		return nil
	}
	err := l.db.Update(ctx, "end_publications", func(t *db.Tx) error {
		for _, e := range all {
			audit.Append(t, e.publication.User, "publish_end", publicationObject(e.publication), e.at.Format(time.RFC3339)+" "+e.cause.Text)
		}
		return nil
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = slices.Clone(l.ended[len(all):])
	return nil
}
