package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"gridpost/hub/api"
)

// BeginView writes down that a person begins to look through a camera.
func (s *Store) BeginView(ctx context.Context, v api.ViewRecord) error {
	return s.update(ctx, func(t *tx) error {
		if _, err := t.exec(`INSERT INTO views(id, edge, device, who, incident, reason, began_at, until) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			v.ID, v.Edge, v.Device, v.Who, v.Incident, v.Reason, millis(v.Began), millis(v.Until)); err != nil {
			return fmt.Errorf("beginning a view of %s/%s: %w", v.Edge, v.Device, err)
		}
		if err := t.audit(v.Who, "view", v.Edge+"/"+v.Device, v.Reason+" "+v.Incident); err != nil {
			return err
		}
		_, _, err := t.change(api.ChangeView, v)
		return err
	})
}

// EndView writes down that a view has ended and why. A view that has ended stays as it is.
func (s *Store) EndView(ctx context.Context, id, why string) error {
	return s.update(ctx, func(t *tx) error {
		v, err := scanView(t.one(`UPDATE views SET ended_at = ?, ended_why = ? WHERE id = ? AND ended_at IS NULL
			RETURNING `+viewColumns, millis(t.now), why, id))
		if err != nil {
			return fmt.Errorf("ending view %s: %w", id, err)
		}
		_, _, err = t.change(api.ChangeView, v)
		return err
	})
}

// EndAllViews ends what a hub that was stopped hard has left open.
func (s *Store) EndAllViews(ctx context.Context, why string) error {
	return s.update(ctx, func(t *tx) error {
		if _, err := t.exec(`UPDATE views SET ended_at = ?, ended_why = ? WHERE ended_at IS NULL`, millis(t.now), why); err != nil {
			return fmt.Errorf("ending views: %w", err)
		}
		return nil
	})
}

const viewColumns = `id, edge, device, who, incident, reason, began_at, until, ended_at, ended_why`

func scanView(scan func(...any) error) (api.ViewRecord, error) {
	var v api.ViewRecord
	var began, until int64
	var ended sql.NullInt64
	err := scan(&v.ID, &v.Edge, &v.Device, &v.Who, &v.Incident, &v.Reason, &began, &until, &ended, &v.EndedWhy)
	v.Began, v.Until, v.Ended = fromMillis(began), fromMillis(until), timePtr(ended)
	return v, err
}

// Views lists views, newest first, that began before a time and ID; a zero time begins at the newest.
func (s *Store) Views(ctx context.Context, before time.Time, beforeID string, limit int) ([]api.ViewRecord, error) {
	if before.IsZero() {
		before = s.now().Add(24 * time.Hour)
	}
	all, err := collect(scanView)(s.read.QueryContext(ctx, `SELECT `+viewColumns+` FROM views
		WHERE (began_at, id) < (?, ?) ORDER BY began_at DESC, id DESC LIMIT ?`, millis(before), beforeID, limit))
	if err != nil {
		return nil, fmt.Errorf("listing views: %w", err)
	}
	return all, nil
}
