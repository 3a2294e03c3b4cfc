package alerts

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/notify"
)

// Alert is what happened to an incident.
type Alert struct {
	Kind     notify.AlertKind
	Kind1    notify.AlertKind // in events of format 1; empty: the same as Kind
	Incident string
	Device   string // edge/device; empty for an incident of a report

	// Data returns the incident as GET /api/v1/incidents/{id} does. It is called only when there
	// is a target.
	Data func(*db.Tx) (json.RawMessage, error)
}

// heldQuery has a row when a new delivery of a target and incident must wait; releaseQuery is the one that others
// wait for. The 5 in both and in the index deliveries_order is notify.OrderAttempts: only a constant lets the
// engines use the index.
const (
	heldQuery    = `SELECT 1 FROM deliveries b WHERE b.target = ?1 AND b.incident = ?2 AND b.state = 'pending' AND b.attempts < 5`
	releaseQuery = `SELECT id FROM deliveries WHERE target = ?1 AND incident = ?2 AND state = 'pending' AND attempts < 5 ORDER BY seq LIMIT 1`

	// numberQuery gives each target that is enabled its next number, and locks the rows of these targets.
	numberQuery = `UPDATE webhooks SET last_number = last_number + 1 WHERE disabled = '' AND removed_at IS NULL RETURNING id, last_number`
)

var _ = [1]struct{}{}[notify.OrderAttempts-5]

// numbered is a target and the number of its new delivery.
type numbered struct {
	target string
	number int64
}

// Enqueue writes an alert under the number of its entry in the change feed, with one delivery for each target
// that is enabled. The transaction must hold the change feed, so that only one at a time locks the rows of
// several targets.
func Enqueue(t *db.Tx, seq int64, a Alert) error {
	targets, err := db.Collect(func(scan func(...any) error) (n numbered, err error) {
		err = scan(&n.target, &n.number)
		return n, err
	})(t.Rows(numberQuery))
	if err != nil {
		return fmt.Errorf("numbering the deliveries of an alert: %w", err)
	}
	if len(targets) == 0 {
		return nil
	}
	data, err := a.Data(t)
	if err != nil {
		return fmt.Errorf("reading the incident of an alert: %w", err)
	}
	event, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("generating the ID of an alert: %w", err)
	}
	if a.Kind1 == "" {
		a.Kind1 = a.Kind
	}
	now := db.Millis(t.Now())
	if _, err := t.Exec(`INSERT INTO alerts(seq, event, kind, type, incident, device, at, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		seq, event.String(), string(a.Kind1), string(a.Kind), a.Incident, a.Device, now, string(data)); err != nil {
		return fmt.Errorf("enqueueing an alert: %w", err)
	}
	for _, n := range targets {
		// The rows of the targets are locked: what is before this delivery does not change. On
		// PostgreSQL, a statement after the lock sees what was committed before it.
		if _, err := t.Exec(`INSERT INTO deliveries(id, target, seq, number, incident, queued_at, next_at, state, held)
			VALUES (?3, ?1, ?4, ?6, ?2, ?5, ?5, 'pending', CASE WHEN EXISTS (`+heldQuery+`) THEN 1 ELSE 0 END)`,
			n.target, a.Incident, notify.DeliveryID(event.String(), n.target), seq, now, n.number); err != nil {
			return fmt.Errorf("enqueueing a delivery: %w", err)
		}
	}
	t.Notify(db.Alerts, "")
	return nil
}

// release frees the delivery of a target and incident that nothing is before any more, if there is
// one and it is held.
func release(t *db.Tx, target, incident string) error {
	_, err := t.Exec(`UPDATE deliveries SET held = 0 WHERE held = 1 AND id = (`+releaseQuery+`)`, target, incident)
	if err != nil {
		return fmt.Errorf("releasing a delivery: %w", err)
	}
	return nil
}
