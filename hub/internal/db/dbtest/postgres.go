package dbtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"gridpost/devices/postgresql"
	"gridpost/hub/internal/db"
)

// server returns the URL of the PostgreSQL server of this test program: that of GRIDPOST_POSTGRES, or one
// of its own, which ends with the program.
func server() (string, error) {
	r, err := run()
	return r.url, err
}

// running is a server. It is kept, because one that the garbage collector takes ends.
type running struct {
	url    string
	server *postgresql.Server // nil: somebody else's
}

var run = sync.OnceValues(func() (running, error) {
	if given := os.Getenv("GRIDPOST_POSTGRES"); given != "" {
		return running{url: given}, nil
	}
	s, err := postgresql.Start(context.Background(), postgresql.Options{})
	if err != nil {
		return running{}, err
	}
	return running{url: s.URL("postgres"), server: s}, nil
})

// URL returns the URL of a new, empty database on the test program's PostgreSQL server. It is dropped when
// the test ends.
func URL(t testing.TB) string { return newDatabase(t, "template0") }

// clone returns the URL of a new database with the migrations of o.
func clone(t testing.TB, o db.Options) string {
	t.Helper()
	name, err := template(t.Context(), o)
	if err != nil {
		t.Fatalf("making a template database on PostgreSQL: %v", err)
	}
	return newDatabase(t, name)
}

func newDatabase(t testing.TB, template string) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text()[:12])
	admin(t, `CREATE DATABASE `+name+` TEMPLATE `+template)
	t.Cleanup(func() { admin(t, `DROP DATABASE `+name+` WITH (FORCE)`) })
	base, err := server()
	if err != nil {
		t.Fatal(err)
	}
	return withDatabase(t, base, name)
}

// Admin returns what executes statements as the superuser of the test program's PostgreSQL server.
func Admin(t testing.TB) func(text string) { return func(text string) { t.Helper(); admin(t, text) } }

// admin executes a statement as the superuser of the server.
func admin(t testing.TB, text string) {
	t.Helper()
	base, err := server()
	if err != nil {
		t.Fatalf("starting a PostgreSQL server for tests: %v", err)
	}
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, base)
	if err == nil {
		_, err = conn.Exec(ctx, text)
		err = errors.Join(err, conn.Close(ctx))
	}
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func withDatabase(t testing.TB, base, name string) string {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// template makes a database with the migrations of o, once for each content of the migrations, and
// returns its name. Several test programs may use the server.
func template(ctx context.Context, o db.Options) (name string, err error) {
	base, err := server()
	if err != nil {
		return "", err
	}
	sum, err := hash(o)
	if err != nil {
		return "", err
	}
	name = "template_" + sum
	conn, err := pgx.Connect(ctx, base)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }() // also unlocks
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(hashtext($1))`, name); err != nil {
		return "", err
	}
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, name).Scan(&exists); err != nil || exists {
		return name, err
	}
	// Under another name until it is complete: this program may be killed.
	draft := "draft_" + strings.ToLower(rand.Text()[:12])
	if _, err := conn.Exec(ctx, `CREATE DATABASE `+draft+` TEMPLATE template0`); err != nil {
		return "", err
	}
	u, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	u.Path = "/" + draft
	o.URL = u.String()
	d, err := db.Open(ctx, o)
	if err != nil {
		return "", err
	}
	if err := d.Close(); err != nil {
		return "", err
	}
	if err := shrink(ctx, o.URL); err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, `ALTER DATABASE `+draft+` RENAME TO `+name)
	return name, err
}

// shrink makes a template smaller, because it is copied for each test: PostGIS knows 8,500 systems of
// coordinates, and Gridpost uses one.
func shrink(ctx context.Context, url string) (err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass('public.spatial_ref_sys') IS NOT NULL`).Scan(&exists); err != nil || !exists {
		return err
	}
	if _, err := conn.Exec(ctx, `DELETE FROM public.spatial_ref_sys WHERE srid != 4326`); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `VACUUM FULL public.spatial_ref_sys`)
	return err
}

// hash identifies the migrations of o.
func hash(o db.Options) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, o.Name)
	err := fs.WalkDir(o.Schema, "postgres", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(o.Schema, path)
		fmt.Fprintln(sum, path, len(text))
		sum.Write(text)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil)[:8]), err
}
