package alerts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gridpost/hub/internal/db"
)

// Texts of the deletions. The + keeps SQLite from an index that would make it sort.
const (
	removedQuery  = `DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE target = ? ORDER BY number LIMIT ?)`
	droppedQuery  = `SELECT id FROM deliveries WHERE target = ?1 AND +number <= ?2 AND state = 'pending' ORDER BY queued_at LIMIT ?3`
	finishedQuery = `DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE state <> 'pending' AND queued_at < ? ORDER BY queued_at LIMIT ?)`
	alertsQuery   = `SELECT max(o.seq) FROM (SELECT seq, at FROM alerts WHERE seq > 0 ORDER BY seq LIMIT ?1) o
		WHERE o.at < ?2 AND o.seq < coalesce((SELECT min(seq) FROM deliveries), ?3)`
	alertsDeletion = `DELETE FROM alerts WHERE seq <= ?`
)

// Clean does one small transaction of what was put off: it deletes deliveries of removed targets, then
// the targets, and gives up deliveries of disabled targets: all of those that are gone, and what was
// enqueued before a time. It returns the number of rows changed; 0: nothing is left to do.
func (r *Repository) Clean(ctx context.Context, before time.Time, limit int) (changed int, err error) {
	if changed, err = r.deleteRemoved(ctx, limit); changed > 0 || err != nil {
		return changed, err
	}
	return r.giveUpDisabled(ctx, before, limit)
}

// deleteRemoved deletes deliveries of a removed target, and the target when it has none left.
func (r *Repository) deleteRemoved(ctx context.Context, limit int) (changed int, err error) {
	var target string
	err = r.d.Read(ctx).One(`SELECT id FROM webhooks WHERE removed_at IS NOT NULL ORDER BY id LIMIT 1`)(&target)
	if errors.Is(err, db.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("looking for removed webhooks: %w", err)
	}
	err = r.d.Update(ctx, "delete_webhook", func(t *db.Tx) error {
		n, err := t.Count(removedQuery, target, limit)
		if changed = n; err != nil || n > 0 {
			return err
		}
		changed, err = t.Count(`DELETE FROM webhooks WHERE id = ?`, target)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("deleting removed webhook %s: %w", target, err)
	}
	return changed, nil
}

// giveUpDisabled gives up deliveries of disabled targets: all up to dropped_to, and those that are too
// old. Nobody serves a disabled target.
func (r *Repository) giveUpDisabled(ctx context.Context, before time.Time, limit int) (changed int, err error) {
	type target struct {
		id      string
		dropped int64
	}
	targets, err := db.Collect(func(scan func(...any) error) (w target, err error) {
		err = scan(&w.id, &w.dropped)
		return w, err
	})(r.d.Read(ctx).Rows(`SELECT id, dropped_to FROM webhooks WHERE removed_at IS NULL AND (disabled <> '' OR dropped_to > 0)`))
	if err != nil {
		return 0, fmt.Errorf("listing disabled webhooks: %w", err)
	}
	for _, w := range targets {
		err := r.d.Update(ctx, "webhook_give_up_disabled", func(t *db.Tx) error {
			changed, err = giveUpOf(t, w.id, w.dropped, before, limit)
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("giving up deliveries of webhook %s: %w", w.id, err)
		}
		if changed > 0 {
			return changed, nil
		}
	}
	return 0, nil
}

// giveUpOf gives up deliveries of one target. It forgets dropped_to when there is nothing left up to it.
func giveUpOf(t *db.Tx, target string, dropped int64, before time.Time, limit int) (int, error) {
	if err := lock(t, target); err != nil {
		if errors.Is(err, db.ErrNotFound) {
			return 0, nil
		}
		return 0, err
	}
	if dropped > 0 {
		var text, code, params string
		if err := t.One(`SELECT disabled, disabled_code, disabled_params FROM webhooks WHERE id = ?`, target)(&text, &code, &params); err != nil {
			return 0, err
		}
		cause, err := causeOf(text, code, params)
		if err != nil {
			return 0, err
		}
		n, err := giveUp(t, target, cause, droppedQuery, target, dropped, limit)
		if n > 0 || err != nil {
			return n, err
		}
		if _, err := t.Exec(`UPDATE webhooks SET dropped_to = 0 WHERE id = ? AND dropped_to = ?`, target, dropped); err != nil {
			return 0, err
		}
	}
	return giveUp(t, target, gaveUp(t.Now().Sub(before)), disabledQuery, target, db.Millis(before), limit)
}

// disabledQuery is oldQuery for a target that is disabled.
const disabledQuery = `SELECT id FROM deliveries WHERE target = ?1 AND state = 'pending' AND queued_at < ?2
	AND EXISTS (SELECT 1 FROM webhooks w WHERE w.id = ?1 AND w.disabled <> '') ORDER BY queued_at LIMIT ?3`

// DeleteDeliveriesBefore deletes finished deliveries that were enqueued before a time, the oldest first,
// limit at most, in one small transaction.
func (r *Repository) DeleteDeliveriesBefore(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	return r.d.DeleteBefore(ctx, "delete_deliveries", finishedQuery, before, limit)
}

// DeleteAlertsBefore deletes alerts from before a time that no delivery needs any more: those before the
// alert of the oldest delivery.
func (r *Repository) DeleteAlertsBefore(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	err = r.d.Update(ctx, "delete_alerts", func(t *db.Tx) error {
		var last sql.NullInt64
		if err := t.One(alertsQuery, limit, db.Millis(before), int64(1<<63-1))(&last); err != nil || !last.Valid {
			deleted = 0
			return err
		}
		deleted, err = t.Count(alertsDeletion, last.Int64)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("deleting alerts: %w", err)
	}
	return deleted, nil
}
