package incidents

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"gridpost/devices"
	"gridpost/hub/internal/db"
)

// row is an incident with what only the repository needs of it.
type row struct {
	Incident
	edgeVersion int    // detection.Incident.Version of the newest alert that was applied
	endedBy     string // why the hub ended its condition; empty: it did not
}

const columns = `i.number, i.id, i.edge, i.device, i.rule, i.kind, i.title, i.names, i.severity, i.state, i.condition, i.source, i.site, i.group_id,
	i.opened_at, i.occurred_at, i.received_at, i.updated_at, i.closed_at, i.ended_at, i.clock, i.place, i.class, i.box, i.value, i.lim,
	i.unit, i.count, i.edge_version, i.ended_by, i.version, i.assignee, i.state_by, i.outcome, i.held`

func scanRow(scan func(...any) error) (row, error) {
	r := row{Incident: Incident{Evidence: []File{}}}
	var opened, occurred, received, updated int64
	var closed, ended sql.NullInt64
	var place, box sql.NullString
	var names string
	var value, limit sql.NullFloat64
	var held int64
	err := scan(&r.Number, &r.ID, &r.Edge, &r.Device, &r.Rule, &r.Kind, &r.Title, &names, &r.Severity, &r.State, &r.Condition, &r.Source, &r.Site,
		&r.Group, &opened, &occurred, &received, &updated, &closed, &ended, &r.Clock, &place, &r.Class, &box, &value, &limit,
		&r.Unit, &r.Count, &r.edgeVersion, &r.endedBy, &r.Version, &r.Assignee, &r.StateBy, &r.Outcome, &held)
	if err != nil {
		return r, err
	}
	r.OpenedAt, r.OccurredAt = db.FromMillis(opened), db.FromMillis(occurred)
	r.ReceivedAt, r.UpdatedAt = db.FromMillis(received), db.FromMillis(updated)
	r.ClosedAt, r.EndedAt, r.Held = db.TimePtr(closed), db.TimePtr(ended), held != 0
	if value.Valid {
		r.Value = &value.Float64
	}
	if limit.Valid {
		r.Limit = &limit.Float64
	}
	if err := json.Unmarshal([]byte(names), &r.Names); err != nil {
		return r, fmt.Errorf("reading the names of incident %s: %w", r.ID, err)
	}
	if r.Place, err = readPlace(place); err != nil {
		return r, fmt.Errorf("reading the place of incident %s: %w", r.ID, err)
	}
	if box.Valid {
		if err := json.Unmarshal([]byte(box.String), &r.Box); err != nil {
			return r, fmt.Errorf("reading the box of incident %s: %w", r.ID, err)
		}
	}
	return r, nil
}

func readPlace(text sql.NullString) (*devices.Place, error) {
	if !text.Valid {
		return nil, nil
	}
	p := new(devices.Place)
	return p, json.Unmarshal([]byte(text.String), p)
}

// jsonOrNull encodes a value for a column; NULL for a nil one.
func jsonOrNull[T any](v *T) (any, error) {
	if v == nil {
		return nil, nil
	}
	text, err := json.Marshal(v)
	return string(text), err
}

func number(f *float64) any {
	if f == nil {
		return nil
	}
	return *f
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func pointer(t time.Time) *time.Time { return &t }

func nullTime(t *time.Time) any {
	if t == nil {
		return nil
	}
	return db.Millis(*t)
}

// insert adds a new incident and sets its number. It returns db.ErrConflict if the ID is in use.
func insert(tx *db.Tx, r *row) error {
	place, err := jsonOrNull(r.Place)
	if err != nil {
		return fmt.Errorf("encoding the place of incident %s: %w", r.ID, err)
	}
	box, err := boxText(r)
	if err != nil {
		return err
	}
	names, err := json.Marshal(r.Names)
	if err != nil {
		return fmt.Errorf("encoding the names of incident %s: %w", r.ID, err)
	}
	rows, err := db.Collect(scanNumber)(tx.Rows(`INSERT INTO incidents(id, edge, device, rule, kind, title, names, severity, state, condition, source, site, group_id,
		opened_at, occurred_at, received_at, updated_at, closed_at, ended_at, clock, place, class, box, value, lim,
		unit, count, edge_version, ended_by, version, assignee, state_by, outcome, held, indexed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)
		ON CONFLICT(id) DO NOTHING RETURNING number`,
		r.ID, r.Edge, r.Device, r.Rule, r.Kind, r.Title, string(names), string(r.Severity), string(r.State), string(r.Condition), string(r.Source), r.Site, r.Group,
		db.Millis(r.OpenedAt), db.Millis(r.OccurredAt), db.Millis(r.ReceivedAt), db.Millis(r.UpdatedAt), nullTime(r.ClosedAt), nullTime(r.EndedAt),
		r.Clock, place, r.Class, box, number(r.Value), number(r.Limit),
		r.Unit, r.Count, r.edgeVersion, r.endedBy, r.Version, r.Assignee, r.StateBy, string(r.Outcome), flag(r.Held)))
	if err != nil {
		return fmt.Errorf("writing incident %s: %w", r.ID, err)
	}
	if len(rows) == 0 {
		return db.ErrConflict
	}
	r.Number = rows[0]
	return nil
}

func scanNumber(scan func(...any) error) (n int64, err error) {
	err = scan(&n)
	return n, err
}

func boxText(r *row) (any, error) {
	if r.Box == nil {
		return nil, nil
	}
	text, err := jsonOrNull(&r.Box)
	if err != nil {
		return nil, fmt.Errorf("encoding the box of incident %s: %w", r.ID, err)
	}
	return text, nil
}

// update writes what can change of an incident.
func update(tx *db.Tx, r *row) error {
	place, err := jsonOrNull(r.Place)
	if err != nil {
		return fmt.Errorf("encoding the place of incident %s: %w", r.ID, err)
	}
	box, err := boxText(r)
	if err != nil {
		return err
	}
	names, err := json.Marshal(r.Names)
	if err != nil {
		return fmt.Errorf("encoding the names of incident %s: %w", r.ID, err)
	}
	err = tx.Affected(`UPDATE incidents SET title = ?, names = ?, severity = ?, state = ?, condition = ?, updated_at = ?, closed_at = ?, ended_at = ?, place = ?,
		class = ?, box = ?, value = ?, lim = ?, unit = ?, count = ?, edge_version = ?, ended_by = ?, version = ?, assignee = ?, state_by = ?,
		outcome = ?, held = ? WHERE number = ?`,
		r.Title, string(names), string(r.Severity), string(r.State), string(r.Condition), db.Millis(r.UpdatedAt), nullTime(r.ClosedAt), nullTime(r.EndedAt), place,
		r.Class, box, number(r.Value), number(r.Limit), r.Unit, r.Count, r.edgeVersion, r.endedBy, r.Version, r.Assignee, r.StateBy,
		string(r.Outcome), flag(r.Held), r.Number)
	if err != nil {
		return fmt.Errorf("writing incident %s: %w", r.ID, err)
	}
	return nil
}

// lockRow reads an incident that the transaction is going to change.
func lockRow(tx *db.Tx, id string) (row, error) {
	return scanRow(tx.One(`SELECT `+columns+` FROM incidents i WHERE i.id = ?`+tx.ForUpdate(), id))
}
