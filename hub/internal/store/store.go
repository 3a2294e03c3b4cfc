// Package store keeps everything that the hub knows in one SQLite file.
//
// What always holds: a change and the line of the live stream that tells it are written in one
// transaction, and so are an alert and its deliveries. An event of an edge is applied at most once,
// because the mark that says so moves in the transaction that applies it. One connection
// writes, a few read; another process (hub token create) may write the same file meanwhile.
//
// Nothing outside this package knows SQL. It must not import the hub's other packages but
// notify, whose queue it keeps.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"gridpost/devices/diskspace"
)

//go:embed schema/*.sql
var schema embed.FS

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("exists already, or is in another state")
	ErrForeign  = errors.New("belongs to another edge")
	ErrFull     = errors.New("the hub's disk is full")
)

// reserveBytes is the room that is reserved on the disk, so that a hub starts, and deletes what is
// old, when the disk is full: SQLite makes the shared-memory file anew at each start.
const reserveBytes = 8 << 20

// readers is how many connections read at the same time.
const readers = 4

// Options say where the store is and how it behaves.
type Options struct {
	Dir    string           // the hub's data folder; made if missing
	Logger *slog.Logger     // nil: slog.Default
	Now    func() time.Time // nil: time.Now
}

// Store is the hub's memory. Its methods may be called from any goroutine.
type Store struct {
	dir   string
	log   *slog.Logger
	now   func() time.Time
	write *sql.DB // its one connection is writer
	read  *sql.DB

	reserve *diskspace.Reserve

	turn   chan struct{} // held by who writes; guards the two below
	writer *sql.Conn
	stmts  map[string]*sql.Stmt // prepared on writer

	changes  *signal // something was written that the live stream tells
	commands *signal // a command was written, or finished
	alerts   *signal // deliveries were queued
}

// Open opens the store in o.Dir, makes it if there is none, and brings its schema up to date. When
// the disk is full, it gives up the room that an earlier Open reserved; without one it returns
// ErrFull.
func Open(o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data folder: %w", err)
	}
	s := &Store{
		dir: o.Dir, log: o.Logger, now: o.Now,
		turn: make(chan struct{}, 1), stmts: make(map[string]*sql.Stmt),
		changes: newSignal(), commands: newSignal(), alerts: newSignal(),
		reserve: diskspace.NewReserve(filepath.Join(o.Dir, "reserve"), reserveBytes),
	}
	err := s.openFiles()
	reserve := s.reserve.Acquire
	if errors.Is(err, ErrFull) && s.reserve.Release() {
		o.Logger.Warn("the disk is full; the reserved room is used to start", "dir", o.Dir)
		err, reserve = s.openFiles(), s.reserve.Retake // for the next start
	}
	if err != nil {
		return nil, err
	}
	if err := reserve(); err != nil {
		o.Logger.Warn("no room is reserved on the disk", "error", err)
	}
	return s, nil
}

// openFiles opens the database. It leaves nothing open when it fails.
func (s *Store) openFiles() (err error) {
	defer func() { err = full(s.dir, err) }()
	path := filepath.Join(s.dir, "hub.db")
	// SQLite gives its other files the mode of this one: nobody else reads password hashes.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("making the store: %w", err)
	}
	if err := f.Close(); err != nil { // before SQLite opens it: closing later would drop its locks
		return fmt.Errorf("making the store: %w", err)
	}
	if s.write, err = open(path, 1, "_txlock=immediate&_pragma=journal_mode(WAL)"); err != nil {
		return err
	}
	if err := migrate(s.write); err != nil {
		return errors.Join(err, s.write.Close())
	}
	if s.writer, err = s.write.Conn(context.Background()); err != nil {
		return errors.Join(fmt.Errorf("taking the writing connection: %w", err), s.write.Close())
	}
	if s.read, err = open(path, readers, "_txlock=deferred&_pragma=query_only(1)"); err != nil {
		return errors.Join(err, s.writer.Close(), s.write.Close())
	}
	return nil
}

func open(path string, conns int, extra string) (*sql.DB, error) {
	name := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + extra +
		"&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)"
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	if err := db.Ping(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), db.Close())
	}
	return db, nil
}

// Close ends all use of the store. It waits for the transaction that is being written.
func (s *Store) Close() error {
	s.turn <- struct{}{} // never given back: nothing is written after Close
	var errs []error
	for _, st := range s.stmts {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, s.writer.Close(), s.read.Close(), s.write.Close())...)
}

// Dir returns the hub's data folder.
func (s *Store) Dir() string { return s.dir }

// Ping says whether the store answers.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	if err := s.read.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
		return fmt.Errorf("asking the store: %w", err)
	}
	return nil
}

// migrate applies the schema files whose number is above the database's, each in a
// transaction of its own.
func migrate(db *sql.DB) error {
	names, err := fs.Glob(schema, "schema/*.sql")
	if err != nil {
		return fmt.Errorf("listing the schema: %w", err)
	}
	newest := 0
	for _, name := range names { // sorted by name
		number, err := strconv.Atoi(strings.SplitN(filepath.Base(name), "_", 2)[0])
		if err != nil {
			return fmt.Errorf("numbering schema file %s: %w", name, err)
		}
		if err := apply(db, name, number); err != nil {
			return fmt.Errorf("applying schema file %s: %w", name, err)
		}
		newest = number
	}
	var have int
	if err := db.QueryRow("PRAGMA user_version").Scan(&have); err != nil {
		return fmt.Errorf("reading the schema's version: %w", err)
	}
	if have > newest {
		return fmt.Errorf("the store has schema %d, of a later version of this program; this one knows up to %d", have, newest)
	}
	return nil
}

func apply(db *sql.DB, name string, number int) (err error) {
	text, err := schema.ReadFile(name)
	if err != nil {
		return err
	}
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	var have int
	// Asked inside the transaction: another process may be migrating the same file.
	if err := tx.QueryRow("PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	if have < number {
		if _, err := tx.Exec(string(text)); err != nil {
			return err
		}
		if _, err := tx.Exec("PRAGMA user_version = " + strconv.Itoa(number)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// signal wakes everybody who waits for something to have changed. It carries nothing: who
// wakes looks into the store. Waking too often is harmless.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

func newSignal() *signal { return &signal{ch: make(chan struct{})} }

func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ch
}

func (s *signal) raise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.ch)
	s.ch = make(chan struct{})
}

// Changed returns a channel that is closed at the next change written by this process.
// Take it before looking into the store, or a change in between is missed.
func (s *Store) Changed() <-chan struct{} { return s.changes.wait() }

// CommandsChanged is Changed for commands.
func (s *Store) CommandsChanged() <-chan struct{} { return s.commands.wait() }

// AlertsQueued is Changed for deliveries to webhook targets.
func (s *Store) AlertsQueued() <-chan struct{} { return s.alerts.wait() }
