package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"gridpost/hub/api"
)

// Outbox returns the oldest events of a lane that the hub has not committed: at most max, and
// at most maxBytes of data, but always one if there is one. It changes nothing but the
// telemetry's borders: readings are packed into events here, for good.
func (s *Store) Outbox(ctx context.Context, lane api.Lane, limit, maxBytes int) ([]api.Event, error) {
	db, query, args := s.incidents, `SELECT seq, kind, at, data FROM outbox WHERE lane = ? ORDER BY seq LIMIT ?`, []any{string(lane), limit}
	if lane == api.LaneTelemetry {
		if err := s.seal(ctx, limit); err != nil {
			return nil, err
		}
		db, query, args = s.telemetry, `SELECT seq, kind, at, data FROM outbox ORDER BY seq LIMIT ?`, []any{limit}
	}
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, wrap("reading the outbox", err)
	}
	defer func() { _ = rows.Close() }()
	var out []api.Event
	size := 0
	for rows.Next() {
		e := api.Event{Lane: lane}
		var at int64
		var data string
		if err := rows.Scan(&e.Seq, &e.Kind, &at, &data); err != nil {
			return nil, wrap("reading the outbox", err)
		}
		if size += len(data) + eventOverhead; size > maxBytes && len(out) > 0 {
			break
		}
		e.Time, e.Data = time.UnixMilli(at).UTC(), json.RawMessage(data)
		out = append(out, e)
	}
	return out, wrap("reading the outbox", rows.Err())
}

// eventOverhead is about what an event's JSON takes beside its data.
const eventOverhead = 128

// waiting returns how many events of each lane the hub has not committed; readings that are
// not packed yet count as one each.
func (s *Store) waiting(ctx context.Context) (map[api.Lane]uint64, error) {
	out := map[api.Lane]uint64{api.LaneAlerts: 0, api.LaneState: 0}
	rows, err := s.incidents.QueryContext(ctx, `SELECT lane, count(*) FROM outbox GROUP BY lane`)
	if err != nil {
		return nil, wrap("counting the outbox", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var lane api.Lane
		var n uint64
		if err := rows.Scan(&lane, &n); err != nil {
			return nil, wrap("counting the outbox", err)
		}
		out[lane] = n
	}
	if err := rows.Err(); err != nil {
		return nil, wrap("counting the outbox", err)
	}
	var n uint64
	err = s.telemetry.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM outbox)
		+ (SELECT count(*) FROM readings WHERE id > coalesce((SELECT value FROM marks WHERE key = 'sealed'), 0))`).Scan(&n)
	out[api.LaneTelemetry] = n
	return out, wrap("counting the outbox", err)
}

// Drop removes one event that the hub can never take. It is for a poison event that would
// block all those behind it; the incident itself stays in the store.
func (s *Store) Drop(ctx context.Context, lane api.Lane, seq uint64) error {
	var err error
	if lane == api.LaneTelemetry {
		_, err = s.telemetry.ExecContext(ctx, `DELETE FROM outbox WHERE seq = ?`, seq)
	} else {
		_, err = s.incidents.ExecContext(ctx, `DELETE FROM outbox WHERE lane = ? AND seq = ?`, string(lane), seq)
	}
	return wrap("dropping an event", err)
}

// reserveStep is how many telemetry numbers are promised at a time: one synchronised write
// for so many lazily written events.
const reserveStep = 1000

// nextTelemetry gives the next number of the telemetry lane. The number is promised by
// incidents.db before it is used, because telemetry.db may forget its last rows in a power
// cut, and a number that was sent must never be used again.
func (s *Store) nextTelemetry(ctx context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seq == s.reserved {
		// The one write under the mutex: numbers must not be given before it is done.
		next := s.reserved + reserveStep
		if _, err := s.incidents.ExecContext(ctx, `UPDATE meta SET value = CAST(? AS TEXT) WHERE key = 'reserved'`, next); err != nil {
			return 0, err
		}
		s.reserved = next
	}
	s.seq++
	return s.seq, nil
}

// readingsPerEvent bounds the readings that travel as one event.
const readingsPerEvent = 200

// seal packs readings that wait into events, up to about limit events.
func (s *Store) seal(ctx context.Context, limit int) error {
	for range limit {
		packed, err := s.sealOne(ctx)
		if err != nil {
			return wrap("packing readings", err)
		}
		if !packed {
			return nil
		}
	}
	return nil
}

func (s *Store) sealOne(ctx context.Context) (bool, error) {
	var waiting bool
	err := s.telemetry.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM readings WHERE id > coalesce((SELECT value FROM marks WHERE key = 'sealed'), 0))`).Scan(&waiting)
	if err != nil || !waiting {
		return false, err
	}
	seq, err := s.nextTelemetry(ctx)
	if err != nil {
		return false, err
	}
	err = s.inTx(ctx, s.telemetry, func(tx *sql.Tx) error {
		readings, last, err := unsealed(ctx, tx)
		if err != nil || len(readings) == 0 {
			return err
		}
		data, err := json.Marshal(readings)
		if err != nil {
			return fmt.Errorf("packing readings: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO outbox (seq, kind, at, data) VALUES (?, ?, ?, ?)`,
			seq, string(api.KindReadings), s.o.Now().UnixMilli(), string(data)); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO marks (key, value) VALUES ('sealed', ?)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value`, last)
		return err
	})
	return err == nil, err
}
