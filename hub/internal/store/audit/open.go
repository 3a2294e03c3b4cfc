package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/store/secrets"
)

// KeyPlace says where the key of a log is.
type KeyPlace string

// The places of keys.
const (
	KeyInFile     KeyPlace = "file"        // one that was configured
	KeyInFolder   KeyPlace = "data folder" // of a hub on SQLite
	KeyInDatabase KeyPlace = "database"    // beside the log: it protects little
)

// Options say where the key of an audit log and the memory of its heads are.
type Options struct {
	// KeyFile is a file with keys, the same for all hubs on a database; see ParseKeys. Empty: the key is in the
	// file audit.key of the data folder on SQLite, and in the database on PostgreSQL, and made when there is none.
	KeyFile string

	// Replace makes the log go on with the present key although the one that it had is not there any more.
	Replace bool

	Dir    string // the data folder, which keeps the heads that were written; empty: none are kept
	Logger *slog.Logger
}

// ErrKey is the error of a key that is not the log's.
var ErrKey = errors.New("the key is not that of the audit log")

// Open prepares the log of a database: it loads the keys, or makes one if no place for it was configured, and
// gives them to the transactions of the database. The first entry with a key is written here, so that its hash
// covers what was written without one. It returns ErrKey if a file is configured, or was, that lacks the key of the newest
// entry. A key that is lost in its default place is replaced, because a hub must start: entries with the
// lost key are reported as such.
func Open(ctx context.Context, d *db.DB, o Options) (*Repository, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	r := &Repository{db: d, log: o.Logger}
	r.place, _ = keyPlace(d, o)
	if o.Dir != "" {
		r.memory = &HeadFile{Path: filepath.Join(o.Dir, HeadFileName), MaxSize: maxHeadFile}
	}
	keys, err := loadKeys(ctx, d, o)
	if err != nil {
		return nil, fmt.Errorf("loading the key of the audit log: %w", err)
	}
	Use(d, keys)
	if err := r.begin(ctx, keys, o); err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	return r, nil
}

// keyPlace returns where the keys are; the store is nil for a file.
func keyPlace(d *db.DB, o Options) (KeyPlace, secrets.Store) {
	switch {
	case o.KeyFile != "":
		return KeyInFile, nil
	case d.Engine() == db.SQLite:
		return KeyInFolder, secrets.InFolder(d.Dir(), secrets.AuditKeys())
	}
	return KeyInDatabase, secrets.Of(d, o.Dir, secrets.AuditKeys())
}

func loadKeys(ctx context.Context, d *db.DB, o Options) (Keys, error) {
	_, store := keyPlace(d, o)
	if store == nil {
		return LoadKeyFile(o.KeyFile)
	}
	text, err := store.Load(ctx)
	if err == nil && text == nil {
		// Also when the key was in a file that is not configured now: the key that is made is not used then.
		if err = store.Create(ctx, NewKeys().Text()); err == nil {
			text, err = store.Load(ctx)
		}
	}
	if err != nil {
		return Keys{}, err
	}
	return ParseKeys(text)
}

// LoadKeyFile reads the keys in a file.
func LoadKeyFile(path string) (Keys, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Keys{}, fmt.Errorf("reading %s: %w", path, errors.Unwrap(err)) // os names the path too
	}
	k, err := ParseKeys(text)
	if err != nil {
		return Keys{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return k, nil
}

// begin makes the log go on with the first of the keys. An entry of the log names each key that it goes on with.
func (r *Repository) begin(ctx context.Context, keys Keys, o Options) error {
	goesOn := func(h head) bool { return h.keyID == keys.ID() && h.keyPlace == r.place }
	h, err := readHead(r.db.Read(ctx), "")
	if err != nil || goesOn(h) {
		return err
	}
	return r.db.Update(ctx, "audit_key", func(t *db.Tx) error {
		h, err := readHead(t.Reader, t.ForUpdate())
		if err != nil || goesOn(h) { // another hub was first
			return err
		}
		if err := t.Affected(`UPDATE audit_head SET key_place = ? WHERE id = 1`, string(r.place)); err != nil || h.keyID == keys.ID() {
			return err
		}
		seal, detail := true, ""
		switch {
		case h.keyID == "": // nothing was keyed before
			h.keyedFrom = h.last.id + 1
		case keys.Has(h.keyID): // the log goes on with another key
			found := h.checkSeal(keys)
			seal, detail = found == finding{}, "after "+h.keyID
		case o.Replace || o.KeyFile == "" && h.keyPlace != KeyInFile:
			r.log.Error("the key of the audit log is lost: entries that have it cannot be verified until it is back", "key", h.keyID, "place", string(h.keyPlace))
			detail = "after " + h.keyID + ", which is lost"
		case o.KeyFile == "":
			return fmt.Errorf("%w: the newest entry has the key %s, which was in a file that was configured, and no file is", ErrKey, h.keyID)
		default:
			return fmt.Errorf("%w: the newest entry has the key %s; add it to %s, on a line after the present key", ErrKey, h.keyID, o.KeyFile)
		}
		if seal {
			if err := h.writeSeal(t, keys); err != nil {
				return err
			}
		}
		Append(t, "hub", "audit key", keys.ID(), detail)
		return nil
	})
}

// NewestKey returns the ID of the key of the newest entry of a database's log; empty if it has none. It needs no key.
func NewestKey(r db.Reader) (id string, err error) {
	if err := r.One(`SELECT key_id FROM audit_head WHERE id = 1`)(&id); err != nil {
		return "", fmt.Errorf("reading which key the audit log has: %w", err)
	}
	return id, nil
}

// KeyID returns the ID of the key that makes new entries; empty if there is none.
func (r *Repository) KeyID() string { return r.keys().ID() }

// KeyPlace returns where the key is.
func (r *Repository) KeyPlace() KeyPlace { return r.place }

func (r *Repository) keys() Keys { return keysOf(r.db.Attached(attachedKeys{})) }
