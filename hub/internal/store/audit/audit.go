// Package audit stores who did what, in a log whose entries are chained: the hash of each entry covers the
// entry before it, so that an entry that is changed, inserted or removed later is found.
//
// An entry is written in the transaction of the action that it records. On PostgreSQL, transactions
// append concurrently: the row of the head is locked from an entry's write to the commit, so that there
// is one chain, whose numbers are dense. It is locked late in a transaction, after the rows of the
// action and before the counter of the change feed.
//
// The hash is an HMAC-SHA256 with a key that is not in the log (see Options): who can change the database but
// does not have the key cannot compute the chain anew. Entries from before keys have a SHA-256; no
// such entry can follow one with a key. What the log itself cannot prove is that its end was not cut off. That is
// found by heads: numbers and hashes of the newest entry, signed and kept elsewhere; see Head.
package audit

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"gridpost/hub/internal/db"
)

// Entry is one action of somebody.
type Entry struct {
	ID     int64 // the number in the chain
	At     time.Time
	Who    string // the name as it was then: a user's, "token NAME", "edge NAME", "hub", "command line"
	UserID string // of the user of the name; empty: it is not a user's, or the entry is older than IDs
	Action string
	Object string
	Detail string
}

// Append adds an entry to the log when the transaction is about to commit; it can be called anywhere in
// the transaction. When it fails, so does the transaction.
func Append(t *db.Tx, who, action, object, detail string) {
	t.Late(func(t *db.Tx) error {
		if err := write(t, Entry{Who: who, Action: action, Object: object, Detail: detail}); err != nil {
			return fmt.Errorf("writing the audit log: %w", err)
		}
		return nil
	})
}

func write(t *db.Tx, e Entry) error {
	id, err := UserID(t.Reader, e.Who)
	if err != nil {
		return err
	}
	r := row{at: db.Millis(t.Now()), who: e.Who, userID: &id, action: e.Action, object: e.Object, detail: e.Detail}
	var prev []byte
	var was string
	if err := t.One(`SELECT last, hash, key_id FROM audit_head WHERE id = 1`+t.ForUpdate())(&r.id, &prev, &was); err != nil {
		return err
	}
	r.id++
	keys := keysOf(t.Attached(attachedKeys{}))
	keyID := keys.ID()
	switch {
	case keyID != "":
		r.keyID = &keyID
	case was != "": // a program that has not called Open
		return fmt.Errorf("%w: the newest entry has the key %s, and this program has none", ErrKey, was)
	}
	if r.hash, err = r.sum(prev, keys); err != nil {
		return err
	}
	if _, err := t.Exec(`INSERT INTO audit(id, at, who, user_id, action, object, detail, hash, key_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.id, r.at, r.who, id, r.action, r.object, r.detail, r.hash, r.keyID); err != nil {
		return err
	}
	return t.Affected(`UPDATE audit_head SET last = ?, hash = ?, key_id = ? WHERE id = 1`, r.id, r.hash, keyID)
}

// Record stores an action that changes nothing else in the database, and returns when it is committed.
func (r *Repository) Record(ctx context.Context, all ...Entry) error {
	return r.db.Update(ctx, "audit", func(t *db.Tx) error {
		for _, e := range all {
			Append(t, e.Who, e.Action, e.Object, e.Detail)
		}
		return nil
	})
}

// UserID returns the ID of the user who has a name, or had it; empty if nobody has.
func UserID(r db.Reader, name string) (id string, err error) {
	err = r.One(`SELECT user_id FROM user_names WHERE name = ?`, name)(&id)
	if errors.Is(err, db.ErrNotFound) {
		return "", nil
	}
	return id, err
}

// row is a stored entry.
type row struct {
	id, at int64
	who    string
	userID *string // nil: from before users had IDs
	action string
	object string
	detail string
	hash   []byte
	keyID  *string // nil: from before keys
}

// errNoKey is the error of a row whose key is not known here.
var errNoKey = errors.New("the key is not known")

// sum returns the hash of a row after one with the hash prev; errNoKey if it needs a key that is not among
// the keys.
func (r row) sum(prev []byte, keys Keys) ([]byte, error) {
	if len(prev) == 0 {
		prev = nil // before the first row: JSON null
	}
	// JSON, so that no two different rows have the same text. Rows from before users had IDs end here.
	fields := []any{prev, r.at, r.who, r.action, r.object, r.detail}
	if r.userID != nil {
		fields = append(fields, r.id, *r.userID)
	}
	if r.keyID != nil {
		fields = append(fields, *r.keyID)
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("hashing an entry: %w", err)
	}
	if r.keyID != nil {
		k, ok := keys.find(*r.keyID)
		if !ok {
			return nil, errNoKey
		}
		return k.sum(text), nil
	}
	sum := sha256.Sum256(text)
	return sum[:], nil
}

const columns = `id, at, who, user_id, action, object, detail, hash, key_id`

func scanRow(scan func(...any) error) (r row, err error) {
	err = scan(&r.id, &r.at, &r.who, &r.userID, &r.action, &r.object, &r.detail, &r.hash, &r.keyID)
	return r, err
}

func (r row) entry() Entry {
	e := Entry{ID: r.id, At: db.FromMillis(r.at), Who: r.who, Action: r.action, Object: r.object, Detail: r.detail}
	if r.userID != nil {
		e.UserID = *r.userID
	}
	return e
}

// Repository reads and verifies the audit log. Its methods may be called from any goroutine.
type Repository struct {
	db     *db.DB
	log    *slog.Logger
	place  KeyPlace
	memory *HeadFile // of the heads that this hub has written; nil: none
}

// New returns the repository of a database, for who needs no keys; see Open.
func New(d *db.DB) *Repository { return &Repository{db: d, log: slog.Default()} }
