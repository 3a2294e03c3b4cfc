package alerts

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"gridpost/devices"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/notify"
	"gridpost/hub/internal/problem"
)

// batch is how many deliveries one small transaction changes.
const batch = 200

// Targets implements notify.Queue.
func (r *Repository) Targets(ctx context.Context) ([]notify.Target, error) {
	all, err := db.Collect(func(scan func(...any) error) (target notify.Target, err error) {
		var secrets, settings string
		if err := scan(&target.ID, &target.Kind, &target.URL, &settings, &secrets, &target.Format); err != nil {
			return target, err
		}
		return target, errors.Join(json.Unmarshal([]byte(secrets), &target.Secrets), json.Unmarshal([]byte(settings), &target.Settings))
	})(r.d.Read(ctx).Rows(`SELECT id, kind, url, settings, secrets, format FROM webhooks WHERE disabled = '' AND removed_at IS NULL ORDER BY created_at, id`))
	if err != nil {
		return nil, fmt.Errorf("listing webhook targets: %w", err)
	}
	return all, nil
}

func scanDue(scan func(...any) error) (d notify.Delivery, err error) {
	var queued, at int64
	var data string
	err = scan(&d.ID, &d.Target, &d.Sequence, &d.Attempts, &queued, &d.Alert.ID, &d.Alert.Kind1, &d.Alert.Kind, &d.Alert.Incident, &d.Alert.Device, &at, &data)
	d.Queued, d.Alert.Time, d.Alert.Data = db.FromMillis(queued), db.FromMillis(at), json.RawMessage(data)
	if d.Alert.Kind == "" {
		d.Alert.Kind = d.Alert.Kind1
	}
	return d, err
}

// Texts of the queue. Deliveries up to dropped_to are about to be given up; see Drop.
const (
	dueColumns = `SELECT d.id, d.target, d.number, d.attempts, d.queued_at, a.event, a.kind, a.type, a.incident, a.device, a.at, a.data
		FROM deliveries d JOIN alerts a ON a.seq = d.seq WHERE d.target = ?1 AND d.state = 'pending' AND d.held = 0
		AND d.number > (SELECT w.dropped_to FROM webhooks w WHERE w.id = ?1) `
	dueQuery    = dueColumns + `AND d.next_at <= ?2 ORDER BY d.next_at, d.seq LIMIT ?3`
	futureQuery = dueColumns + `AND d.next_at > ?2 ORDER BY d.next_at, d.seq LIMIT ?3`
	nextQuery   = `SELECT min(next_at) FROM deliveries WHERE target = ? AND state = 'pending' AND held = 0 AND next_at > ?`
	oldQuery    = `SELECT id FROM deliveries WHERE target = ?1 AND state = 'pending' AND queued_at < ?2 ORDER BY queued_at LIMIT ?3`
	waitQuery   = `SELECT id FROM deliveries WHERE target = ?1 AND state = 'pending' AND held = 0 AND next_at > ?2 ORDER BY next_at LIMIT ?3`
)

// Due implements notify.Deliveries.
func (l *lease) Due(ctx context.Context, now time.Time, limit int) ([]notify.Delivery, time.Time, error) {
	read := l.r.d.Read(ctx)
	due, err := db.Collect(scanDue)(read.Rows(dueQuery, l.target, db.Millis(now), limit))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("reading due deliveries: %w", err)
	}
	if len(due) == limit {
		return due, now, nil
	}
	// What is due later than any attempt is put off was scheduled before the clock was set back.
	ahead, err := db.Collect(scanDue)(read.Rows(futureQuery, l.target, db.Millis(now.Add(notify.LongestWait)), limit-len(due)))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("reading due deliveries: %w", err)
	}
	due = append(due, ahead...)
	var next sql.NullInt64
	if err := read.One(nextQuery, l.target, db.Millis(now))(&next); err != nil {
		return nil, time.Time{}, fmt.Errorf("looking for the next delivery: %w", err)
	}
	if !next.Valid {
		return due, time.Time{}, nil
	}
	return due, db.FromMillis(next.Int64), nil
}

// earlierQuery returns the newest first.
const earlierQuery = `SELECT a.event, a.at FROM deliveries d JOIN alerts a ON a.seq = d.seq
	WHERE d.target = ?1 AND d.incident = ?2 AND d.number < ?3 AND d.state = 'delivered' AND a.event <> '' ORDER BY d.number DESC LIMIT ?4`

// Earlier implements notify.Deliveries. Alerts of versions whose events had no UUID are left out.
func (l *lease) Earlier(ctx context.Context, d notify.Delivery, limit int) ([]notify.Reference, error) {
	all, err := db.Collect(func(scan func(...any) error) (ref notify.Reference, err error) {
		var at int64
		err = scan(&ref.ID, &at)
		ref.Time = db.FromMillis(at)
		return ref, err
	})(l.r.d.Read(ctx).Rows(earlierQuery, l.target, d.Alert.Incident, d.Sequence, limit))
	if err != nil {
		return nil, fmt.Errorf("reading earlier deliveries of an incident: %w", err)
	}
	slices.Reverse(all)
	return all, nil
}

