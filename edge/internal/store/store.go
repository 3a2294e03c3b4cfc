// Package store keeps what an edge must not lose: incidents, their evidence, and everything
// that the hub has not yet acknowledged.
//
// Two SQLite files. incidents.db is written with full synchronisation: what a Save method of
// incidents, statuses or evidence has returned from survives a power cut. telemetry.db is
// synchronised lazily: it survives the death of the process, and a power cut costs its last
// moments at most. No transaction spans both. A row leaves an outbox only when the hub has
// committed it.
//
// Store is safe for concurrent use. The package is the only one on the edge that imports
// SQLite, and must import nothing of Gridpost but hub/api, detection and devices.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"gridpost/devices"

	sqlite "modernc.org/sqlite"
)

// ErrFull says that the disk has no room. Nothing that was saved before is affected.
var ErrFull = errors.New("the disk is full")

// Options are where and how much a Store keeps. Zero values mean the defaults of withDefaults.
type Options struct {
	Dir            string // the edge's data directory
	Logger         *slog.Logger
	TelemetryBytes int64 // most bytes of telemetry.db; the oldest readings make room
	EvidenceBytes  int64 // most bytes of evidence files; uploaded ones make room
	Now            func() time.Time

	incidentPages int64 // tests: PRAGMA max_page_count of incidents.db
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.TelemetryBytes == 0 {
		o.TelemetryBytes = 256 << 20
	}
	if o.EvidenceBytes == 0 {
		o.EvidenceBytes = 4 << 30
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Store is an edge's memory.
type Store struct {
	o         Options
	incidents *sql.DB // one connection: SQLite has one writer
	telemetry *sql.DB
	wake      chan struct{}

	mu       sync.Mutex
	epoch    string
	seq      uint64 // last telemetry number given
	reserved uint64 // telemetry numbers up to here are promised by incidents.db
	problems []devices.Cause
}

// Open opens the store in o.Dir, and makes it when it is not there. A file that SQLite finds
// to be damaged is set aside and said by Problems, because an edge that does not start keeps
// nothing at all.
func Open(ctx context.Context, o Options) (*Store, error) {
	o = o.withDefaults()
	if err := os.MkdirAll(filepath.Join(o.Dir, dirEvidence), 0o700); err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	s := &Store{o: o, wake: make(chan struct{}, 1)}
	var err error
	if s.incidents, err = s.openFile(ctx, "incidents.db", "FULL", o.incidentPages, incidentSchema); err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	pages := o.TelemetryBytes / pageSize
	if s.telemetry, err = s.openFile(ctx, "telemetry.db", "NORMAL", pages, telemetrySchema); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store: %w", err), s.incidents.Close())
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store: %w", err), s.Close())
	}
	return s, nil
}

// Close writes the logs back into the files and closes them.
func (s *Store) Close() error {
	return errors.Join(s.incidents.Close(), s.telemetry.Close())
}

// Epoch names this store's numbering of events.
func (s *Store) Epoch() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

// Wake is signalled after something prompt (alerts, state) went into the outbox. One signal
// may stand for many rows.
func (s *Store) Wake() <-chan struct{} { return s.wake }

func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default: // a signal is pending already
	}
}

// pageSize is SQLite's page size in bytes.
const pageSize = 4096

func (s *Store) openFile(ctx context.Context, name, synchronous string, pages int64, schema string) (*sql.DB, error) {
	path := filepath.Join(s.o.Dir, name)
	db, err := openDB(ctx, path, synchronous, pages, schema)
	if err == nil || !damaged(err) {
		return db, wrap("opening "+name, err)
	}
	aside := fmt.Sprintf("%s.damaged-%d", path, s.o.Now().Unix())
	if err := os.Rename(path, aside); err != nil {
		return nil, fmt.Errorf("setting the damaged %s aside: %w", name, err)
	}
	for _, tail := range []string{"-wal", "-shm"} {
		if err := os.Rename(path+tail, aside+tail); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("setting the damaged %s aside: %w", name, err)
		}
	}
	s.o.Logger.Error("a damaged file was set aside", "file", name, "aside", aside, "error", err)
	s.problems = append(s.problems, devices.Cause{
		Code: "store_damaged", Params: map[string]string{"file": name, "copy": filepath.Base(aside)},
		Text: fmt.Sprintf("%s was damaged and has been set aside as %s; what it held has not all reached the hub", name, filepath.Base(aside)),
	})
	db, err = openDB(ctx, path, synchronous, pages, schema)
	return db, wrap("opening "+name, err)
}

func openDB(ctx context.Context, path, synchronous string, pages int64, schema string) (*sql.DB, error) {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(" + synchronous + ")", "foreign_keys(1)",
		"mmap_size(0)", "journal_size_limit(4194304)",
	}}
	if pages > 0 {
		q.Add("_pragma", fmt.Sprintf("max_page_count(%d)", pages))
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	// One connection, kept: pragmas are per connection, and a writer never waits for another.
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	var ok string
	if err = db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&ok); err == nil && ok != "ok" {
		err = fmt.Errorf("%w: %s", errDamaged, ok)
	}
	if err == nil {
		_, err = db.ExecContext(ctx, schema)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// start reads, or mints, the epoch and the telemetry numbering.
func (s *Store) start(ctx context.Context) error {
	err := s.inTx(ctx, s.incidents, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES ('epoch', ?), ('reserved', '0')
			ON CONFLICT (key) DO NOTHING`, uuid.NewString()); err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'epoch'`).Scan(&s.epoch); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'reserved'`).Scan(&s.reserved)
	})
	// Numbers that were promised may have been used by rows that a power cut took.
	s.seq = s.reserved
	return err
}

var errDamaged = errors.New("the file is damaged")

// Result codes of SQLite (https://www.sqlite.org/rescode.html); the low byte is the primary one.
const (
	codeCorrupt = 11
	codeFull    = 13
	codeNotADB  = 26
	codeShmSize = 4874 // SQLITE_IOERR_SHMSIZE: no room to grow the -shm file
)

func damaged(err error) bool {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()&0xff == codeCorrupt || e.Code()&0xff == codeNotADB
	}
	return errors.Is(err, errDamaged)
}

// wrap says what was being done, and translates a full disk.
func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	var e *sqlite.Error
	if errors.As(err, &e) && (e.Code()&0xff == codeFull || e.Code() == codeShmSize) {
		return fmt.Errorf("%s: %w (%w)", doing, ErrFull, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func (s *Store) inTx(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, rollback(tx))
	}
	return tx.Commit()
}

// rollback ends tx; SQLite has ended it already when the disk was full.
func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		var e *sqlite.Error
		if errors.As(err, &e) && e.Code()&0xff == 1 { // "no transaction is active"
			return nil
		}
		return err
	}
	return nil
}
