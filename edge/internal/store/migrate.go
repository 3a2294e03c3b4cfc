package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// ErrNewer says that a database was written by a newer version of the program.
var ErrNewer = errors.New("the database was written by a newer version of this program")

// migration changes a database from one version of its schema to the next. The version is in
// PRAGMA user_version: the number of migrations that were applied. Databases from before this
// numbering have version 0 and tables; the first migration leaves these as they are.
type migration func(ctx context.Context, q execer) error

// execer is a connection that migrations work on.
type execer interface {
	querier
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// statements is a migration of SQL alone.
func statements(text string) migration {
	return func(ctx context.Context, q execer) error {
		_, err := q.ExecContext(ctx, text)
		return err
	}
}

// migrate brings the database behind c to version to, each migration in a transaction of its own.
func migrate(ctx context.Context, c *sql.Conn, all []migration, to int) error {
	var version int
	if err := c.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > len(all) {
		return fmt.Errorf("%w: its schema is version %d, this program knows %d", ErrNewer, version, len(all))
	}
	for ; version < to; version++ {
		if err := migrateOne(ctx, c, all[version], version+1); err != nil {
			return fmt.Errorf("migrating to version %d: %w", version+1, err)
		}
	}
	return nil
}

func migrateOne(ctx context.Context, c *sql.Conn, m migration, version int) (err error) {
	if _, err := c.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			if _, rerr := c.ExecContext(ctx, "ROLLBACK"); rerr != nil && sqliteCode(rerr)&0xff != codeError {
				err = errors.Join(err, rerr)
			}
		}
	}()
	if err := m(ctx, c); err != nil {
		return err
	}
	if _, err := c.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version)); err != nil {
		return err
	}
	_, err = c.ExecContext(ctx, "COMMIT")
	return err
}
