package alerts

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"

	"gridpost/devices"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/notify"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/audit"
)

// Add adds a target. It gets every alert from now on. Only ID, Kind, URL, Settings, Secrets and Format of
// w are used.
func (r *Repository) Add(ctx context.Context, who string, w Webhook) error {
	secrets, err := json.Marshal(w.Secrets)
	if err != nil {
		return fmt.Errorf("adding a webhook: %w", err)
	}
	settings, err := json.Marshal(w.Settings)
	if err != nil {
		return fmt.Errorf("adding a webhook: %w", err)
	}
	return r.d.Update(ctx, "webhook_add", func(t *db.Tx) error {
		if _, err := t.Exec(`INSERT INTO webhooks(id, kind, url, settings, secrets, format, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			w.ID, cmp.Or(w.Kind, notify.KindWebhook), w.URL, string(settings), string(secrets), cmp.Or(w.Format, notify.Format), db.Millis(t.Now())); err != nil {
			return fmt.Errorf("adding a webhook: %w", err)
		}
		t.Notify(db.Alerts, "")
		audit.Append(t, who, "webhook add", w.ID, origin(w.URL))
		return nil
	})
}

// Remove removes a target: from now on nothing is sent to it. Its deliveries are deleted later, in small
// transactions; see Clean.
func (r *Repository) Remove(ctx context.Context, who, id string) error {
	return r.d.Update(ctx, "webhook_remove", func(t *db.Tx) error {
		if err := t.Affected(`UPDATE webhooks SET removed_at = ? WHERE id = ? AND removed_at IS NULL`,
			db.Millis(t.Now()), id); err != nil {
			return fmt.Errorf("removing webhook %s: %w", id, err)
		}
		t.Notify(db.Alerts, "")
		audit.Append(t, who, "webhook remove", id, "")
		return nil
	})
}

// Switch disables a target, or enables it again. Its pending deliveries go on waiting; it gets no alerts
// of the time in between.
func (r *Repository) Switch(ctx context.Context, who, id string, on bool) error {
	return r.d.Update(ctx, "webhook_switch", func(t *db.Tx) error {
		if on {
			if err := t.Affected(`UPDATE webhooks SET disabled = '', disabled_code = '', disabled_params = '{}', paused_until = 0, failures = 0
				WHERE id = ? AND removed_at IS NULL`, id); err != nil {
				return fmt.Errorf("enabling webhook %s: %w", id, err)
			}
			t.Notify(db.Alerts, "")
			audit.Append(t, who, "webhook enable", id, "")
			return nil
		}
		return setDisabled(t, who, id, problem.NewCause("target_disabled_by", "who", who))
	})
}

func setDisabled(t *db.Tx, who, id string, cause devices.Cause) error {
	text, code, params, err := causeColumns(cause)
	if err != nil {
		return err
	}
	if err := t.Affected(`UPDATE webhooks SET disabled = ?, disabled_code = ?, disabled_params = ? WHERE id = ? AND removed_at IS NULL`,
		text, code, params, id); err != nil {
		return fmt.Errorf("disabling webhook %s: %w", id, err)
	}
	t.Notify(db.Alerts, "")
	audit.Append(t, who, "webhook disable", id, text)
	return nil
}

// disable disables a target that is gone. Its pending deliveries are given up: at once for who reads the
// queue, and by Clean in the table.
func disable(t *db.Tx, who, id string, cause devices.Cause) error {
	if err := setDisabled(t, who, id, cause); err != nil {
		return err
	}
	if _, err := t.Exec(`UPDATE webhooks SET dropped_to = coalesce((SELECT max(number) FROM deliveries WHERE target = ?1), 0) WHERE id = ?1`, id); err != nil {
		return fmt.Errorf("disabling webhook %s: %w", id, err)
	}
	return nil
}

// AuditTest records that somebody has sent a test event.
func (r *Repository) AuditTest(ctx context.Context, who, id, outcome string) error {
	return r.d.Update(ctx, "webhook_test", func(t *db.Tx) error {
		audit.Append(t, who, "webhook test", id, outcome)
		return nil
	})
}

// origin returns the part of a target's URL that is no secret.
func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// webhookQuery reads a bounded number of index entries for each target. Its only parameter is MaxCount.
const webhookQuery = `SELECT w.id, w.kind, w.url, w.settings, w.secrets, w.format, w.created_at, w.disabled, w.disabled_code, w.disabled_params,
	(SELECT count(*) FROM (SELECT 1 FROM deliveries d WHERE d.target = w.id AND d.state = 'pending' LIMIT ?1) p),
	(SELECT count(*) FROM (SELECT 1 FROM deliveries d WHERE d.target = w.id AND d.state = 'dead' LIMIT ?1) q),
	f.last_at, f.cause, f.cause_code, f.cause_params,
	(SELECT min(d.next_at) FROM deliveries d WHERE d.target = w.id AND d.state = 'pending' AND d.held = 0)
	FROM webhooks w LEFT JOIN deliveries f ON f.id = (SELECT d.id FROM deliveries d
		WHERE d.target = w.id AND d.state = 'pending' AND d.attempts > 0 ORDER BY d.last_at DESC LIMIT 1)
	WHERE w.removed_at IS NULL `

func scanWebhook(scan func(...any) error) (w Webhook, err error) {
	var secrets, settings, disabled, code, params string
	var created int64
	var failed, next sql.NullInt64
	var cause, causeCode, causeParams sql.NullString
	if err := scan(&w.ID, &w.Kind, &w.URL, &settings, &secrets, &w.Format, &created, &disabled, &code, &params, &w.Pending, &w.Dead,
		&failed, &cause, &causeCode, &causeParams, &next); err != nil {
		return w, err
	}
	w.Created = db.FromMillis(created)
	if w.Disabled, err = causeOf(disabled, code, params); err != nil {
		return w, err
	}
	if failed.Valid {
		w.Failing = &Failure{At: db.FromMillis(failed.Int64), Next: db.FromMillis(next.Int64)}
		if w.Failing.Cause, err = causeOf(cause.String, causeCode.String, causeParams.String); err != nil {
			return w, err
		}
	}
	if err := json.Unmarshal([]byte(secrets), &w.Secrets); err != nil {
		return w, fmt.Errorf("reading the secrets of webhook %s: %w", w.ID, err)
	}
	if err := json.Unmarshal([]byte(settings), &w.Settings); err != nil {
		return w, fmt.Errorf("reading the settings of webhook %s: %w", w.ID, err)
	}
	return w, nil
}

// List returns every target, by age.
func (r *Repository) List(ctx context.Context) ([]Webhook, error) {
	all, err := db.Collect(scanWebhook)(r.d.Read(ctx).Rows(webhookQuery+`ORDER BY w.created_at, w.id`, MaxCount))
	if err != nil {
		return nil, fmt.Errorf("listing webhooks: %w", err)
	}
	return all, nil
}

// Get returns one target, or db.ErrNotFound.
func (r *Repository) Get(ctx context.Context, id string) (Webhook, error) {
	w, err := scanWebhook(r.d.Read(ctx).One(webhookQuery+`AND w.id = ?2`, MaxCount, id))
	if err != nil {
		return w, fmt.Errorf("reading webhook %s: %w", id, err)
	}
	return w, nil
}

const deliveriesQuery = `SELECT d.id, d.incident, CASE WHEN w.format = 1 OR a.type = '' THEN a.kind ELSE a.type END, d.number, d.state, d.attempts, d.status, d.cause, d.cause_code, d.cause_params,
	d.queued_at, d.last_at, d.next_at FROM deliveries d JOIN alerts a ON a.seq = d.seq JOIN webhooks w ON w.id = d.target
	WHERE d.target = ?1 AND d.number < ?2 ORDER BY d.number DESC LIMIT ?3`

// Deliveries lists the deliveries of a target before a sequence number, newest first; 0 begins at the
// newest.
func (r *Repository) Deliveries(ctx context.Context, target string, before int64, limit int) ([]Delivery, error) {
	if before == 0 {
		before = 1<<63 - 1
	}
	all, err := db.Collect(func(scan func(...any) error) (d Delivery, err error) {
		var queued, next int64
		var last sql.NullInt64
		var cause, code, params string
		if err := scan(&d.ID, &d.Incident, &d.Kind, &d.Sequence, &d.State, &d.Attempts, &d.Status, &cause, &code, &params, &queued, &last, &next); err != nil {
			return d, err
		}
		d.Queued, d.Last = db.FromMillis(queued), db.TimePtr(last)
		if d.State == "pending" {
			at := db.FromMillis(next)
			d.Next = &at
		}
		d.Cause, err = causeOf(cause, code, params)
		return d, err
	})(r.d.Read(ctx).Rows(deliveriesQuery, target, before, limit))
	if err != nil {
		return nil, fmt.Errorf("listing deliveries: %w", err)
	}
	return all, nil
}
