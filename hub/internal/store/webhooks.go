package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"gridpost/hub/api"
	"gridpost/hub/internal/notify"
)

// The store is notify's durable queue.
var _ notify.Store = (*Store)(nil)

// Webhook is one receiver of alerts as an administrator sees it.
type Webhook struct {
	ID       string    `json:"id"`
	URL      string    `json:"url"`
	Created  time.Time `json:"created_at"`
	Disabled string    `json:"disabled" doc:"why nothing is sent any more; empty while it is"`
	Pending  int       `json:"pending" doc:"alerts still to be delivered"`
	Dead     int       `json:"given_up" doc:"alerts that were given up, of those that the log still has"`
	Failing  *Failure  `json:"failing,omitempty" doc:"the last attempt that failed, while its alert waits for another"`
	Secrets  []string  `json:"-"`
}

// Failure is an attempt that did not deliver.
type Failure struct {
	At    time.Time `json:"at"`
	Cause string    `json:"cause"`
	Next  time.Time `json:"next_at" doc:"when something is tried again at the earliest"`
}

// AddWebhook adds a target. It gets every alert from now on.
func (s *Store) AddWebhook(ctx context.Context, who string, w Webhook) error {
	secrets, err := json.Marshal(w.Secrets)
	if err != nil {
		return fmt.Errorf("adding a webhook: %w", err)
	}
	return s.update(ctx, func(t *tx) error {
		if _, err := t.exec(`INSERT INTO webhooks(id, url, secrets, created_at) VALUES (?, ?, ?, ?)`,
			w.ID, w.URL, string(secrets), millis(t.now)); err != nil {
			return fmt.Errorf("adding a webhook: %w", err)
		}
		t.queued = true // notify has a target more to serve
		return t.audit(who, "webhook add", w.ID, origin(w.URL))
	})
}

// RemoveWebhook removes a target and what it has not got yet.
func (s *Store) RemoveWebhook(ctx context.Context, who, id string) error {
	return s.update(ctx, func(t *tx) error {
		if err := affected(t.exec(`DELETE FROM webhooks WHERE id = ?`, id)); err != nil {
			return fmt.Errorf("removing webhook %s: %w", id, err)
		}
		t.queued = true
		return t.audit(who, "webhook remove", id, "")
	})
}

func scanWebhook(scan func(...any) error) (w Webhook, err error) {
	var secrets string
	var created int64
	var failed, next sql.NullInt64
	var cause sql.NullString
	if err := scan(&w.ID, &w.URL, &secrets, &created, &w.Disabled, &w.Pending, &w.Dead, &failed, &cause, &next); err != nil {
		return w, err
	}
	w.Created = fromMillis(created)
	if failed.Valid {
		w.Failing = &Failure{At: fromMillis(failed.Int64), Cause: cause.String, Next: fromMillis(next.Int64)}
	}
	if err := json.Unmarshal([]byte(secrets), &w.Secrets); err != nil {
		return w, fmt.Errorf("reading the secrets of webhook %s: %w", w.ID, err)
	}
	return w, nil
}

// SQLite takes the other columns of an aggregate's row from where its maximum is.
const webhookQuery = `SELECT w.id, w.url, w.secrets, w.created_at, w.disabled,
	(SELECT count(*) FROM deliveries d WHERE d.target = w.id AND d.state = 'pending'),
	(SELECT count(*) FROM deliveries d WHERE d.target = w.id AND d.state = 'dead'),
	f.at, f.cause, (SELECT min(d.next_at) FROM deliveries d WHERE d.target = w.id AND d.state = 'pending')
	FROM webhooks w LEFT JOIN (SELECT target, max(last_at) AS at, cause FROM deliveries
		WHERE state = 'pending' AND attempts > 0 GROUP BY target) f ON f.target = w.id `

// Webhooks lists every target.
func (s *Store) Webhooks(ctx context.Context) ([]Webhook, error) {
	all, err := collect(scanWebhook)(s.read.QueryContext(ctx, webhookQuery+`ORDER BY created_at, id`))
	if err != nil {
		return nil, fmt.Errorf("listing webhooks: %w", err)
	}
	return all, nil
}

