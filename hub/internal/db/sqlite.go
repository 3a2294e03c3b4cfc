package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite" // also the driver "sqlite"

	"gridpost/devices/diskspace"
)

const (
	// reserveBytes is the room that is reserved on the disk, so that a hub starts, and deletes what is
	// old, when the disk is full: SQLite makes the shared-memory file anew at each start.
	reserveBytes = 8 << 20

	// readers is how many connections read at the same time.
	readers = 4

	// maxStatements bounds the prepared statements of a connection. Texts beyond it are prepared each
	// time.
	maxStatements = 512

	// othersEvery is how often what other processes have written is looked for.
	othersEvery = time.Second

	// reserveEvery is how often the reserve is taken again, if it was given up.
	reserveEvery = time.Minute
)

func (d *DB) openSQLite(ctx context.Context) error {
	if err := os.MkdirAll(d.o.Dir, 0o700); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	d.engine = SQLite
	// Of the folder, which both of its databases share.
	d.reserve = diskspace.NewReserve(filepath.Join(d.o.Dir, "reserve"), reserveBytes)
	err := d.openFiles(ctx)
	if errors.Is(err, ErrFull) && d.release() {
		return d.openFiles(ctx)
	}
	if err != nil {
		return err
	}
	if err := d.reserve.Acquire(); err != nil {
		d.log.Warn("no room is reserved on the disk", "error", err)
	}
	return nil
}

// release gives the reserved room up, for a start on a full disk. It returns false when there is none.
func (d *DB) release() bool {
	if d.reserve == nil || !d.reserve.Release() {
		return false
	}
	d.log.Warn("the disk is full; the reserved room is used to start", "dir", d.o.Dir)
	d.givenUp.Store(true)
	return true
}

// retake takes back, for the next start, what is left of the room that this one has used.
func (d *DB) retake() {
	if !d.givenUp.Swap(false) {
		return
	}
	if err := d.reserve.Retake(); err != nil {
		d.log.Warn("no room is reserved on the disk", "error", err)
	}
}

// Reserve takes the reserved room of the disk again, if it was given up and there is room. It does
// nothing on PostgreSQL.
func (d *DB) Reserve() error {
	if d.reserve == nil {
		return nil
	}
	return d.reserve.Acquire()
}

// openFiles opens the database. It leaves nothing open when it fails.
func (d *DB) openFiles(ctx context.Context) (err error) {
	var pools []*sql.DB
	unlock := func() {}
	defer func() {
		if err != nil {
			for _, pool := range pools {
				err = errors.Join(err, pool.Close())
			}
			unlock()
			err = d.full(err)
		}
	}()
	path := filepath.Join(d.o.Dir, d.o.Name+".db")
	// SQLite gives its other files the mode of this one: nobody else reads password hashes.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("making the database: %w", err)
	}
	if err := f.Close(); err != nil { // before SQLite opens it: closing later would drop its locks
		return fmt.Errorf("making the database: %w", err)
	}
	lockPath := filepath.Join(d.o.Dir, d.o.Name+".lock")
	if d.o.Exclusive {
		if unlock, err = lockDir(d.o.Dir, d.o.Name); err != nil {
			return err
		}
	}
	synchronous := map[Durability]string{Full: "FULL", Normal: "NORMAL"}[d.o.Durability]
	pool, err := openPool(ctx, path, 1, "_txlock=immediate&_pragma=auto_vacuum(2)&_pragma=journal_mode(WAL)&_pragma=synchronous("+synchronous+")")
	if err != nil {
		return err
	}
	pools = append(pools, pool)
	if err := d.migrateSQLite(ctx, pool, lockPath); err != nil {
		return err
	}
	c, err := pool.Conn(ctx)
	if err != nil {
		return fmt.Errorf("taking the writing connection: %w", err)
	}
	reading, err := openPool(ctx, path, readers, "_txlock=deferred&_pragma=query_only(1)")
	if err != nil {
		return errors.Join(err, c.Close())
	}
	w := &sqliteWriter{d: d, conn: &sqliteConn{conn: c, stmts: map[string]*sql.Stmt{}}}
	if err := w.lookForOthers(ctx); err != nil { // what other processes write from now on is noticed
		return errors.Join(err, reading.Close(), c.Close())
	}
	d.writer = w
	d.read = &sqliteReader{pool: reading, stmts: map[string]*sql.Stmt{}}
	d.pools, d.unlock = append(pools, reading), unlock
	return nil
}

