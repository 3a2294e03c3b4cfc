package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
)

// Problems returns what an operator must know about the store.
func (s *Store) Problems() []devices.Cause {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.problems)
}

// Deliver says whether there is a hub. While it is off, nothing enters the outbox.
func (s *Store) Deliver(bool) {}

// SaveIncidents saves alerts and enqueues them for the hub. All of them are on the disk when it
// returns nil, and none otherwise.
func (s *Store) SaveIncidents(ctx context.Context, all []detection.Incident) error {
	for _, inc := range all {
		if err := s.SaveIncident(ctx, inc); err != nil {
			return err
		}
	}
	return nil
}

// AlertsWaiting is signalled after an alert was enqueued.
func (s *Store) AlertsWaiting() <-chan struct{} { return s.wake }

// Alerts returns the oldest events of the alerts lane.
func (s *Store) Alerts(ctx context.Context, limit, maxBytes int) ([]api.Event, error) {
	return s.Outbox(ctx, api.LaneAlerts, limit, maxBytes)
}

// AlertsDelivered deletes the alerts up to committed; those of notYet are held until ReleaseHeld.
func (s *Store) AlertsDelivered(ctx context.Context, committed uint64, notYet []api.Refusal) error {
	return wrap("deleting delivered alerts", s.inTx(ctx, s.incidents, func(tx *sql.Tx) error {
		for _, r := range notYet {
			if r.Lane != api.LaneAlerts {
				continue
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO held (kind, key, at, data) SELECT kind, key, at, data FROM outbox WHERE lane = 'alerts' AND seq = ?`, r.Seq); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM outbox WHERE lane = 'alerts' AND seq <= ?`, committed)
		return err
	}))
}

// ReleaseHeld moves held events of these kinds to the end of the alerts lane.
func (s *Store) ReleaseHeld(ctx context.Context, kinds []api.Kind) error {
	err := s.inTx(ctx, s.incidents, func(tx *sql.Tx) error {
		for _, kind := range kinds {
			for {
				var id, at int64
				var key, data string
				err := tx.QueryRowContext(ctx, `SELECT id, key, at, data FROM held WHERE kind = ? ORDER BY id LIMIT 1`, string(kind)).Scan(&id, &key, &at, &data)
				if errors.Is(err, sql.ErrNoRows) {
					break
				}
				if err != nil {
					return err
				}
				if _, err := put(ctx, tx, api.LaneAlerts, kind, key, time.UnixMilli(at), []byte(data)); err != nil {
					return err
				}
				if _, err := tx.ExecContext(ctx, `DELETE FROM held WHERE id = ?`, id); err != nil {
					return err
				}
			}
		}
		return nil
	})
	s.signal()
	return wrap("releasing held events", err)
}

// Telemetry returns the oldest readings and gaps that the hub does not have.
func (s *Store) Telemetry(ctx context.Context, limit, maxBytes int) ([]api.Event, error) {
	return s.Outbox(ctx, api.LaneTelemetry, limit, maxBytes)
}

// TelemetryDelivered notes what the hub has of the telemetry lane.
func (s *Store) TelemetryDelivered(ctx context.Context, committed uint64) error {
	_, err := s.telemetry.ExecContext(ctx, `DELETE FROM outbox WHERE seq <= ?`, committed)
	return wrap("deleting delivered telemetry", err)
}

// OpenRefs returns the incidents that are open, or whose alerts wait for the hub.
func (s *Store) OpenRefs(ctx context.Context) ([]api.IncidentRef, error) {
	return s.refs(ctx, `SELECT id, version FROM incidents WHERE state = 'open'
		OR id IN (SELECT json_extract(data, '$.id') FROM outbox WHERE lane = 'alerts' AND kind = 'incident') ORDER BY id`)
}

// RecentRefs returns closed incidents of the last days with an ID greater than after, by ID.
func (s *Store) RecentRefs(ctx context.Context, after string, limit int) ([]api.IncidentRef, error) {
	return s.refs(ctx, `SELECT id, version FROM incidents WHERE state = 'closed' AND id > ? AND updated >= ? ORDER BY id LIMIT ?`,
		after, s.o.Now().AddDate(0, 0, -7).UnixMilli(), limit)
}

func (s *Store) refs(ctx context.Context, query string, args ...any) ([]api.IncidentRef, error) {
	rows, err := s.incidents.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, wrap("listing incidents", err)
	}
	defer func() { _ = rows.Close() }()
	var out []api.IncidentRef
	for rows.Next() {
		var r api.IncidentRef
		if err := rows.Scan(&r.ID, &r.Version); err != nil {
			return nil, wrap("listing incidents", err)
		}
		out = append(out, r)
	}
	return out, wrap("listing incidents", rows.Err())
}

// Enqueue puts whole incidents, and the announcements of their evidence, at the end of the
// alerts lane. Unknown IDs are ignored.
func (s *Store) Enqueue(ctx context.Context, ids []string) error {
	err := s.inTx(ctx, s.incidents, func(tx *sql.Tx) error {
		for _, id := range ids {
			var updated int64
			var data string
			err := tx.QueryRowContext(ctx, `SELECT updated, data FROM incidents WHERE id = ?`, id).Scan(&updated, &data)
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			if _, err := put(ctx, tx, api.LaneAlerts, api.KindIncident, "", time.UnixMilli(updated), []byte(data)); err != nil {
				return err
			}
		}
		return nil
	})
	s.signal()
	return wrap("enqueueing incidents", err)
}

// WaitingEvidence returns evidence, oldest first, whose announcement the hub has and whose bytes
// it does not have, but not what skip selects. skip may be nil.
func (s *Store) WaitingEvidence(ctx context.Context, limit int, skip func(api.Evidence) bool) ([]api.Evidence, error) {
	rows, err := s.incidents.QueryContext(ctx, `SELECT data FROM evidence WHERE uploaded = 0 AND seq <
		coalesce((SELECT min(seq) FROM outbox WHERE lane = 'alerts'), 9223372036854775807) ORDER BY seq`)
	if err != nil {
		return nil, wrap("listing evidence", err)
	}
	defer func() { _ = rows.Close() }()
	var out []api.Evidence
	for len(out) < limit && rows.Next() {
		var data string
		var meta api.Evidence
		if err := rows.Scan(&data); err != nil {
			return nil, wrap("listing evidence", err)
		}
		if json.Unmarshal([]byte(data), &meta) == nil && (skip == nil || !skip(meta)) {
			out = append(out, meta)
		}
	}
	return out, wrap("listing evidence", rows.Err())
}

// EvidenceDelivered notes that the hub has a file.
func (s *Store) EvidenceDelivered(ctx context.Context, meta api.Evidence) error {
	return s.EvidenceDone(ctx, meta)
}

// EvidenceLost notes that a file can never be at the hub, and reports it as a gap. reason is a
// cause code.
func (s *Store) EvidenceLost(ctx context.Context, meta api.Evidence, reason string) error {
	s.o.Logger.Error("evidence is lost", "incident", meta.Incident, "name", meta.Name, "reason", reason)
	return s.EvidenceDone(ctx, meta)
}

// Waiting returns how many items of each lane the hub has not confirmed. It is cheap.
func (s *Store) Waiting() map[api.Lane]uint64 {
	out, err := s.waiting(context.Background())
	if err != nil {
		s.o.Logger.Error("counting the outbox", "error", err)
	}
	return out
}
