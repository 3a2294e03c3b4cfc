package db

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"gridpost/devices/retry"
)

// Lock locks a database against hubs: no hub can start on it until unlock is called, and it fails when one
// runs. PostgreSQL has no such lock; there it fails when a hub is connected, and stays. The folder of a
// SQLite database must exist.
func Lock(ctx context.Context, o Options) (unlock func(), err error) {
	if o.URL == "" {
		unlock, err := lockFile(filepath.Join(o.Dir, o.Name+".lock"))
		if err != nil {
			return nil, fmt.Errorf("locking the data folder %s: %w", o.Dir, err)
		}
		return unlock, nil
	}
	conn, err := pgx.Connect(ctx, o.URL)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", explain(err))
	}
	n, err := hubsOn(ctx, conn, "gridpost "+o.Name)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return nil, fmt.Errorf("looking for hubs on the database: %w", err)
	}
	if n > 0 {
		return nil, fmt.Errorf("%w: %d connections of hubs", errRunning, n)
	}
	return func() {}, nil
}

// leaving is for how long PostgreSQL may show the connections of a hub that has stopped.
const leaving = 2 * time.Second

// hubsOn returns how many connections of hubs are there, and stay.
func hubsOn(ctx context.Context, conn *pgx.Conn, name string) (n int, err error) {
	for until := time.Now().Add(leaving); ; {
		err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1 AND pid != pg_backend_pid()`, name).Scan(&n)
		if err != nil || n == 0 || time.Now().After(until) || !retry.Sleep(ctx, 20*time.Millisecond) {
			return n, err
		}
	}
}

// SetAside moves a database out of the way: the files of SQLite into the folder `aside` below o.Dir, a schema of
// PostgreSQL to the name NAME_aside. It does nothing when there is none.
func SetAside(ctx context.Context, o Options, aside string) error {
	if o.URL != "" {
		return setSchemaAside(ctx, o, o.Name+"_"+aside)
	}
	for _, suffix := range []string{".db-wal", ".db-shm", ".db"} {
		name := o.Name + suffix
		err := os.MkdirAll(filepath.Join(o.Dir, aside), 0o700)
		if err == nil {
			err = os.Rename(filepath.Join(o.Dir, name), filepath.Join(o.Dir, aside, name))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("setting %s aside: %w", name, err)
		}
	}
	return nil
}

func setSchemaAside(ctx context.Context, o Options, name string) (err error) {
	conn, err := pgx.Connect(ctx, o.URL)
	if err != nil {
		return fmt.Errorf("opening the database: %w", explain(err))
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)`, o.Name).Scan(&exists); err != nil {
		return fmt.Errorf("looking for the schema %s: %w", o.Name, err)
	}
	if !exists {
		return nil
	}
	if _, err := conn.Exec(ctx, `ALTER SCHEMA `+pgx.Identifier{o.Name}.Sanitize()+` RENAME TO `+pgx.Identifier{name}.Sanitize()); err != nil {
		return fmt.Errorf("setting the schema %s aside: %w", o.Name, err)
	}
	return nil
}
