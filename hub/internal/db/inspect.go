package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

// Inspection is what Inspect found.
type Inspection struct {
	Server string    // engine with its version, or the file
	Schema int       // number of the newest migration of the database; 0: it has no tables yet
	Newest int       // number of the newest migration of this program
	Clock  time.Time // of the PostgreSQL server; zero: SQLite
}

// Inspect looks at a database without changing it or waiting for its lock, also while a hub runs on it. It
// returns an error when Open would fail: the server does not answer or refuses the user, the database
// cannot be used, or its schema is newer than the program.
func Inspect(ctx context.Context, o Options) (found Inspection, err error) {
	engine := SQLite
	if o.URL != "" {
		engine = Postgres
	}
	all, err := migrations(o.Schema, engine)
	if err != nil {
		return found, err
	}
	if engine == Postgres {
		found, err = inspectPostgres(ctx, o)
	} else {
		found, err = inspectSQLite(ctx, filepath.Join(o.Dir, o.Name+".db"))
	}
	if err != nil {
		return found, err
	}
	found.Newest = all[len(all)-1].number
	if _, err := behind(found.Schema, all); err != nil {
		return found, err
	}
	return found, nil
}

func inspectSQLite(ctx context.Context, path string) (found Inspection, err error) {
	found.Server = path
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return found, nil
	}
	// Not through openPool: what is only looked at needs no pragmas, and mode=ro changes nothing.
	pool, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		return found, fmt.Errorf("opening %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	if err := pool.QueryRowContext(ctx, "PRAGMA user_version").Scan(&found.Schema); err != nil {
		return found, fmt.Errorf("reading %s: %w", path, err)
	}
	return found, nil
}

func inspectPostgres(ctx context.Context, o Options) (found Inspection, err error) {
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return found, fmt.Errorf("reading the URL of the database: %w", err)
	}
	failed := func(err error) (Inspection, error) {
		return found, fmt.Errorf("using the database %s: %w", where(config), explain(err))
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return failed(err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	var version string
	var create bool
	err = conn.QueryRow(ctx, `SELECT split_part(current_setting('server_version'), ' ', 1), clock_timestamp(),
		has_database_privilege(current_database(), 'CREATE')`).Scan(&version, &found.Clock, &create)
	if err != nil {
		return failed(err)
	}
	found.Server = "PostgreSQL " + version + " (" + where(config) + ")"
	if err := checkOrder(ctx, conn); err != nil {
		return failed(err)
	}
	if found.Schema, err = (&DB{o: o}).schemaVersion(ctx, conn); err != nil {
		return failed(err)
	}
	if found.Schema == 0 && !create {
		return failed(errors.New("the user needs the right CREATE on the database, to make its schema"))
	}
	return found, nil
}
