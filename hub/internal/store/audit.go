package store

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// audit appends to the record of who did what, in the transaction of the deed itself. Each row's
// hash covers the one before, so that a row changed or removed later is found.
func (t *tx) audit(who, action, object, detail string) error {
	var prev []byte
	if err := t.one(`SELECT hash FROM audit ORDER BY id DESC LIMIT 1`)(&prev); err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("reading the end of the audit: %w", err)
	}
	at := millis(t.now)
	hash, err := auditHash(prev, at, who, action, object, detail)
	if err != nil {
		return err
	}
	if _, err := t.exec(`INSERT INTO audit(at, who, action, object, detail, hash) VALUES (?, ?, ?, ?, ?, ?)`,
		at, who, action, object, detail, hash); err != nil {
		return fmt.Errorf("writing the audit: %w", err)
	}
	return nil
}

func auditHash(prev []byte, at int64, who, action, object, detail string) ([]byte, error) {
	// JSON, so that no two different rows have the same text.
	text, err := json.Marshal([]any{prev, at, who, action, object, detail})
	if err != nil {
		return nil, fmt.Errorf("hashing the audit: %w", err)
	}
	sum := sha256.Sum256(text)
	return sum[:], nil
}

// AuditEntry is one deed.
type AuditEntry struct {
	ID     int64     `json:"id"`
	At     time.Time `json:"at"`
	Who    string    `json:"who"`
	Action string    `json:"action"`
	Object string    `json:"object"`
	Detail string    `json:"detail,omitempty"`
}

// Audit returns deeds before an ID, newest first; before 0 begins at the newest.
func (s *Store) Audit(ctx context.Context, before int64, limit int) ([]AuditEntry, error) {
	all, err := collect(func(scan func(...any) error) (e AuditEntry, err error) {
		var at int64
		err = scan(&e.ID, &at, &e.Who, &e.Action, &e.Object, &e.Detail)
		e.At = fromMillis(at)
		return e, err
	})(s.read.QueryContext(ctx, `SELECT id, at, who, action, object, detail FROM audit
		WHERE ?1 = 0 OR id < ?1 ORDER BY id DESC LIMIT ?2`, before, limit))
	if err != nil {
		return nil, fmt.Errorf("reading the audit: %w", err)
	}
	return all, nil
}

// VerifyAudit checks the chain from its first row. It returns the ID of the first row that does
// not fit, or 0. It cannot see that rows were cut off at the end; whoever keeps the last
// hash elsewhere can.
func (s *Store) VerifyAudit(ctx context.Context) (broken int64, err error) {
	rows, err := s.read.QueryContext(ctx, `SELECT id, at, who, action, object, detail, hash FROM audit ORDER BY id`)
	if err != nil {
		return 0, fmt.Errorf("reading the audit: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	var prev []byte
	for rows.Next() {
		var id, at int64
		var who, action, object, detail string
		var hash []byte
		if err := rows.Scan(&id, &at, &who, &action, &object, &detail, &hash); err != nil {
			return 0, fmt.Errorf("reading the audit: %w", err)
		}
		want, err := auditHash(prev, at, who, action, object, detail)
		if err != nil {
			return 0, err
		}
		if subtle.ConstantTimeCompare(want, hash) != 1 {
			return id, nil
		}
		prev = hash
	}
	return 0, rows.Err()
}