// WebhookTargets implements notify.Store.
func (s *Store) WebhookTargets(ctx context.Context) ([]notify.Target, error) {
	all, err := collect(func(scan func(...any) error) (target notify.Target, err error) {
		var secrets string
		if err := scan(&target.ID, &target.URL, &secrets); err != nil {
			return target, err
		}
		return target, json.Unmarshal([]byte(secrets), &target.Secrets)
	})(s.read.QueryContext(ctx, `SELECT id, url, secrets FROM webhooks WHERE disabled = '' ORDER BY created_at, id`))
	if err != nil {
		return nil, fmt.Errorf("listing webhook targets: %w", err)
	}
	return all, nil
}

// queue writes one delivery of an alert for each target that is not disabled.
func (t *tx) queue(inc *api.Incident, kind notify.AlertKind, seq int64) error {
	if !t.targetsKnown {
		var err error
		if t.targets, err = collect(scanText)(t.rows(`SELECT id FROM webhooks WHERE disabled = ''`)); err != nil {
			return fmt.Errorf("listing webhooks: %w", err)
		}
		t.targetsKnown = true
	}
	if len(t.targets) == 0 {
		return nil
	}
	whole := *inc
	var err error
	if whole.Timeline, err = collect(scanEntry)(t.rows(timelineQuery, inc.ID)); err != nil {
		return fmt.Errorf("reading the timeline of %s: %w", inc.ID, err)
	}
	body, err := json.Marshal(whole)
	if err != nil {
		return fmt.Errorf("writing an alert down: %w", err)
	}
	device := ""
	if inc.Edge != "" {
		device = inc.Edge + "/" + inc.Device
	}
	if _, err := t.exec(`INSERT INTO alerts(seq, kind, incident, device, at, data) VALUES (?, ?, ?, ?, ?, ?)`,
		seq, string(kind), inc.ID, device, millis(t.now), string(body)); err != nil {
		return fmt.Errorf("queueing an alert: %w", err)
	}
	for _, target := range t.targets {
		id := notify.DeliveryID(strconv.FormatInt(seq, 10), target)
		if _, err := t.exec(`INSERT INTO deliveries(id, target, seq, incident, queued_at, next_at, state)
			VALUES (?, ?, ?, ?, ?, ?, 'pending') ON CONFLICT DO NOTHING`,
			id, target, seq, inc.ID, millis(t.now), millis(t.now)); err != nil {
			return fmt.Errorf("queueing a delivery: %w", err)
		}
	}
	t.queued = true
	return nil
}

// blocked is the part of a query that is true for a delivery d that waits behind an earlier one.
const blocked = `EXISTS (SELECT 1 FROM deliveries b WHERE b.target = d.target AND b.incident = d.incident
	AND b.seq < d.seq AND b.state = 'pending' AND b.attempts < ?1)`

// DueDeliveries implements notify.Store.
func (s *Store) DueDeliveries(ctx context.Context, target string, now time.Time, limit int) ([]notify.Delivery, time.Time, error) {
	due, err := collect(func(scan func(...any) error) (d notify.Delivery, err error) {
		var queued, at int64
		var data string
		err = scan(&d.ID, &d.Target, &d.Attempts, &queued, &d.Alert.Sequence, &d.Alert.Kind, &d.Alert.Incident, &d.Alert.Device, &at, &data)
		d.Queued, d.Alert.Time, d.Alert.Data = fromMillis(queued), fromMillis(at), json.RawMessage(data)
		d.Alert.ID = strconv.FormatInt(d.Alert.Sequence, 10)
		return d, err
	})(s.read.QueryContext(ctx, `SELECT d.id, d.target, d.attempts, d.queued_at, a.seq, a.kind, a.incident, a.device, a.at, a.data
		FROM deliveries d JOIN alerts a ON a.seq = d.seq
		WHERE d.target = ?2 AND d.state = 'pending' AND d.next_at <= ?3 AND NOT `+blocked+`
		ORDER BY d.seq LIMIT ?4`, notify.OrderAttempts, target, millis(now), limit))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("looking for deliveries: %w", err)
	}
	// The earliest of those that were not returned: later ones, and due ones beyond the limit.
	var last int64 = -1
	if len(due) == limit && limit > 0 {
		last = due[limit-1].Alert.Sequence
	}
	var next sql.NullInt64
	err = s.read.QueryRowContext(ctx, `SELECT min(d.next_at) FROM deliveries d WHERE d.target = ?2 AND d.state = 'pending'
		AND (d.next_at > ?3 OR (?4 >= 0 AND d.seq > ?4)) AND NOT `+blocked, notify.OrderAttempts, target, millis(now), last).Scan(&next)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("looking for deliveries: %w", err)
	}
	if !next.Valid {
		return due, time.Time{}, nil
	}
	return due, fromMillis(next.Int64), nil
}