func openPool(ctx context.Context, path string, conns int, extra string) (*sql.DB, error) {
	name := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + extra + "&_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)"
	pool, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), pool.Close())
	}
	return pool, nil
}

// full marks the error of a disk without room as ErrFull.
func (d *DB) full(err error) error {
	if err == nil || errors.Is(err, ErrFull) {
		return err
	}
	if d.engine == Postgres {
		var e *pgconn.PgError
		if errors.As(err, &e) && e.Code == codeDiskFull {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
		return err
	}
	var e *sqlite.Error
	code := 0
	if errors.As(err, &e) {
		code = e.Code()
	}
	if diskspace.IsFull(d.o.Dir, err, code) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// sqliteConn is the connection that writes, used by one goroutine at a time.
type sqliteConn struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

// prepared returns the statement of a text, prepared once; nil when there are too many.
func (c *sqliteConn) prepared(ctx context.Context, text string) (*sql.Stmt, error) {
	if st, ok := c.stmts[text]; ok {
		return st, nil
	}
	if len(c.stmts) >= maxStatements {
		return nil, nil
	}
	st, err := c.conn.PrepareContext(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("preparing a statement: %w", err)
	}
	c.stmts[text] = st
	return st, nil
}

func (c *sqliteConn) exec(ctx context.Context, text string, args []any) (sql.Result, error) {
	st, err := c.prepared(ctx, text)
	switch {
	case err != nil:
		return nil, err
	case st == nil:
		return c.conn.ExecContext(ctx, text, args...)
	}
	return st.ExecContext(ctx, args...)
}

func (c *sqliteConn) query(ctx context.Context, text string, args []any) (*sql.Rows, error) {
	st, err := c.prepared(ctx, text)
	switch {
	case err != nil:
		return nil, err
	case st == nil:
		return c.conn.QueryContext(ctx, text, args...)
	}
	return st.QueryContext(ctx, args...)
}

func (c *sqliteConn) close() error {
	var errs []error
	for _, st := range c.stmts {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, c.conn.Close())...)
}

// sqliteReader reads on several connections at a time.
type sqliteReader struct {
	pool *sql.DB

	mu    sync.RWMutex
	stmts map[string]*sql.Stmt
}

// prepared returns the statement of a text, prepared once per connection; nil when there are too many.
func (r *sqliteReader) prepared(ctx context.Context, text string) (*sql.Stmt, error) {
	r.mu.RLock()
	st, n := r.stmts[text], len(r.stmts)
	r.mu.RUnlock()
	if st != nil || n >= maxStatements {
		return st, nil
	}
	st, err := r.pool.PrepareContext(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("preparing a statement: %w", err)
	}
	r.mu.Lock()
	other := r.stmts[text]
	if other == nil {
		r.stmts[text] = st
	}
	r.mu.Unlock()
	if other == nil {
		return st, nil
	}
	return other, st.Close() // another call was faster
}

func (r *sqliteReader) query(ctx context.Context, text string, args []any) (*sql.Rows, error) {
	st, err := r.prepared(ctx, text)
	switch {
	case err != nil:
		return nil, err
	case st == nil:
		return r.pool.QueryContext(ctx, text, args...)
	}
	return st.QueryContext(ctx, args...)
}

func (r *sqliteReader) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, st := range r.stmts {
		errs = append(errs, st.Close())
	}
	clear(r.stmts)
	return errors.Join(errs...)
}
