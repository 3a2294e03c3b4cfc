package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
)

// SaveIncidents saves alerts and enqueues them for the hub. All of them are on the disk when it
// returns nil, and none when it returns an error. Callers that come together share the disk's
// synchronisation. A version that is known already changes nothing. Once begun, it does not end
// with ctx.
//
// While the hub is away, an alert that neither opens nor closes its incident is replaced by the
// next one: each alert carries the whole incident.
func (s *Store) SaveIncidents(ctx context.Context, all []detection.Incident) error {
	if len(all) == 0 {
		return nil
	}
	encoded := make([][]byte, len(all))
	for i, inc := range all {
		data, err := json.Marshal(inc)
		if err != nil {
			return fmt.Errorf("saving incidents: %w", err)
		}
		encoded[i] = data
	}
	err := s.incidents.write(ctx, func(t *tx) error {
		for i, inc := range all {
			if err := s.saveIncident(t, inc, encoded[i]); err != nil {
				return err
			}
		}
		return s.boundOutbox(t)
	})
	if err != nil {
		return s.wrap("saving incidents", err)
	}
	s.signal()
	return nil
}

func (s *Store) saveIncident(t *tx, inc detection.Incident, data []byte) error {
	n, err := t.exec(`INSERT INTO incidents (id, device, state, version, updated, data) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, version = excluded.version, updated = excluded.updated, data = excluded.data
		WHERE excluded.version > incidents.version`,
		inc.ID, inc.Device, string(inc.State), inc.Version, inc.Updated.UnixMilli(), string(data))
	if err != nil || n == 0 || !s.deliver.Load() {
		return err
	}
	if inc.Version > 1 { // what still waits between the opening and this alert says nothing more
		if err := removeAlerts(t, `DELETE FROM outbox WHERE incident = ? AND middle = 1 RETURNING length(data)`, inc.ID); err != nil {
			return err
		}
	}
	return s.enqueue(t, alert{
		kind: api.KindIncident, incident: inc.ID, middle: inc.Version > 1 && inc.State == detection.Open,
		at: inc.Updated, data: data,
	})
}

// OpenIncidents returns the incidents whose condition held when the store last heard of them. A
// row that cannot be read is set aside and reported as a problem; it does not fail the others.
func (s *Store) OpenIncidents(ctx context.Context) ([]detection.Incident, error) {
	var out []detection.Incident
	var bad []string
	err := s.incidents.rows(ctx, `SELECT id, data FROM incidents WHERE state = 'open' ORDER BY id`, nil,
		func() { out, bad = nil, nil },
		func(scan func(...any) error) error {
			var id, data string
			if err := scan(&id, &data); err != nil {
				return err
			}
			var inc detection.Incident
			if err := json.Unmarshal([]byte(data), &inc); err != nil || inc.ID != id {
				bad = append(bad, id)
			} else {
				out = append(out, inc)
			}
			return nil
		})
	if err != nil {
		return nil, s.wrap("reading open incidents", err)
	}
	if len(bad) > 0 {
		// Not being able to set them aside, on a full disk, is no reason to forget the others.
		if err := s.setIncidentsAside(ctx, bad); err != nil {
			s.o.Logger.Error("setting unreadable incidents aside", "error", err)
		}
	}
	return out, nil
}

func (s *Store) setIncidentsAside(ctx context.Context, ids []string) error {
	s.problem(devices.NewCause("incident_unreadable", "incident", ids[0], "count", strconv.Itoa(len(ids))))
	s.o.Logger.Error("open incidents could not be read and were set aside", "incidents", ids)
	err := s.incidents.write(ctx, func(t *tx) error {
		for _, id := range ids {
			if err := s.setAside(t, `SELECT 'incidents', id, 'unreadable', ?, data FROM incidents WHERE id = ?`, id); err != nil {
				return err
			}
			if _, err := t.exec(`DELETE FROM incidents WHERE id = ?`, id); err != nil {
				return err
			}
		}
		return nil
	})
	return s.wrap("setting incidents aside", err)
}

// maxSetAside bounds the rows that are kept aside; the oldest make room.
const maxSetAside = 1000

// setAside copies what a query selects (source, key, reason, time, data) to the rows set aside.
func (s *Store) setAside(t *tx, query string, args ...any) error {
	args = append([]any{s.o.Now().UnixMilli()}, args...)
	if _, err := t.exec(`INSERT INTO set_aside (source, key, reason, at, data) `+query, args...); err != nil {
		return err
	}
	_, err := t.exec(`DELETE FROM set_aside WHERE id <= (SELECT max(id) FROM set_aside) - ?`, maxSetAside)
	return err
}

// withDelivered adds to the incidents of a query, i, how many files of each the hub has.
func withDelivered(query string) string {
	return `SELECT id, version, (SELECT count(*) FROM evidence WHERE incident = i.id AND uploaded = 1) FROM (` + query + `) i ORDER BY id`
}

