package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"gridpost/hub/api"
)

// gapKey says which losses are counted together while the hub has not been told of them.
type gapKey struct {
	kind   api.GapKind
	device string
	reason string
}

// gapRow is a gap that waits, and its number.
type gapRow struct {
	seq uint64
	gap api.Gap
}

// The reasons of gaps, as cause codes.
const (
	reasonFull    = "store_full"    // dropped to make room for newer ones
	reasonThinned = "store_thinned" // readings reduced to one a minute, because they had to wait for long
	reasonExpired = "store_expired" // older than what the store keeps
	reasonRefused = "hub_refused"   // the hub cannot read it
	reasonInvalid = "invalid_value" // cannot be stored or sent
)

// grow adds a loss to the gap of its kind, device and reason, and returns the gap with its new
// number if it must be written in another place: what the uplink may have read already, up to
// offered, is not changed, because the hub's confirmation of the old content would delete the new.
func (q *queueState) grow(lost api.Gap, offered uint64) (row gapRow, old uint64) {
	key := gapKey{lost.Kind, lost.Device, lost.Reason}
	row, waits := q.gaps[key]
	if waits {
		row.gap = merge(row.gap, lost)
		old = row.seq
	} else {
		row = gapRow{gap: lost}
		row.gap.ID = uuid.NewString()
	}
	if !waits || row.seq <= offered {
		row.seq = q.number()
	}
	if q.gaps == nil {
		q.gaps = map[gapKey]gapRow{}
	}
	q.gaps[key] = row
	return row, old
}

// number gives the next number.
func (q *queueState) number() uint64 {
	n := q.next
	q.next++
	return n
}

// delivered forgets the gaps up to a number and returns how many these were.
func (q *queueState) delivered(seq uint64) (n uint64) {
	for key, row := range q.gaps {
		if row.seq <= seq {
			delete(q.gaps, key)
			n++
		}
	}
	return n
}

// merge adds a loss to a gap. A loss of unknown size makes the size of the whole unknown.
func merge(gap, lost api.Gap) api.Gap {
	if lost.From.Before(gap.From) {
		gap.From = lost.From
	}
	if lost.To.After(gap.To) {
		gap.To = lost.To
	}
	if gap.Count == 0 || lost.Count == 0 {
		gap.Count = 0
	} else {
		gap.Count += lost.Count
	}
	return gap
}

// reportAlertGap enqueues a gap of alerts or evidence in the alerts lane.
func (s *Store) reportAlertGap(t *tx, lost api.Gap) error {
	if !s.deliver.Load() {
		return nil // nobody expects it
	}
	row, old := t.queue.grow(lost, s.alertsOffered.Load())
	if old != 0 {
		if err := removeAlerts(t, `DELETE FROM outbox WHERE seq = ? RETURNING length(data)`, old); err != nil {
			return err
		}
	}
	data, err := json.Marshal(row.gap)
	if err != nil {
		return fmt.Errorf("encoding a gap: %w", err)
	}
	return s.insertAlert(t, row.seq, alert{kind: api.KindGap, at: lost.To, data: data})
}

// reportReadingGap saves a gap of readings in the telemetry lane.
func (s *Store) reportReadingGap(t *tx, lost api.Gap) error {
	if !s.deliver.Load() {
		return nil
	}
	row, old := t.queue.grow(lost, s.telemetryOffered.Load())
	if old == 0 {
		t.queue.count++
	} else if _, err := t.exec(`DELETE FROM gaps WHERE seq = ?`, old); err != nil {
		return err
	}
	g := row.gap
	_, err := t.exec(`INSERT INTO gaps (seq, id, device, reason, first, last, count) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		row.seq, g.ID, g.Device, g.Reason, g.From.UnixMilli(), g.To.UnixMilli(), g.Count)
	return err
}

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func unmarshalGap(data []byte, g *api.Gap) bool { return json.Unmarshal(data, g) == nil }
