package db_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/db/schema"
)

// exec executes a statement in a PostgreSQL database as its superuser.
func exec(t *testing.T, url, text string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	d, err := db.Open(ctx, db.Options{URL: url, Name: "admin", Schema: fstest.MapFS{"postgres/0001_x.sql": {Data: []byte("SELECT 1")}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Update(ctx, "test", func(tx *db.Tx) error {
		_, err := tx.Exec(text)
		return err
	}), d.Close()); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// as returns the URL of a database for another user and database name.
func as(t *testing.T, of, user, name string) string {
	t.Helper()
	u, err := url.Parse(of)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		u.User = url.User(user)
	}
	if name != "" {
		u.Path = "/" + name
	}
	return u.String()
}

// TestOpenSaysWhatIsWrong opens what cannot be opened.
func TestOpenSaysWhatIsWrong(t *testing.T) {
	empty := dbtest.URL(t)
	role := "nobody_" + strings.ToLower(rand.Text()[:12])
	admin := dbtest.Admin(t)
	admin(`CREATE ROLE ` + role + ` LOGIN`)
	t.Cleanup(func() { admin(`DROP ROLE ` + role) })
	exec(t, empty, `CREATE SCHEMA hub AUTHORIZATION `+role)
	t.Cleanup(func() { exec(t, empty, `DROP SCHEMA hub CASCADE`) })
	newer := dbtest.Open(t, db.Postgres, db.Options{})
	if err := newer.Update(t.Context(), "test", func(tx *db.Tx) error { return tx.Affected(`INSERT INTO schema_version(number) VALUES (9999)`) }); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ url, want string }{
		"no server":         {"postgres://gridpost@127.0.0.1:1/town", "no PostgreSQL server answers there"},
		"no database":       {as(t, empty, "", "nowhere"), "no such database; make it with createdb"},
		"no user":           {as(t, empty, "gridpost_unknown", ""), "refuses the user or the password"},
		"no right to add":   {as(t, empty, role, ""), "a superuser of the server must run in it: CREATE EXTENSION postgis"},
		"newer schema":      {newer.URL(), "later version of this program"},
		"not a URL":         {"postgres://a b:c", "reading the URL of the database"},
		"password is quiet": {"postgres://gridpost:hunter2@127.0.0.1:1/town", "no PostgreSQL server"},
	} {
		d, err := db.Open(t.Context(), db.Options{URL: test.url, Name: "hub", Schema: schema.Hub()})
		if err == nil {
			t.Errorf("%s: opened", name)
			_ = d.Close()
			continue
		}
		if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOrderOfTexts refuses a database whose order differs from SQLite's.
func TestOrderOfTexts(t *testing.T) {
	base := dbtest.URL(t)
	name := "test_order_" + strings.ToLower(rand.Text()[:12])
	admin := dbtest.Admin(t)
	admin(`CREATE DATABASE ` + name + ` TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'`)
	t.Cleanup(func() { admin(`DROP DATABASE ` + name + ` WITH (FORCE)`) })
	_, err := db.Open(t.Context(), db.Options{URL: as(t, base, "", name), Name: "hub", Schema: schema.Hub()})
	if err == nil || !strings.Contains(err.Error(), "--locale=C.UTF-8") {
		t.Errorf("a database in the order of a language: %v", err)
	}
}

// TestHubsOpenOneDatabaseAtOnce migrates an empty database by several hubs at the same time.
func TestHubsOpenOneDatabaseAtOnce(t *testing.T) {
	url := dbtest.URL(t)
	var opening sync.WaitGroup
	for range 3 {
		opening.Go(func() {
			d, err := db.Open(t.Context(), db.Options{URL: url, Name: "hub", Schema: schema.Hub()})
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(d.Ping(t.Context()), d.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	opening.Wait()
}

// versions is a schema in several versions.
func versions(n int) fstest.MapFS {
	files := fstest.MapFS{
		"postgres/0001_first.sql": {Data: []byte(`CREATE TABLE feed(id BIGINT, last BIGINT)`)}, "postgres/0002_second.sql": {Data: []byte(`SELECT 1`)},
	}
	if n == 1 {
		delete(files, "postgres/0002_second.sql")
	}
	return files
}

// TestRunningHubIsNotMigratedOnPostgreSQL runs a hub of one version and opens the database with the next
// one, which must not migrate under the first one's hands.
func TestRunningHubIsNotMigratedOnPostgreSQL(t *testing.T) {
	url := dbtest.URL(t)
	old, err := db.Open(t.Context(), db.Options{URL: url, Name: "hub", Schema: versions(1)})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close() //nolint:errcheck // the end of the test
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	wake := old.Wait(db.Changes, "")
	go func() { done <- old.Run(ctx) }()
	<-wake // it holds the lock
	short, stop := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer stop()
	if d, err := db.Open(short, db.Options{URL: url, Name: "hub", Schema: versions(2)}); err == nil {
		t.Error("migrated under a running hub")
		_ = d.Close()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	d, err := db.Open(t.Context(), db.Options{URL: url, Name: "hub", Schema: versions(2)})
	if err != nil {
		t.Fatalf("after its end: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	// The hub of the first version comes back: it must end, and say why.
	if err := old.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "later version") {
		t.Errorf("the old hub on the new schema: %v", err)
	}
}

// TestFailedStatementEndsATransaction swallows the error of a statement.
func TestFailedStatementEndsATransaction(t *testing.T) {
	d := dbtest.Open(t, db.Postgres, db.Options{})
	err := d.Update(t.Context(), "test", func(tx *db.Tx) error {
		if _, err := tx.Exec(`INSERT INTO feed(id, last) VALUES (1, 1)`); err == nil {
			t.Error("a second counter")
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "a statement that had failed") {
		t.Errorf("a transaction that went on: %v", err)
	}
	add(t, d, 1)
}
