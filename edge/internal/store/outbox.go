package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
)

// alert is an event that is enqueued in the alerts lane.
type alert struct {
	kind     api.Kind
	incident string
	middle   bool
	at       time.Time
	data     []byte
	again    bool // it happened before it was enqueued: its age is not known
}

// enqueue appends to the alerts lane, unless there is no hub.
func (s *Store) enqueue(t *tx, a alert) error {
	_, err := s.enqueueNumbered(t, a)
	return err
}

// enqueueNumbered is enqueue; it returns the event's number, or 0 when there is no hub.
func (s *Store) enqueueNumbered(t *tx, a alert) (uint64, error) {
	if !s.deliver.Load() {
		return 0, nil
	}
	seq := t.queue.number()
	return seq, s.insertAlert(t, seq, a)
}

func (s *Store) insertAlert(t *tx, seq uint64, a alert) error {
	now := s.machine.now()
	if a.again {
		now.boot, now.bootMS = "", 0
	}
	_, err := t.exec(`INSERT INTO outbox (seq, kind, incident, middle, at, boot, boot_ms, clock, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		seq, string(a.kind), a.incident, a.middle, a.at.UnixMilli(), now.boot, now.bootMS, string(now.clock), string(a.data))
	t.queue.count++
	t.queue.bytes += uint64(len(a.data))
	return err
}

// removeAlerts runs a DELETE of outbox rows that returns the length of their data.
func removeAlerts(t *tx, query string, args ...any) error {
	return t.query(query, args, func(scan func(...any) error) error {
		var size uint64
		if err := scan(&size); err != nil {
			return err
		}
		t.queue.count--
		t.queue.bytes -= min(size, t.queue.bytes)
		return nil
	})
}

// boundOutbox drops the oldest alerts beyond the outbox's bounds and reports them as a gap. The
// incidents themselves stay in the store, so that the hub can ask for them.
func (s *Store) boundOutbox(t *tx) error {
	for t.queue.count > uint64(s.o.OutboxEvents) || t.queue.bytes > uint64(s.o.OutboxBytes) {
		n := max(1, t.queue.count/100)
		lost := api.Gap{Kind: api.GapAlerts, Reason: reasonFull}
		var last uint64
		err := t.query(`SELECT seq, at FROM outbox WHERE kind != 'gap' ORDER BY seq LIMIT ?`, []any{n}, func(scan func(...any) error) error {
			var at int64
			if err := scan(&last, &at); err != nil {
				return err
			}
			one := api.Gap{From: fromMillis(at), To: fromMillis(at), Count: 1}
			if lost.Count == 0 {
				one.Kind, one.Reason = lost.Kind, lost.Reason
				lost = one
			} else {
				lost = merge(lost, one)
			}
			return nil
		})
		if err != nil || lost.Count == 0 {
			return err // only gaps wait; their number is bounded
		}
		if err := removeAlerts(t, `DELETE FROM outbox WHERE seq <= ? AND kind != 'gap' RETURNING length(data)`, last); err != nil {
			return err
		}
		if err := s.reportAlertGap(t, lost); err != nil {
			return err
		}
		s.problem(devices.NewCause("outbox_full"))
	}
	return nil
}

// Alerts returns the oldest events of the alerts lane: at most limit, and at most maxBytes of
// data, but always one if there is one. Their age is filled in when the machine has not
// restarted since they were enqueued.
func (s *Store) Alerts(ctx context.Context, limit, maxBytes int) ([]api.Event, error) {
	// Before reading: what is enqueued from here on may be read or not, and is changed only by
	// giving it a new number if it was.
	s.alertsOffered.Store(s.incidents.known().next - 1)
	var out []api.Event
	var bad []uint64
	var size int
	now := s.machine.now()
	err := s.incidents.rows(ctx, `SELECT seq, kind, at, boot, boot_ms, clock, data FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?`,
		[]any{s.incidents.known().sent, limit},
		func() { out, bad, size = nil, nil, 0 },
		func(scan func(...any) error) error {
			e := api.Event{Lane: api.LaneAlerts}
			var at int64
			var then moment
			var data string
			if err := scan(&e.Seq, &e.Kind, &at, &then.boot, &then.bootMS, &then.clock, &data); err != nil {
				return err
			}
			if !json.Valid([]byte(data)) {
				bad = append(bad, e.Seq)
				return nil
			}
			if size += len(data) + eventOverhead; size > maxBytes && len(out) > 0 {
				return nil
			}
			e.Time, e.Clock, e.AgeMS, e.Data = fromMillis(at), then.clock, now.age(then), json.RawMessage(data)
			out = append(out, e)
			return nil
		})
	if err != nil {
		return nil, s.wrap("reading the outbox", err)
	}
	for _, seq := range bad { // they would make the whole batch unreadable
		if err := s.Drop(ctx, api.LaneAlerts, seq); err != nil {
			return nil, err
		}
	}
	if len(out) == 0 && len(bad) > 0 {
		return s.Alerts(ctx, limit, maxBytes)
	}
	return out, nil
}

// eventOverhead is about what an event's JSON takes beside its data.
const eventOverhead = 128

// AlertsDelivered deletes the alerts up to committed, which the hub has on its disk. Those that
// notYet lists are held until ReleaseHeld, because the hub does not know their kind.
func (s *Store) AlertsDelivered(ctx context.Context, committed uint64, notYet []api.Refusal) error {
	committed = min(committed, s.alertsOffered.Load()) // nothing that was not sent can be confirmed
	err := s.incidents.free(ctx, func(t *tx) error {
		for _, r := range notYet {
			if r.Lane != api.LaneAlerts || r.Seq > committed {
				continue
			}
			if _, err := t.exec(`INSERT OR REPLACE INTO held SELECT * FROM outbox WHERE seq = ?`, r.Seq); err != nil {
				return err
			}
		}
		if len(notYet) > 0 {
			if err := s.boundHeld(t); err != nil {
				return err
			}
		}
		t.queue.sent = max(t.queue.sent, committed)
		t.queue.delivered(t.queue.sent)
		return removeAlerts(t, `DELETE FROM outbox WHERE seq <= ? RETURNING length(data)`, t.queue.sent)
	})
	if full(s.o.Dir, err) && len(notYet) == 0 {
		// Not even the reserve was enough to delete. What comes next is sent all the same, and the
		// next confirmation deletes these rows too.
		err = s.incidents.write(ctx, func(t *tx) error {
			t.queue.sent = max(t.queue.sent, committed)
			return nil
		})
	}
	return s.wrap("deleting delivered alerts", err)
}

// maxHeld bounds the events that are held.
const maxHeld = 10_000

func (s *Store) boundHeld(t *tx) error {
	var times []int64
	err := t.query(`DELETE FROM held WHERE seq IN (SELECT seq FROM held ORDER BY seq DESC LIMIT -1 OFFSET ?) RETURNING at`, []any{maxHeld},
		func(scan func(...any) error) error {
			var at int64
			err := scan(&at)
			times = append(times, at)
			return err
		})
	if err != nil {
		return err
	}
	for _, at := range times {
		if err := s.reportAlertGap(t, api.Gap{Kind: api.GapAlerts, From: fromMillis(at), To: fromMillis(at), Count: 1, Reason: reasonFull}); err != nil {
			return err
		}
	}
	return nil
}

// ReleaseHeld moves held events of these kinds to the end of the alerts lane.
func (s *Store) ReleaseHeld(ctx context.Context, kinds []api.Kind) error {
	released := false
	err := s.incidents.write(ctx, func(t *tx) error {
		released = false
		for _, kind := range kinds {
			var held []uint64
			err := t.query(`SELECT seq FROM held WHERE kind = ? ORDER BY seq`, []any{string(kind)}, func(scan func(...any) error) error {
				var seq uint64
				if err := scan(&seq); err != nil {
					return err
				}
				held = append(held, seq)
				return nil
			})
			if err != nil {
				return err
			}
			for _, seq := range held {
				if err := release(t, seq); err != nil {
					return err
				}
				released = true
			}
		}
		return s.boundOutbox(t)
	})
	if err == nil && released {
		s.signal()
	}
	return s.wrap("releasing held events", err)
}

func release(t *tx, seq uint64) error {
	next := t.queue.number()
	if err := t.query(`INSERT INTO outbox SELECT ?, kind, incident, middle, at, boot, boot_ms, clock, data FROM held WHERE seq = ? RETURNING length(data)`,
		[]any{next, seq}, func(scan func(...any) error) error {
			var size uint64
			if err := scan(&size); err != nil {
				return err
			}
			t.queue.count++
			t.queue.bytes += size
			return nil
		}); err != nil {
		return err
	}
	if _, err := t.exec(`UPDATE evidence SET seq = ? WHERE seq = ? AND uploaded = 0`, next, seq); err != nil {
		return err
	}
	_, err := t.exec(`DELETE FROM held WHERE seq = ?`, seq)
	return err
}

// Drop removes one event that the hub can never take, so that it does not block those behind it,
// and reports it as a gap. An alert's row is set aside; the incident itself stays in the store.
func (s *Store) Drop(ctx context.Context, lane api.Lane, seq uint64) error {
	switch lane {
	case api.LaneAlerts:
		return s.dropAlert(ctx, seq)
	case api.LaneTelemetry:
		return s.dropTelemetry(ctx, seq)
	}
	return fmt.Errorf("dropping an event: the store has no lane %q", lane)
}

func (s *Store) dropAlert(ctx context.Context, seq uint64) error {
	return s.wrap("dropping an event", s.incidents.free(ctx, func(t *tx) error {
		var kind api.Kind
		var at int64
		found := false
		err := t.query(`SELECT kind, at FROM outbox WHERE seq = ?`, []any{seq}, func(scan func(...any) error) error {
			found = true
			return scan(&kind, &at)
		})
		if err != nil || !found {
			return err
		}
		if err := s.setAside(t, `SELECT 'outbox', seq, 'dropped', ?, data FROM outbox WHERE seq = ?`, seq); err != nil {
			return err
		}
		if err := removeAlerts(t, `DELETE FROM outbox WHERE seq = ? RETURNING length(data)`, seq); err != nil {
			return err
		}
		lost := api.Gap{Kind: api.GapAlerts, From: fromMillis(at), To: fromMillis(at), Count: 1, Reason: reasonRefused}
		switch kind {
		case api.KindGap:
			t.queue.forget(seq)
			return nil // a hub that cannot read a gap cannot read one about it
		case api.KindEvidence:
			lost.Kind = api.GapEvidence
			if _, err := t.exec(`UPDATE evidence SET uploaded = ? WHERE seq = ?`, givenUp, seq); err != nil {
				return err
			}
		}
		return s.reportAlertGap(t, lost)
	}))
}

// forget forgets the gap with a number.
func (q *queueState) forget(seq uint64) {
	for key, row := range q.gaps {
		if row.seq == seq {
			delete(q.gaps, key)
		}
	}
}
