package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
)

// rebuild makes a new database from what can be read of the one that was set aside, if any, and
// gives it the file's name.
func (f *file) rebuild(ctx context.Context) (err error) {
	path := f.path() + suffixNew
	if err := removeFiles(path); err != nil {
		return err
	}
	made, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := made.Close(); err != nil {
		return err
	}
	if err := f.build(ctx, path); err != nil {
		return errors.Join(fmt.Errorf("building a new %s: %w", f.name, err), removeFiles(path))
	}
	// Closing the last connection has written the log into the file.
	if err := errors.Join(syncFile(path), os.Remove(path+suffixShm), os.Remove(path+suffixWAL)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return rename(path, f.path())
}

func (f *file) build(ctx context.Context, path string) (err error) {
	db, err := connect(path, "NORMAL", 1, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()

	aside := f.path() + suffixDamaged
	if fi, serr := os.Stat(aside); serr != nil || fi.Size() == 0 {
		if wal, werr := os.Stat(aside + suffixWAL); werr != nil || wal.Size() == 0 {
			return migrate(ctx, c, f.migrations, len(f.migrations))
		}
		// SQLite deletes the log of an empty database. Its pages may be all there is.
		if err := replay(aside+suffixWAL, aside); err != nil {
			return err
		}
	}
	return f.salvage(ctx, c, aside)
}

// replay writes the committed pages of a log into a database file.
func replay(wal, path string) error {
	frames, err := checkWAL(wal, "")
	if err != nil && !errors.Is(err, errWAL) || frames == 0 {
		return err
	}
	r, err := os.Open(wal)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	w, err := os.OpenFile(path, os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	var n uint32
	_, err = readWAL(r, func(number, _ uint32, data []byte) error {
		if n++; n > frames {
			return nil
		}
		_, err := w.WriteAt(data, int64(number-1)*int64(len(data)))
		return err
	})
	if errors.Is(err, errWAL) {
		err = nil // after the last commit
	}
	return fullDisk(errors.Join(err, w.Sync(), w.Close()))
}

// salvage copies every row that can be read from the damaged database at path into c.
func (f *file) salvage(ctx context.Context, c *sql.Conn, path string) (err error) {
	version := len(f.migrations)
	src, err := connect(path, "NORMAL", 2, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	var v int
	if err := src.QueryRowContext(ctx, "PRAGMA user_version").Scan(&v); err != nil {
		f.logger.Error("nothing can be read from a damaged database", "file", f.name, "error", err)
	} else if v > version {
		return ErrNewer
	} else {
		version = max(v, 1)
	}
	// The copy has the version of its source; connect migrates it.
	if err := migrate(ctx, c, f.migrations, version); err != nil {
		return err
	}
	for _, table := range f.tables {
		n, err := copyTable(ctx, src, c, table)
		if err != nil {
			return err
		}
		f.logger.Warn("rows were copied from a damaged database", "file", f.name, "table", table, "rows", n)
	}
	return nil
}

// copyTable copies a table's rows in the order of their keys, up to the first that cannot be
// read, and then backwards from the end. It returns how many rows the copy has.
func copyTable(ctx context.Context, src *sql.DB, c *sql.Conn, table string) (rows int64, err error) {
	columns, key, err := describe(ctx, c, table)
	if err != nil || len(columns) == 0 {
		return 0, err // a table that this version of the schema does not have
	}
	if _, err := c.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return 0, err
	}
	list := strings.Join(columns, ", ")
	insert, err := c.PrepareContext(ctx, fmt.Sprintf("INSERT OR IGNORE INTO %s (%s) VALUES (%s)",
		table, list, strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ")))
	if err == nil {
		err = copyRows(ctx, src, insert, fmt.Sprintf("SELECT %s FROM %s ORDER BY %s", list, table, key), len(columns), false)
		if damaged(err) {
			backwards := "SELECT " + list + " FROM " + table + " ORDER BY " + strings.ReplaceAll(key, ",", " DESC,") + " DESC"
			err = copyRows(ctx, src, insert, backwards, len(columns), true)
		}
		err = errors.Join(err, insert.Close())
	}
	if damaged(err) || sqliteCode(err)&0xff == codeError { // unreadable, or no such table in the source
		err = nil
	}
	if err != nil {
		_, rerr := c.ExecContext(ctx, "ROLLBACK")
		return 0, errors.Join(err, rerr)
	}
	if _, err := c.ExecContext(ctx, "COMMIT"); err != nil {
		return 0, err
	}
	err = c.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&rows)
	return rows, err
}

// describe returns a table's columns and the columns of its primary key.
func describe(ctx context.Context, c *sql.Conn, table string) (columns []string, key string, err error) {
	rows, err := c.QueryContext(ctx, "SELECT name, pk FROM pragma_table_info(?)", table)
	if err != nil {
		return nil, "", err
	}
	var keys []string
	err = eachRow(rows, func(scan func(...any) error) error {
		var name string
		var pk int
		if err := scan(&name, &pk); err != nil {
			return err
		}
		columns = append(columns, name)
		if pk > 0 {
			keys = append(keys, name)
		}
		return nil
	})
	return columns, strings.Join(keys, ","), err
}

// copyRows copies the rows of a query. When untilKnown is set, it stops at a row that the copy
// has already. A row that does not fit the schema is left out.
func copyRows(ctx context.Context, src *sql.DB, insert *sql.Stmt, query string, columns int, untilKnown bool) error {
	rows, err := src.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	values := make([]any, columns)
	dest := make([]any, columns)
	for i := range values {
		dest[i] = &values[i]
	}
	return eachRow(rows, func(scan func(...any) error) error {
		if err := scan(dest...); err != nil {
			return err
		}
		r, err := insert.ExecContext(ctx, values...)
		if sqliteCode(err)&0xff == codeConstraint {
			return nil
		}
		if err != nil {
			return fmt.Errorf("writing a row: %w", err)
		}
		if n, err := r.RowsAffected(); err != nil || n > 0 || !untilKnown {
			return err
		}
		return errKnown
	})
}

// errKnown ends the copying backwards: it has met what was copied forwards.
var errKnown = fmt.Errorf("%w: the row is known", errDamaged)

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
