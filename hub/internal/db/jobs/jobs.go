// Package jobs runs deferred work: rows that are due at a time and that one worker of one hub runs at a
// time.
//
// What always holds: who runs a job holds a lease on it, which it renews. A job whose owner crashes is
// run by another when the lease has expired. Only the owner ends a job: what the job writes and its end
// can be one transaction, in which an owner that has lost the lease gets ErrLost. A job that has ended
// never runs again; one that fails runs again, after a pause that grows.
package jobs

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gridpost/hub/internal/db"
)

// Errors that callers branch on.
var (
	ErrLost = errors.New("the lease has expired and another owner has it, or the work was removed")
	ErrHeld = errors.New("another owner holds the lease")
)

// maxError bounds the text of an error that is stored, in bytes.
const maxError = 1000

// Job is a row of deferred work.
type Job struct {
	ID       int64
	Kind     string
	Key      string
	Due      time.Time
	Payload  json.RawMessage
	Attempts int // begun since it was enqueued, with the present one
}

// Enqueue adds a job, or changes the one that the kind has for the key: it gets the payload, and the
// earlier of both due times. When that one runs just now, it runs once more afterwards.
func Enqueue(t *db.Tx, kind, key string, payload any, due time.Time) error {
	text, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("encoding job %s %s: %w", kind, key, err)
	}
	if _, err := t.Exec(`INSERT INTO jobs(kind, key, payload, due_at) VALUES (?, ?, ?, ?)
		ON CONFLICT(kind, key) DO UPDATE SET payload = excluded.payload, version = jobs.version + 1, attempts = 0, last_error = '',
			due_at = CASE WHEN jobs.due_at < excluded.due_at AND jobs.owned_until = 0 THEN jobs.due_at ELSE excluded.due_at END`,
		kind, key, string(text), db.Millis(due)); err != nil {
		return fmt.Errorf("enqueueing job %s %s: %w", kind, key, err)
	}
	t.Notify(db.Jobs, kind)
	return nil
}

// enqueueOnce adds a job that is due now if the kind has none for the key.
func enqueueOnce(t *db.Tx, kind, key string) error {
	if _, err := t.Exec(`INSERT INTO jobs(kind, key, payload, due_at) VALUES (?, ?, 'null', ?) ON CONFLICT DO NOTHING`,
		kind, key, db.Millis(t.Now())); err != nil {
		return fmt.Errorf("enqueueing job %s %s: %w", kind, key, err)
	}
	return nil
}

// Remove removes a job. When it runs just now, its owner gets ErrLost at its end.
func Remove(t *db.Tx, kind, key string) error {
	if _, err := t.Exec(`DELETE FROM jobs WHERE kind = ? AND key = ?`, kind, key); err != nil {
		return fmt.Errorf("removing job %s %s: %w", kind, key, err)
	}
	return nil
}

// Oldest returns when the job was due that has waited longest and does not run; ok is false when none
// waits.
func Oldest(ctx context.Context, d *db.DB) (due time.Time, ok bool, err error) {
	var ms int64
	err = d.Read(ctx).One(`SELECT due_at FROM jobs WHERE owned_until = 0 AND due_at <= ? ORDER BY due_at LIMIT 1`, db.Millis(d.Now()))(&ms)
	if errors.Is(err, db.ErrNotFound) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, fmt.Errorf("looking for the oldest job: %w", err)
	}
	return db.FromMillis(ms), true, nil
}

// Claim is a job that this process runs.
type Claim struct {
	Job
	Lease

	version int64
	ended   bool // Done or Later was committed, as far as the handler knows
}

