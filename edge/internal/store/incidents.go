package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
)

// SaveIncident keeps an alert and puts it into the outbox, in one transaction that is on the
// disk when it returns. A version that is known already changes nothing.
//
// While the hub is away, an alert that neither opens nor closes its incident makes way for the
// next one: each alert carries the whole incident.
func (s *Store) SaveIncident(ctx context.Context, inc detection.Incident) error {
	data, err := json.Marshal(inc)
	if err != nil {
		return fmt.Errorf("saving an incident: %w", err)
	}
	key := ""
	if inc.Version > 1 && inc.State == detection.Open {
		key = inc.ID
	}
	err = s.inTx(ctx, s.incidents, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `INSERT INTO incidents (id, device, state, version, updated, data) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET state = excluded.state, version = excluded.version, updated = excluded.updated, data = excluded.data
			WHERE excluded.version > incidents.version`,
			inc.ID, inc.Device, string(inc.State), inc.Version, inc.Updated.UnixMilli(), string(data))
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return err
		}
		if inc.Version > 1 { // what is still waiting between opening and this alert says nothing more
			if _, err := tx.ExecContext(ctx, `DELETE FROM outbox WHERE lane = ? AND key = ?`, string(api.LaneAlerts), inc.ID); err != nil {
				return err
			}
		}
		_, err = put(ctx, tx, api.LaneAlerts, api.KindIncident, key, inc.Updated, data)
		return err
	})
	if err != nil {
		return wrap("saving an incident", err)
	}
	s.signal()
	return nil
}

// OpenIncidents returns the incidents whose condition held when the store last heard of them.
func (s *Store) OpenIncidents(ctx context.Context) ([]detection.Incident, error) {
	rows, err := s.incidents.QueryContext(ctx, `SELECT data FROM incidents WHERE state = ? ORDER BY id`, string(detection.Open))
	if err != nil {
		return nil, wrap("reading open incidents", err)
	}
	defer func() { _ = rows.Close() }()
	var out []detection.Incident
	for rows.Next() {
		var data string
		if err := rows.Scan(&data); err != nil {
			return nil, wrap("reading open incidents", err)
		}
		var inc detection.Incident
		if err := json.Unmarshal([]byte(data), &inc); err != nil {
			return nil, fmt.Errorf("reading open incidents: %w", err)
		}
		out = append(out, inc)
	}
	return out, wrap("reading open incidents", rows.Err())
}

// SaveStatus puts a device's state into the outbox. Only the newest state of a device waits.
func (s *Store) SaveStatus(ctx context.Context, st devices.Status) error {
	return s.saveState(ctx, api.KindStatus, "device/"+st.Device, st.Since, st)
}

// SaveInventory puts the list of devices into the outbox. Only the newest list waits.
func (s *Store) SaveInventory(ctx context.Context, inv api.Inventory) error {
	return s.saveState(ctx, api.KindInventory, "inventory", s.o.Now(), inv)
}

func (s *Store) saveState(ctx context.Context, kind api.Kind, key string, at time.Time, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("saving %s: %w", kind, err)
	}
	err = s.inTx(ctx, s.incidents, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM outbox WHERE lane = ? AND key = ?`, string(api.LaneState), key); err != nil {
			return err
		}
		_, err := put(ctx, tx, api.LaneState, kind, key, at, data)
		return err
	})
	if err != nil {
		return wrap(fmt.Sprintf("saving %s", kind), err)
	}
	s.signal()
	return nil
}

// put appends to a lane and returns the event's number.
func put(ctx context.Context, tx *sql.Tx, lane api.Lane, kind api.Kind, key string, at time.Time, data []byte) (uint64, error) {
	var seq uint64
	err := tx.QueryRowContext(ctx, `INSERT INTO lanes (lane, seq) VALUES (?, 1)
		ON CONFLICT (lane) DO UPDATE SET seq = seq + 1 RETURNING seq`, string(lane)).Scan(&seq)
	if err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO outbox (lane, seq, kind, key, at, data) VALUES (?, ?, ?, ?, ?, ?)`,
		string(lane), seq, string(kind), key, at.UnixMilli(), string(data))
	return seq, err
}

// Acked forgets what the hub has on its disk. When the hub has committed numbers that this
// store never gave, the store is an older copy of itself (an image restored, a disk that lost
// what it had promised): its numbering starts a new epoch, or the hub would take everything
// new for old.
func (s *Store) Acked(ctx context.Context, ack api.Ack) error {
	rolledBack := false
	err := s.inTx(ctx, s.incidents, func(tx *sql.Tx) error {
		for _, lane := range []api.Lane{api.LaneAlerts, api.LaneState} {
			committed, ok := ack.Committed[lane]
			if !ok {
				continue
			}
			var last uint64
			err := tx.QueryRowContext(ctx, `SELECT seq FROM lanes WHERE lane = ?`, string(lane)).Scan(&last)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if committed > last {
				rolledBack = true
				continue
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM outbox WHERE lane = ? AND seq <= ?`, string(lane), committed); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return wrap("forgetting what the hub has", err)
	}
	if committed, ok := ack.Committed[api.LaneTelemetry]; ok {
		s.mu.Lock()
		ahead := committed > s.reserved
		s.mu.Unlock()
		if ahead {
			rolledBack = true
		} else if _, err := s.telemetry.ExecContext(ctx, `DELETE FROM outbox WHERE seq <= ?`, committed); err != nil {
			return wrap("forgetting what the hub has", err)
		}
	}
	if rolledBack {
		return s.newEpoch(ctx)
	}
	return nil
}

func (s *Store) newEpoch(ctx context.Context) error {
	epoch := uuid.NewString()
	if _, err := s.incidents.ExecContext(ctx, `UPDATE meta SET value = ? WHERE key = 'epoch'`, epoch); err != nil {
		return wrap("starting a new epoch", err)
	}
	s.mu.Lock()
	s.epoch = epoch
	s.mu.Unlock()
	s.o.Logger.Warn("the hub knows numbers that this store never gave; a new epoch starts", "epoch", epoch)
	s.signal()
	return nil
}
