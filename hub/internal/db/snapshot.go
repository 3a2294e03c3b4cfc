package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Snapshot calls fn with a reader of one state of the database: every query sees what was committed when
// the first one began. It holds no lock, but on SQLite the write-ahead log grows while it lasts, and on
// PostgreSQL vacuum waits.
func (d *DB) Snapshot(ctx context.Context, fn func(Reader) error) (err error) {
	var o *sql.TxOptions
	if d.engine == Postgres {
		o = &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	}
	tx, err := d.pools[1].BeginTx(ctx, o) // the pool of readers
	if err != nil {
		return fmt.Errorf("beginning a snapshot: %w", err)
	}
	defer func() {
		if rerr := tx.Rollback(); !errors.Is(rerr, sql.ErrTxDone) {
			err = errors.Join(err, rerr)
		}
	}()
	return fn(Reader{ctx: ctx, q: snapshotConn{tx: tx, engine: d.engine}, d: d})
}

// snapshotConn queries within a read transaction.
type snapshotConn struct {
	tx     *sql.Tx
	engine Engine
}

func (c snapshotConn) query(ctx context.Context, text string, args []any) (*sql.Rows, error) {
	if c.engine == Postgres {
		text, args = dollars(text), arguments(args)
	}
	return c.tx.QueryContext(ctx, text, args...)
}

// VacuumInto writes a copy of one state of a SQLite database into a new file, without what is unused in
// it. Others may read and write meanwhile.
func (d *DB) VacuumInto(ctx context.Context, path string) (err error) {
	if d.engine != SQLite {
		return fmt.Errorf("copying the database %s into a file: it is on %s", d.o.Name, d.engine)
	}
	// An empty file that is there counts as new. Made here, nobody else can read it.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return d.full(fmt.Errorf("copying the database %s into a file: %w", d.o.Name, err))
	}
	pool, err := openPool(ctx, filepath.Join(d.o.Dir, d.o.Name+".db"), 1, "_txlock=deferred")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	if _, err := pool.ExecContext(ctx, `VACUUM INTO ?`, path); err != nil {
		return d.full(fmt.Errorf("copying the database %s into a file: %w", d.o.Name, err))
	}
	return nil
}

// SchemaVersion returns the number of the newest migration of a schema.
func SchemaVersion(schema fs.FS, e Engine) (int, error) {
	all, err := migrations(schema, e)
	if err != nil {
		return 0, err
	}
	return all[len(all)-1].number, nil
}
