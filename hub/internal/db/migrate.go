package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errRunning says that a hub holds the lock.
var errRunning = errors.New("another hub runs on it")

// migration is one numbered file of a schema.
type migration struct {
	number int
	name   string
	text   string
}

// migrations returns the files of an engine, by number.
func migrations(schema fs.FS, e Engine) ([]migration, error) {
	names, err := fs.Glob(schema, e.String()+"/*.sql")
	if err != nil {
		return nil, fmt.Errorf("listing the schema: %w", err)
	}
	var all []migration
	for _, name := range names {
		number, err := strconv.Atoi(strings.SplitN(path.Base(name), "_", 2)[0])
		if err != nil {
			return nil, fmt.Errorf("numbering schema file %s: %w", name, err)
		}
		text, err := fs.ReadFile(schema, name)
		if err != nil {
			return nil, fmt.Errorf("reading schema file %s: %w", name, err)
		}
		all = append(all, migration{number: number, name: name, text: string(text)})
	}
	slices.SortFunc(all, func(a, b migration) int { return a.number - b.number })
	if len(all) == 0 {
		return nil, fmt.Errorf("the schema has no files for %s", e)
	}
	return all, nil
}

// behind says whether a schema lacks migrations. It refuses one that is newer than the program.
func behind(have int, all []migration) (bool, error) {
	newest := all[len(all)-1].number
	if have > newest {
		return false, fmt.Errorf("the database has schema %d, of a later version of this program; this one knows up to %d", have, newest)
	}
	return have < newest, nil
}

// migrateSQLite applies the migrations that the database lacks, each in a transaction of its own, while
// no hub runs on it.
func (d *DB) migrateSQLite(ctx context.Context, pool *sql.DB, lockPath string) error {
	all, err := migrations(d.o.Schema, SQLite)
	if err != nil {
		return err
	}
	version := func() (have int, err error) {
		if err := pool.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
			return 0, fmt.Errorf("reading the version of the schema: %w", err)
		}
		return have, nil
	}
	unlock := func() {}
	for until := time.Now().Add(d.o.lockWait); ; {
		have, err := version()
		if err != nil {
			return err
		}
		if old, err := behind(have, all); err != nil || !old {
			return err
		}
		if d.o.Exclusive {
			break // locked before
		}
		if unlock, err = lockFile(lockPath); err == nil {
			break
		}
		if !errors.Is(err, errRunning) || time.Now().After(until) {
			return fmt.Errorf("the database has schema %d and must be migrated by this version, but: %w; stop it first", have, err)
		}
		select { // another command may be migrating
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	defer unlock()
	have, err := version() // again: another process may have migrated before this one got the lock
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.number <= have {
			continue
		}
		if err := applySQLite(ctx, pool, m); err != nil {
			return fmt.Errorf("applying schema file %s: %w", m.name, err)
		}
	}
	return nil
}

func applySQLite(ctx context.Context, pool *sql.DB, m migration) (err error) {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	if _, err := tx.ExecContext(ctx, m.text); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "PRAGMA user_version = "+strconv.Itoa(m.number)); err != nil {
		return err
	}
	return tx.Commit()
}

// lockDir locks a data folder for one hub.
func lockDir(dir, name string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return func() {}, fmt.Errorf("making the data folder: %w", err)
	}
	if unlock, err = lockFile(filepath.Join(dir, name+".lock")); err != nil {
		return unlock, fmt.Errorf("locking the data folder %s: %w", dir, err)
	}
	return unlock, nil
}

// lockFile locks a file until unlock is called or the process ends, however it ends. It returns
// errRunning when another process has it.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return func() {}, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errRunning
		}
		return func() {}, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}
