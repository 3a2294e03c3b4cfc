// Package secrets stores the keys of a hub, each as a text that is created once: in a file of the data folder,
// or in the database, for hubs that share one.
package secrets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"gridpost/devices/durable"
	"gridpost/hub/internal/db"
)

// Store stores one text. Its methods may be called from any goroutine.
type Store interface {
	// Load returns the text, and nil if there is none.
	Load(ctx context.Context) ([]byte, error)

	// Create stores a text unless there is one already. Of several concurrent calls, one stores its text.
	Create(ctx context.Context, text []byte) error
}

// Secret is a text that a hub keeps.
type Secret struct {
	Name string // for messages
	File string // its path in a data folder and in a backup, with slashes

	load, create string
}

// Authority is the key and the certificate of the hub's certificate authority.
func Authority() Secret {
	return Secret{
		"the key of the certificate authority", "ca/authority.pem", `SELECT pem FROM authority WHERE id = 1`,
		`INSERT INTO authority(id, pem) VALUES (1, ?) ON CONFLICT(id) DO NOTHING`,
	}
}

// AuditKeys are the keys of the audit log. In the database, they protect the log from those who can change its
// tables but not read the table audit_keys, and from nobody else.
func AuditKeys() Secret {
	return Secret{
		"the key of the audit log", "audit.key", `SELECT text FROM audit_keys WHERE id = 1`,
		`INSERT INTO audit_keys(id, text) VALUES (1, ?) ON CONFLICT(id) DO NOTHING`,
	}
}

// All returns the secrets of a hub.
func All() []Secret { return []Secret{Authority(), AuditKeys()} }

// InFolder returns the store of a secret in a data folder. Its file appears whole or not at all, and never replaces
// another.
func InFolder(dir string, secret Secret) Store {
	return file{filepath.Join(dir, filepath.FromSlash(secret.File))}
}

type file struct{ path string }

// Load implements Store.
func (f file) Load(context.Context) ([]byte, error) {
	text, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// Create implements Store.
func (f file) Create(_ context.Context, text []byte) error {
	if err := durable.Create(f.path, text); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Of returns the store of a secret that belongs to a database: dir on SQLite, the database itself on PostgreSQL. There,
// the secret of a folder whose data was moved to the database is kept; dir may be empty.
func Of(d *db.DB, dir string, secret Secret) Store {
	switch {
	case d.Engine() == db.SQLite:
		return InFolder(dir, secret)
	case dir == "":
		return InDatabase(d, secret, nil)
	}
	return InDatabase(d, secret, InFolder(dir, secret))
}

// InDatabase returns the store of a secret in a database. If there is none, the one of before is copied, for data
// that was moved to the database; before may be nil.
func InDatabase(d *db.DB, secret Secret, before Store) Store { return database{d, secret, before} }

type database struct {
	db     *db.DB
	secret Secret
	before Store
}

// Load implements Store.
func (s database) Load(ctx context.Context) ([]byte, error) {
	var text string
	err := s.db.Read(ctx).One(s.secret.load)(&text)
	switch {
	case err == nil:
		return []byte(text), nil
	case !errors.Is(err, db.ErrNotFound):
		return nil, fmt.Errorf("reading %s in the database: %w", s.secret.Name, err)
	case s.before == nil:
		return nil, nil
	}
	old, err := s.before.Load(ctx)
	if err != nil || old == nil {
		return nil, err
	}
	if err := s.Create(ctx, old); err != nil {
		return nil, err
	}
	return InDatabase(s.db, s.secret, nil).Load(ctx) // another hub may have been faster
}

// Create implements Store.
func (s database) Create(ctx context.Context, text []byte) error {
	err := s.db.Update(ctx, "secret_create", func(t *db.Tx) error {
		_, err := t.Exec(s.secret.create, string(text))
		return err
	})
	if err != nil {
		return fmt.Errorf("storing %s in the database: %w", s.secret.Name, err)
	}
	return nil
}
