package incidents

import (
	"database/sql"
	"encoding/json"
	"fmt"

	"gridpost/hub/internal/db"
)

// addFact appends to an incident's timeline. A fact without a time happened now; none happens after now.
func addFact(tx *db.Tx, incident string, f Fact) error {
	f.RecordedAt = tx.Now()
	if f.OccurredAt.IsZero() || f.OccurredAt.After(f.RecordedAt) {
		f.OccurredAt = f.RecordedAt
	}
	var data any
	if f.Data != nil {
		data = string(f.Data)
	}
	if _, err := tx.Exec(`INSERT INTO facts(incident, kind, who, text, data, occurred_at, recorded_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		incident, string(f.Kind), f.Who, f.Text, data, db.Millis(f.OccurredAt), db.Millis(f.RecordedAt)); err != nil {
		return fmt.Errorf("adding to the timeline of %s: %w", incident, err)
	}
	return nil
}

func scanFact(scan func(...any) error) (Fact, error) {
	var f Fact
	var occurred, recorded int64
	var data sql.NullString
	err := scan(&f.Kind, &f.Who, &f.Text, &data, &occurred, &recorded)
	f.OccurredAt, f.RecordedAt = db.FromMillis(occurred), db.FromMillis(recorded)
	if data.Valid {
		f.Data = json.RawMessage(data.String)
	}
	return f, err
}

// factsOf returns the timeline of an incident, in the order in which it was recorded.
func factsOf(r db.Reader, incident string) ([]Fact, error) {
	all, err := db.Collect(scanFact)(r.Rows(`SELECT kind, who, text, data, occurred_at, recorded_at FROM facts WHERE incident = ? ORDER BY id`, incident))
	if err != nil {
		return nil, fmt.Errorf("reading the timeline of %s: %w", incident, err)
	}
	return all, nil
}
