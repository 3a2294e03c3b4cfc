package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
)

// SaveReadings keeps a batch of readings in one transaction. When telemetry.db has reached its
// bound, the oldest readings make room.
func (s *Store) SaveReadings(ctx context.Context, batch []devices.Reading) error {
	if len(batch) == 0 {
		return nil
	}
	return wrap("saving readings", s.withRoom(ctx, func(tx *sql.Tx) error {
		st, err := tx.PrepareContext(ctx, `INSERT INTO readings (device, at, value, unit, quality) VALUES (?, ?, ?, ?, ?)`)
		if err != nil {
			return err
		}
		defer func() { _ = st.Close() }()
		for _, r := range batch {
			if _, err := st.ExecContext(ctx, r.Device, r.Time.UnixMilli(), r.Value, r.Unit, string(r.Quality)); err != nil {
				return err
			}
		}
		return nil
	}))
}

// SaveHealth puts the edge's own health into the outbox. Only the newest waits.
func (s *Store) SaveHealth(ctx context.Context, h api.Health) error {
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("saving health: %w", err)
	}
	seq, err := s.nextTelemetry(ctx)
	if err != nil {
		return wrap("saving health", err)
	}
	return wrap("saving health", s.withRoom(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM outbox WHERE kind = ?`, string(api.KindHealth)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO outbox (seq, kind, at, data) VALUES (?, ?, ?, ?)`,
			seq, string(api.KindHealth), h.Time.UnixMilli(), string(data))
		return err
	}))
}

// withRoom runs f in a transaction on telemetry.db, and once more after making room.
func (s *Store) withRoom(ctx context.Context, f func(*sql.Tx) error) error {
	err := s.inTx(ctx, s.telemetry, f)
	if err == nil || !errors.Is(wrap("", err), ErrFull) {
		return err
	}
	if trimErr := s.trim(ctx); trimErr != nil {
		return errors.Join(err, trimErr)
	}
	return s.inTx(ctx, s.telemetry, f)
}

// trim deletes the oldest tenth of the readings.
func (s *Store) trim(ctx context.Context) error {
	_, err := s.telemetry.ExecContext(ctx, `DELETE FROM readings WHERE id <=
		(SELECT min(id) + (max(id) - min(id)) / 10 FROM readings)`)
	return err
}

// unsealed returns the oldest readings that are in no event yet, and the row of the last one.
func unsealed(ctx context.Context, tx *sql.Tx) ([]devices.Reading, int64, error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, device, at, value, unit, quality FROM readings
		WHERE id > coalesce((SELECT value FROM marks WHERE key = 'sealed'), 0) ORDER BY id LIMIT ?`, readingsPerEvent)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = rows.Close() }()
	var out []devices.Reading
	var last int64
	for rows.Next() {
		var r devices.Reading
		var at int64
		if err := rows.Scan(&last, &r.Device, &at, &r.Value, &r.Unit, &r.Quality); err != nil {
			return nil, 0, err
		}
		r.Time = time.UnixMilli(at).UTC()
		out = append(out, r)
	}
	return out, last, rows.Err()
}

// How long readings are kept on the edge, and how densely.
const (
	keepDense = 24 * time.Hour      // every reading
	keepThin  = 30 * 24 * time.Hour // one a minute and device
	thinStep  = time.Hour           // a transaction's worth of thinning
)

// thin reduces readings older than keepDense to one a minute and device, and forgets those
// older than keepThin. Readings that the hub has not got are thinned like all others.
func (s *Store) thin(ctx context.Context, now time.Time) error {
	if _, err := s.telemetry.ExecContext(ctx, `DELETE FROM readings WHERE at < ?`, now.Add(-keepThin).UnixMilli()); err != nil {
		return wrap("thinning readings", err)
	}
	end := now.Add(-keepDense).UnixMilli()
	for {
		var from sql.NullInt64
		err := s.telemetry.QueryRowContext(ctx, `SELECT min(at) FROM readings WHERE at < ?
			AND at >= coalesce((SELECT value FROM marks WHERE key = 'thinned'), 0)`, end).Scan(&from)
		if err != nil || !from.Valid {
			return wrap("thinning readings", err)
		}
		to := min(from.Int64-from.Int64%60000+thinStep.Milliseconds(), end)
		if to <= from.Int64 {
			return nil
		}
		err = s.inTx(ctx, s.telemetry, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, `DELETE FROM readings WHERE at >= ?1 AND at < ?2 AND id NOT IN
				(SELECT max(id) FROM readings WHERE at >= ?1 AND at < ?2 GROUP BY device, at / 60000)`, from.Int64, to); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO marks (key, value) VALUES ('thinned', ?)
				ON CONFLICT (key) DO UPDATE SET value = excluded.value`, to)
			return err
		})
		if err != nil {
			return wrap("thinning readings", err)
		}
	}
}