// OpenRefs returns the incidents that are open, or whose alerts wait for the hub, by ID.
func (s *Store) OpenRefs(ctx context.Context) ([]api.IncidentRef, error) {
	return s.refs(ctx, withDelivered(`SELECT id, version FROM incidents WHERE state = 'open'
		UNION SELECT i.id, i.version FROM outbox o JOIN incidents i ON i.id = o.incident
		UNION SELECT i.id, i.version FROM held h JOIN incidents i ON i.id = h.incident`))
}

// RecentRefs returns the closed incidents that the edge keeps (keepIncidents) whose ID is greater than after, by ID,
// at most limit: so that the hub can say which of them it has lost.
func (s *Store) RecentRefs(ctx context.Context, after string, limit int) ([]api.IncidentRef, error) {
	return s.refs(ctx, withDelivered(`SELECT id, version FROM incidents WHERE state = 'closed' AND id > ? AND updated >= ? ORDER BY id LIMIT ?`),
		after, s.o.Now().Add(-keepIncidents).UnixMilli(), limit)
}

func (s *Store) refs(ctx context.Context, query string, args ...any) ([]api.IncidentRef, error) {
	var out []api.IncidentRef
	err := s.incidents.rows(ctx, query, args, func() { out = nil }, func(scan func(...any) error) error {
		var r api.IncidentRef
		if err := scan(&r.ID, &r.Version, &r.Evidence); err != nil {
			return err
		}
		out = append(out, r)
		return nil
	})
	return out, s.wrap("listing incidents", err)
}

// Enqueue puts whole incidents, and the announcements of their evidence, at the end of the
// alerts lane: the hub has lost them, or was not there. Unknown IDs are ignored.
func (s *Store) Enqueue(ctx context.Context, ids []string) error {
	for len(ids) > 0 { // small transactions, so that new alerts do not wait
		n := min(len(ids), 50)
		some := ids[:n]
		ids = ids[n:]
		err := s.incidents.write(ctx, func(t *tx) error {
			for _, id := range some {
				if err := s.enqueueWhole(t, id); err != nil {
					return err
				}
			}
			return s.boundOutbox(t)
		})
		if err != nil {
			return s.wrap("enqueueing incidents", err)
		}
		s.signal()
	}
	return nil
}

func (s *Store) enqueueWhole(t *tx, id string) error {
	var updated, version int64
	var data string
	err := t.queryRow(`SELECT updated, version, data FROM incidents WHERE id = ?`, []any{id}, &updated, &version, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	// What waits already goes once, at the end. An alert that opens or closes is the same row.
	if err := removeAlerts(t, `DELETE FROM outbox WHERE incident = ? AND (middle = 1 OR data = ?) RETURNING length(data)`, id, data); err != nil {
		return err
	}
	if err := s.enqueue(t, alert{kind: api.KindIncident, incident: id, at: fromMillis(updated), data: []byte(data), again: true}); err != nil {
		return err
	}
	return s.announceAgain(t, id)
}

// keepIncidents is how long a closed incident and its evidence stay on the edge.
const keepIncidents = 30 * 24 * time.Hour

// maxIncidents bounds the closed incidents that are kept.
const maxIncidents = 100_000

// expireIncidents forgets closed incidents of which nothing waits for the hub.
func (s *Store) expireIncidents(ctx context.Context, before time.Time) error {
	const query = `DELETE FROM incidents WHERE id IN (SELECT id FROM incidents WHERE state = 'closed' AND updated < ?1
		AND NOT EXISTS (SELECT 1 FROM evidence WHERE incident = incidents.id)
		AND NOT EXISTS (SELECT 1 FROM outbox WHERE incident = incidents.id)
		AND NOT EXISTS (SELECT 1 FROM held WHERE incident = incidents.id) LIMIT 500)`
	for {
		var n int64
		err := s.incidents.free(ctx, func(t *tx) (err error) {
			n, err = t.exec(query, before.UnixMilli())
			return err
		})
		if err != nil || n == 0 {
			return s.wrap("removing old incidents", err)
		}
	}
}

// boundIncidents removes the oldest closed incidents beyond maxIncidents, whatever their age: a
// clock that is wrong must not fill the disk.
func (s *Store) boundIncidents(ctx context.Context) error {
	var nth sql.NullInt64
	err := s.incidents.read(ctx, func(q querier) error {
		err := q.QueryRowContext(ctx, `SELECT updated FROM incidents WHERE state = 'closed' ORDER BY updated DESC LIMIT 1 OFFSET ?`, maxIncidents).Scan(&nth)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil || !nth.Valid {
		return s.wrap("counting incidents", err)
	}
	return s.expireIncidents(ctx, fromMillis(nth.Int64))
}
