package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"gridpost/devices/durable"
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
	return durable.Rename(path, f.path())
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
	return errors.Join(err, w.Sync(), w.Close())
}

// salvage copies every row that can be read from the damaged database at path into c.
func (f *file) salvage(ctx context.Context, c *sql.Conn, path string) (err error) {
	if err := stretch(path); err != nil {
		return err
	}
	version, err := sourceVersion(ctx, path)
	switch {
	case damaged(err):
		// Its first page, which describes the tables, is gone. That of a new database describes the
		// same ones, unless this one has been migrated.
		f.logger.Error("the first page of a damaged database is lost; that of a new one is tried", "file", f.name)
		version = len(f.migrations)
	case err != nil:
		return err
	case version > len(f.migrations):
		return ErrNewer
	}
	// The copy has the version of its source; connect migrates it.
	if merr := migrate(ctx, c, f.migrations, max(version, 1)); merr != nil {
		return merr
	}
	if damaged(err) {
		if err := graft(ctx, c, f.path()+suffixNew, path); err != nil {
			return err
		}
	}
	src, err := connect(path, "NORMAL", 2, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	for _, table := range f.tables {
		n, err := copyTable(ctx, src, c, table)
		if err != nil {
			return err
		}
		f.logger.Warn("rows were copied from a damaged database", "file", f.name, "table", table, "rows", n)
	}
	return nil
}

// sourceVersion returns the version of a damaged database's schema.
func sourceVersion(ctx context.Context, path string) (version int, err error) {
	db, err := connect(path, "NORMAL", 2, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var tables int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return 0, err
	}
	return version, db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
}

// stretch makes a file that was cut as long as its header says: SQLite reads nothing of a file
// that is shorter. What is added is a hole that takes no room.
func stretch(path string) error {
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	want, err := claimedSize(path)
	if damaged(err) {
		return nil
	}
	const most = 1 << 40 // a header that says more is wrong
	if err != nil || want <= fi.Size() || want > most {
		return err
	}
	return os.Truncate(path, want)
}

// graft replaces the first page of the database at to by that of the new database behind c at
// from, whose tables have the same root pages.
func graft(ctx context.Context, c *sql.Conn, from, to string) error {
	if _, err := c.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return err
	}
	fi, err := os.Stat(to)
	if err != nil {
		return err
	}
	page, err := firstPage(from)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(page[28:], uint32((fi.Size()+pageSize-1)/pageSize))
	clear(page[32:40]) // no list of free pages
	w, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = w.WriteAt(page, 0)
	err = errors.Join(err, w.Truncate((fi.Size()+pageSize-1)/pageSize*pageSize), w.Close())
	return err
}

// firstPage reads the first page of a new database. Closing the file drops the locks that SQLite
// holds on it in this process, which nobody else uses.
func firstPage(path string) ([]byte, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	page := make([]byte, pageSize)
	_, err = io.ReadFull(r, page)
	return page, errors.Join(err, r.Close())
}

// copyTable copies a table's rows in the order of their keys, up to the first that cannot be
// read, and then backwards from the end. It returns how many rows the copy has. A row can be read whose
// text is lost in part: where it should be JSON and is not, it is not copied.
func copyTable(ctx context.Context, src *sql.DB, c *sql.Conn, table string) (rows int64, err error) {
	columns, key, err := describe(ctx, c, table)
	if err != nil || len(columns) == 0 {
		return 0, err // a table that this version of the schema does not have
	}
	if _, err := c.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return 0, err
	}
	list, from := strings.Join(columns, ", "), table
	if slices.Contains(columns, "data") && table != "set_aside" {
		from += " WHERE json_valid(data)"
	}
	insert, err := c.PrepareContext(ctx, fmt.Sprintf("INSERT OR IGNORE INTO %s (%s) VALUES (%s)",
		table, list, strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ")))
	if err == nil {
		err = copyRows(ctx, src, insert, fmt.Sprintf("SELECT %s FROM %s ORDER BY %s", list, from, key), len(columns), false)
		if damaged(err) {
			backwards := "SELECT " + list + " FROM " + from + " ORDER BY " + strings.ReplaceAll(key, ",", " DESC,") + " DESC"
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