// RecordDelivery implements notify.Store.
func (s *Store) RecordDelivery(ctx context.Context, o notify.Outcome) error {
	return s.update(ctx, func(t *tx) error {
		err := affected(t.exec(`UPDATE deliveries SET attempts = ?, next_at = ?, state = ?, status = ?, cause = ?, last_at = ?
			WHERE id = ? AND target = ? AND state = 'pending'`,
			o.Attempt, millis(o.Next), string(o.State), o.Status, o.Cause, millis(o.At), o.Delivery, o.Target))
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("recording a delivery: %w", err)
		}
		if o.Disable == "" {
			return nil
		}
		if _, err := t.exec(`UPDATE webhooks SET disabled = ? WHERE id = ?`, o.Disable, o.Target); err != nil {
			return fmt.Errorf("disabling a webhook: %w", err)
		}
		if _, err := t.exec(`UPDATE deliveries SET state = 'dead', cause = ? WHERE target = ? AND state = 'pending'`, o.Disable, o.Target); err != nil {
			return fmt.Errorf("disabling a webhook: %w", err)
		}
		return t.audit("hub", "webhook disable", o.Target, o.Disable)
	})
}

// DeliveryRecord is how one alert fares on its way to a target.
type DeliveryRecord struct {
	ID       string     `json:"id"`
	Incident string     `json:"incident"`
	Kind     string     `json:"kind"`
	Sequence int64      `json:"sequence"`
	State    string     `json:"state" enum:"pending,delivered,dead"`
	Attempts int        `json:"attempts"`
	Status   int        `json:"status" doc:"of the last HTTP answer; 0: there was none"`
	Cause    string     `json:"cause"`
	Queued   time.Time  `json:"queued_at"`
	Last     *time.Time `json:"last_at"`
	Next     *time.Time `json:"next_at" doc:"when it is tried again"`
}

// Deliveries lists a target's deliveries before a sequence number, newest first; 0 begins at
// the newest.
func (s *Store) Deliveries(ctx context.Context, target string, before int64, limit int) ([]DeliveryRecord, error) {
	all, err := collect(func(scan func(...any) error) (d DeliveryRecord, err error) {
		var queued, next int64
		var last sql.NullInt64
		err = scan(&d.ID, &d.Incident, &d.Kind, &d.Sequence, &d.State, &d.Attempts, &d.Status, &d.Cause, &queued, &last, &next)
		d.Queued, d.Last = fromMillis(queued), timePtr(last)
		if d.State == string(notify.Pending) {
			at := fromMillis(next)
			d.Next = &at
		}
		return d, err
	})(s.read.QueryContext(ctx, `SELECT d.id, d.incident, a.kind, d.seq, d.state, d.attempts, d.status, d.cause, d.queued_at, d.last_at, d.next_at
		FROM deliveries d JOIN alerts a ON a.seq = d.seq WHERE d.target = ?1 AND (?2 = 0 OR d.seq < ?2) ORDER BY d.seq DESC LIMIT ?3`,
		target, before, limit))
	if err != nil {
		return nil, fmt.Errorf("listing deliveries: %w", err)
	}
	return all, nil
}