// claim takes the job of a kind that is due longest. It returns nil if none is due.
func claim(ctx context.Context, d *db.DB, kind string, ttl time.Duration) (c *Claim, err error) {
	err = d.Update(ctx, "claim_job", func(t *db.Tx) error {
		c = nil
		now, err := t.Clock()
		if err != nil {
			return err
		}
		skip := t.ForUpdate()
		if skip != "" {
			skip += " SKIP LOCKED"
		}
		got := &Claim{Job: Job{Kind: kind}}
		got.owner, got.began, got.ttl, got.d = rand.Text(), time.Now(), ttl, d
		// Of the jobs whose owner has lost its lease first: there are few.
		for _, where := range []string{`owned_until > 0 AND owned_until <= ? ORDER BY owned_until`, `owned_until = 0 AND due_at <= ? ORDER BY due_at, id`} {
			var due int64
			var payload string
			err := t.One(`UPDATE jobs SET owner = ?, owned_until = ?, attempts = attempts + 1
				WHERE id = (SELECT id FROM jobs WHERE kind = ? AND `+where+` LIMIT 1`+skip+`)
				RETURNING id, key, due_at, payload, version, attempts`,
				got.owner, db.Millis(now.Add(ttl)), kind, db.Millis(now))(&got.id, &got.Key, &due, &payload, &got.version, &got.Attempts)
			if errors.Is(err, db.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			got.ID, got.Due, got.Payload = got.id, db.FromMillis(due), json.RawMessage(payload)
			c = got
			return nil
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claiming a job %s: %w", kind, err)
	}
	return c, nil
}

// Done ends the job, in a transaction of the handler. A job that was enqueued again meanwhile stays. It
// returns ErrLost when another owner has the job.
func (c *Claim) Done(t *db.Tx) error {
	c.ended = true
	err := t.Affected(`DELETE FROM jobs WHERE id = ? AND owner = ? AND version = ?`, c.id, c.owner, c.version)
	if errors.Is(err, db.ErrNotFound) {
		t.Notify(db.Jobs, c.Kind)
		err = t.Affected(`UPDATE jobs SET owner = '', owned_until = 0 WHERE id = ? AND owner = ?`, c.id, c.owner)
	}
	return c.lost(err)
}

// Later lets the job run again at a time, with a payload, in a transaction of the handler. A job that
// was enqueued again meanwhile keeps its new payload and the earlier time.
func (c *Claim) Later(t *db.Tx, due time.Time, payload any) error {
	text, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("encoding job %s %s: %w", c.Kind, c.Key, err)
	}
	c.ended = true
	return c.release(t, due, string(text), "", 0)
}

// release gives the job back.
func (c *Claim) release(t *db.Tx, due time.Time, payload, lastError string, attempts int) error {
	t.Notify(db.Jobs, c.Kind)
	return c.lost(t.Affected(`UPDATE jobs SET owner = '', owned_until = 0,
		due_at = CASE WHEN version = CAST(?1 AS BIGINT) OR due_at > CAST(?2 AS BIGINT) THEN CAST(?2 AS BIGINT) ELSE due_at END,
		payload = CASE WHEN version = CAST(?1 AS BIGINT) THEN ?3 ELSE payload END,
		attempts = CASE WHEN version = CAST(?1 AS BIGINT) THEN CAST(?4 AS BIGINT) ELSE attempts END,
		last_error = CASE WHEN version = CAST(?1 AS BIGINT) THEN ?5 ELSE last_error END
		WHERE id = ?6 AND owner = ?7`, c.version, db.Millis(due), payload, attempts, lastError, c.id, c.owner))
}

// next returns when a job of a kind is due or a lease on one expires; ok is false when there is none.
func next(ctx context.Context, d *db.DB, kind string) (at time.Time, ok bool, err error) {
	r := d.Read(ctx)
	for _, text := range []string{
		`SELECT due_at FROM jobs WHERE kind = ? AND owned_until = 0 ORDER BY due_at LIMIT 1`,
		`SELECT owned_until FROM jobs WHERE kind = ? AND owned_until > 0 ORDER BY owned_until LIMIT 1`,
	} {
		var ms int64
		switch err := r.One(text, kind)(&ms); {
		case errors.Is(err, db.ErrNotFound):
		case err != nil:
			return at, false, fmt.Errorf("looking for the next job %s: %w", kind, err)
		case !ok || db.FromMillis(ms).Before(at):
			at, ok = db.FromMillis(ms), true
		}
	}
	return at, ok, nil
}
