// Package alerts stores webhook targets, alerts, and the deliveries of alerts to targets. It is the
// durable queue of package notify.
//
// What always holds: an alert and its deliveries are written in the transaction of the change that
// it reports. A pending delivery is either free or held: it is held while an earlier pending
// delivery of its target and incident has been attempted fewer than notify.OrderAttempts times, so
// that each read of the queue visits only deliveries that may be sent. Outcomes are recorded only
// by the hub that holds the target's lease.
//
// Each transaction that enqueues, records or gives up deliveries of a target locks the target's row
// first: a delivery is never left held when nothing is before it.
package alerts

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gridpost/devices"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/notify"
)

// Options of a Repository.
type Options struct {
	// GiveUpAfter is the age at which deliveries are given up; default notify.GiveUpAfter.
	GiveUpAfter time.Duration
}

// Repository stores webhook targets and their deliveries. Its methods may be called from any
// goroutine.
type Repository struct {
	d *db.DB
	o Options
}

// New returns the repository on a database.
func New(d *db.DB, o Options) *Repository {
	if o.GiveUpAfter == 0 {
		o.GiveUpAfter = notify.GiveUpAfter
	}
	return &Repository{d: d, o: o}
}

// GiveUpAfter returns the age at which deliveries are given up.
func (r *Repository) GiveUpAfter() time.Duration { return r.o.GiveUpAfter }

// Webhook is one target of alerts.
type Webhook struct {
	ID       string
	Kind     string // see notify.Target
	URL      string
	Settings notify.Settings
	Secrets  []string // newest first; see notify.Target
	Format   int      // of events; see notify.Target
	Created  time.Time
	Disabled devices.Cause // why nothing is sent; zero: it is enabled
	Pending  int           // deliveries that wait, counted up to MaxCount
	Dead     int           // deliveries that were given up and not removed yet, counted up to MaxCount
	Failing  *Failure      // nil: nothing waits for another attempt
}

// MaxCount bounds what a list of webhooks counts, so that it does not read a million rows.
const MaxCount = 10_000

// Failure is the last attempt that failed, while its alert waits for another one.
type Failure struct {
	At    time.Time
	Cause devices.Cause
	Next  time.Time // when the next attempt of any delivery to the target is due
}

// Delivery is the state of one alert's delivery to a target.
type Delivery struct {
	ID       string
	Incident string
	Kind     string // a notify.AlertKind, as the target's format has it
	Sequence int64  // number among the deliveries to the target, without gaps
	State    string // a notify.State
	Attempts int
	Status   int // of the last HTTP response; 0: there was none
	Cause    devices.Cause
	Queued   time.Time
	Last     *time.Time // last attempt
	Next     *time.Time // next attempt; nil unless it is pending
}

// causeColumns returns a cause as it is stored: English sentence, code, parameters as JSON.
func causeColumns(c devices.Cause) (text, code, params string, err error) {
	body, err := json.Marshal(c.Params)
	if err != nil {
		return "", "", "", fmt.Errorf("encoding a cause: %w", err)
	}
	if c.Params == nil {
		body = []byte("{}")
	}
	return c.Text, c.Code, string(body), nil
}

// causeOf is the inverse of causeColumns.
func causeOf(text, code, params string) (devices.Cause, error) {
	c := devices.Cause{Text: text, Code: code}
	if params == "" || params == "{}" {
		return c, nil
	}
	if err := json.Unmarshal([]byte(params), &c.Params); err != nil {
		return c, fmt.Errorf("reading the parameters of a cause: %w", err)
	}
	return c, nil
}

// lock locks the row of a target until the transaction ends. It returns db.ErrNotFound when the target does
// not exist or was removed.
func lock(t *db.Tx, target string) error {
	var one int
	return t.One(`SELECT 1 FROM webhooks WHERE id = ? AND removed_at IS NULL`+t.ForUpdate(), target)(&one)
}

// Source returns the source of the installation's events: a URN with the UUID that its database was given when
// it was created. Hubs that share a database are one installation.
func (r *Repository) Source(ctx context.Context) (string, error) {
	var id string
	if err := r.d.Read(ctx).One(`SELECT uuid FROM installation WHERE id = 1`)(&id); err != nil {
		return "", fmt.Errorf("reading the ID of the installation: %w", err)
	}
	return "urn:gridpost:hub:" + id, nil
}

const oldestQuery = `SELECT min(t.queued_at) FROM (SELECT (SELECT min(d.queued_at) FROM deliveries d
	WHERE d.target = w.id AND d.state = 'pending') AS queued_at FROM webhooks w) t`

// OldestPending returns when the oldest pending delivery was enqueued; the zero time if there is none.
func (r *Repository) OldestPending(ctx context.Context) (time.Time, error) {
	var oldest *int64
	err := r.d.Read(ctx).One(oldestQuery)(&oldest)
	if err != nil {
		return time.Time{}, fmt.Errorf("looking for the oldest delivery: %w", err)
	}
	if oldest == nil {
		return time.Time{}, nil
	}
	return db.FromMillis(*oldest), nil
}
