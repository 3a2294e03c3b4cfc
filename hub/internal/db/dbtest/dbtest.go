// Package dbtest opens databases for tests, on each engine.
package dbtest

import (
	"testing"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/schema"
)

// Each runs a test on each engine, with a new database of the hub's schema.
func Each(t *testing.T, test func(t *testing.T, d *db.DB)) {
	t.Helper()
	EachWith(t, db.Options{}, test)
}

// EachWith is Each with options. Empty ones are filled in: the schema is the hub's, the folder or the URL
// that of a new database.
func EachWith(t *testing.T, o db.Options, test func(t *testing.T, d *db.DB)) {
	t.Helper()
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(e.String(), func(t *testing.T) { test(t, Open(t, e, o)) })
	}
}

// Open opens a new database on an engine, until the test ends.
func Open(t testing.TB, e db.Engine, o db.Options) *db.DB {
	t.Helper()
	if o.Name == "" {
		o.Name = "hub"
	}
	if o.Schema == nil {
		o.Schema = schema.Hub()
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if e == db.Postgres && o.URL == "" {
		o.URL = clone(t, o)
	}
	d, err := db.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("opening a database on %s: %v", e, err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Beside opens a further handle on the database of d, or on another one beside it: o.Name and o.Schema as
// for Open.
func Beside(t testing.TB, d *db.DB, o db.Options) *db.DB {
	t.Helper()
	o.Dir, o.URL = d.Dir(), d.URL()
	return Open(t, d.Engine(), o)
}