// Record implements notify.Deliveries.
func (l *lease) Record(ctx context.Context, outcomes []notify.Outcome) error {
	return l.update(ctx, "webhook_outcomes", func(t *db.Tx) error {
		for _, o := range outcomes {
			if err := record(t, l.target, o); err != nil {
				return err
			}
			if !o.Disable.IsZero() {
				if err := disable(t, "hub", l.target, o.Disable); err != nil {
					return err
				}
			}
		}
		return pause(t, l.target, outcomes)
	})
}

func record(t *db.Tx, target string, o notify.Outcome) error {
	text, code, params, err := causeColumns(o.Cause)
	if err != nil {
		return err
	}
	err = t.Affected(`UPDATE deliveries SET attempts = ?, next_at = ?, state = ?, status = ?, cause = ?, cause_code = ?, cause_params = ?, last_at = ?
		WHERE id = ? AND target = ? AND state = 'pending'`,
		o.Attempt, db.Millis(o.Next), string(o.State), o.Status, text, code, params, db.Millis(o.At), o.Delivery, target)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("recording a delivery: %w", err)
	case o.State == notify.Pending && o.Attempt < notify.OrderAttempts:
		return nil // those behind it go on waiting
	}
	return release(t, target, o.Incident)
}

// pause saves the longest pause that the target asked for. A later answer with a shorter one, such as that to a
// request that was sent at the same time, does not shorten it. One that is longer than any pause was saved by
// a clock that has been set back since.
func pause(t *db.Tx, target string, outcomes []notify.Outcome) error {
	var until time.Time
	for _, o := range outcomes {
		if o.Pause.After(until) {
			until = o.Pause
		}
	}
	if until.IsZero() {
		return nil
	}
	if err := t.Affected(`UPDATE webhooks SET paused_until = CASE WHEN paused_until > ?1 AND paused_until <= ?2 THEN paused_until ELSE ?1 END WHERE id = ?3`,
		db.Millis(until), db.Millis(t.Now().Add(notify.LongestPause)), target); err != nil {
		return fmt.Errorf("saving the pause of a webhook: %w", err)
	}
	return nil
}

// SavePace implements notify.Lease.
func (l *lease) SavePace(ctx context.Context, p notify.Pace) error {
	return l.update(ctx, "webhook_pace", func(t *db.Tx) error {
		var until int64
		if !p.Until.IsZero() {
			until = db.Millis(p.Until)
		}
		if err := t.Affected(`UPDATE webhooks SET paused_until = ?, failures = ? WHERE id = ?`, until, p.Failures, l.target); err != nil {
			return fmt.Errorf("saving the back-off of webhook %s: %w", l.target, err)
		}
		return nil
	})
}

// GiveUp implements notify.Backlog.
func (l *lease) GiveUp(ctx context.Context, before time.Time) (n int, more bool, err error) {
	err = l.update(ctx, "webhook_give_up", func(t *db.Tx) error {
		n, err = giveUp(t, l.target, gaveUp(t.Now().Sub(before)), oldQuery, l.target, db.Millis(before), batch)
		return err
	})
	return n, n == batch, err
}

// gaveUp is the cause of a delivery that is given up without an attempt.
func gaveUp(age time.Duration) devices.Cause {
	return problem.NewCause("delivery_expired", "age_seconds", strconv.FormatInt(int64(age.Seconds()), 10))
}

// giveUp marks the deliveries of a target that query selects as dead, and releases those behind them.
// A delivery that has been attempted keeps the cause of its last attempt.
func giveUp(t *db.Tx, target string, cause devices.Cause, query string, args ...any) (int, error) {
	ids, err := db.Collect(db.ScanText)(t.Rows(query, args...))
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	text, code, params, err := causeColumns(cause)
	if err != nil {
		return 0, err
	}
	incidents := map[string]bool{}
	for _, id := range ids {
		var incident string
		err := t.One(`UPDATE deliveries SET state = 'dead', held = 0, cause = CASE WHEN attempts = 0 THEN ? ELSE cause END,
			cause_code = CASE WHEN attempts = 0 THEN ? ELSE cause_code END, cause_params = CASE WHEN attempts = 0 THEN ? ELSE cause_params END
			WHERE id = ? RETURNING incident`, text, code, params, id)(&incident)
		if err != nil {
			return 0, fmt.Errorf("giving up a delivery: %w", err)
		}
		incidents[incident] = true
	}
	for incident := range incidents {
		if err := release(t, target, incident); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}

// Resume implements notify.Backlog.
func (l *lease) Resume(ctx context.Context, now time.Time) (more bool, err error) {
	err = l.update(ctx, "webhook_resume", func(t *db.Tx) error {
		n, err := t.Count(`UPDATE deliveries SET next_at = ?2 WHERE id IN (`+waitQuery+`)`, l.target, db.Millis(now), batch)
		if err != nil {
			return fmt.Errorf("resuming deliveries: %w", err)
		}
		more = n == batch
		return nil
	})
	return more, err
}
