package db_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/db/schema"
)

// add publishes n entries of the change feed.
func add(t testing.TB, d *db.DB, n int) {
	t.Helper()
	for i := range n {
		if err := d.Update(context.WithoutCancel(t.Context()), "test", func(tx *db.Tx) error {
			tx.Publish("test", "", "", i, nil)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func valid(t *testing.T, d *db.DB, history string, number int64) bool {
	t.Helper()
	ok, err := d.Valid(t.Context(), history, number)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// begin begins a history as a hub that starts.
func begin(t *testing.T, d *db.DB) (id string) {
	t.Helper()
	if err := d.BeginHistory(t.Context()); err != nil {
		t.Fatal(err)
	}
	id, err := d.History(t.Context())
	if err != nil || id == "" {
		t.Fatalf("history %q, %v", id, err)
	}
	return id
}

func TestPositions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		if id, err := d.History(t.Context()); id != "" || err != nil {
			t.Errorf("before the first start: %q, %v", id, err)
		}
		first := begin(t, d)
		add(t, d, 5)
		second := begin(t, d)
		if same := first == second; same != (d.Engine() == db.Postgres) {
			t.Errorf("a restart on %s: history %s, then %s", d.Engine(), first, second)
		}
		if err := d.NewHistory(t.Context()); err != nil {
			t.Fatal(err)
		}
		third := begin(t, d)
		add(t, d, 5)
		for _, test := range []struct {
			history string
			number  int64
			want    bool
		}{
			{first, 0, true},
			{first, 5, true},
			{first, 6, false},
			{second, 5, true},
			{second, 6, false},
			{third, 5, true},
			{third, 10, true},
			{third, 11, false},
			{"none", 1, false},
			{"", 10, true},
			{"", 11, false},
			{third, -1, false},
		} {
			if got := valid(t, d, test.history, test.number); got != test.want {
				t.Errorf("history %q, number %d: valid %v", test.history, test.number, got)
			}
		}
	})
}

// TestRestoredCopyIsAnotherHistory copies the files of SQLite, goes on, and starts a hub on the copy.
func TestRestoredCopyIsAnotherHistory(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, db.Options{})
	begin(t, d)
	add(t, d, 5)
	dir := t.TempDir()
	if err := d.Update(t.Context(), "copy", func(*db.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"hub.db", "hub.db-wal"} {
		text, err := os.ReadFile(filepath.Join(d.Dir(), name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := begin(t, d)
	add(t, d, 5)
	restored, err := db.Open(t.Context(), db.Options{Dir: dir, Name: "hub", Schema: schema.Hub()})
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close() //nolint:errcheck // the end of the test
	begin(t, restored)
	add(t, restored, 7)
	if valid(t, restored, before, 10) {
		t.Error("a position of what the copy lacks is taken for valid")
	}
}

// TestMigrationsOfBothEngines compares the numbers of the files, from those on that both have.
func TestMigrationsOfBothEngines(t *testing.T) {
	names := func(engine string) map[string]bool {
		files, err := os.ReadDir(filepath.Join("schema", "hub", engine))
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]bool{}
		for _, f := range files {
			if f.Name() > "0011" {
				all[f.Name()] = true
			}
		}
		return all
	}
	sqlite, postgres := names("sqlite"), names("postgres")
	for name := range sqlite {
		if !postgres[name] {
			t.Errorf("PostgreSQL lacks %s", name)
		}
	}
	for name := range postgres {
		if !sqlite[name] {
			t.Errorf("SQLite lacks %s", name)
		}
	}
}
