package store

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
)

// TestMigrationKeepsReadings opens a store of the schema before readings were kept apart by value.
func TestMigrationKeepsReadings(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, "hub.db"))
	if err != nil {
		t.Fatal(err)
	}
	names, err := schema.ReadDir("schema")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if i == 7 {
			break
		}
		if err := apply(db, "schema/"+name.Name(), i+1); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{
		`INSERT INTO edges(name, created_at) VALUES ('gate-7', 1)`,
		`INSERT INTO readings VALUES ('gate-7', 'river', 1000, 2.5, 'good')`,
		`INSERT INTO marks VALUES ('gate-7', 'old', 'alerts', 5, 1)`,
		`INSERT INTO incidents(id, edge, device, rule, kind, title, severity, state, condition, source, opened_at, received_at, updated_at)
			VALUES ('x', 'gate-7', 'yard', 'r', 'line', 't', 'minor', 'open', 'open', 'edge', 5000, 4000, 5000)`,
	} {
		if _, err := db.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // only read
	for query, want := range map[string]int{
		`SELECT count(*) FROM readings WHERE value = 2.5`:  1,
		`SELECT count(*) FROM epochs WHERE epoch = 'old'`:  1,
		`SELECT occurred_at FROM incidents WHERE id = 'x'`: 4000, // its edge's clock was ahead of the hub's
	} {
		if got := count(t, s, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.writer.ExecContext(t.Context(), "PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "later version") {
		t.Errorf("a newer schema: %v", err)
	}
}
