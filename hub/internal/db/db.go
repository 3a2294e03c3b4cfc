// Package db is the seam between the hub and its database engine. It gives repositories one way to
// read, to write in transactions, to publish changes and to wake who waits, on SQLite and on
// PostgreSQL.
//
// What always holds: everything that one Update writes is committed together or not at all, and its
// entries of the change feed with it. The numbers of the feed are dense and in the order of commits: a
// reader that has seen number n has seen all numbers before n, and none is ever skipped or used
// twice. Wakes follow commits.
//
// SQL is written once, in the common subset of both engines, with ? or ?N placeholders. This package
// must not import other packages of the hub.
package db

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gridpost/devices/diskspace"
)

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("exists already, or is in another state")
	ErrFull     = errors.New("the hub's disk is full")
)

// Engine is a database engine.
type Engine int

const (
	SQLite Engine = iota
	Postgres
)

func (e Engine) String() string { return [...]string{"sqlite", "postgres"}[e] }

// Durability says what a commit waits for.
type Durability int

const (
	// Full waits until the transaction is on the disk.
	Full Durability = iota
	// Normal may lose the last transactions when the machine loses power, but never damages the
	// database. It is for data whose sender keeps a copy or that may be lost.
	Normal
)

// Options say where a database is and how it behaves.
type Options struct {
	Dir    string // SQLite: folder of the file; made if missing
	URL    string // PostgreSQL: "postgres://user:password@host/database"; empty: SQLite
	Schema fs.FS  // migrations: sqlite/NNNN_name.sql, postgres/NNNN_name.sql
	Name   string // of the file (NAME.db) or of the PostgreSQL schema

	// Exclusive is for a hub that runs: it locks Dir until Close, so that no second hub runs on the folder
	// (on PostgreSQL, hubs with folders of their own share the database). Commands beside a running hub
	// leave it out; they do not migrate while it runs.
	Exclusive bool

	Durability Durability
	Logger     *slog.Logger     // nil: slog.Default
	Now        func() time.Time // nil: time.Now
	Observer   Observer

	systemClock bool // Now was nil

	lockWait time.Duration // how long Open waits for another process that migrates; for tests
}

// Observer gets figures of what the database does. Its functions may be nil; they are called from any
// goroutine, and outside of locks and transactions.
type Observer struct {
	// Commit is called once for each Update: wait is the time until its function began, took the time from
	// there to the end of its commit.
	Commit func(name string, wait, took time.Duration, err error)

	// Group is called once for each commit of SQLite, with the number of Updates that it wrote.
	Group func(updates int)

	// Query is called once for each One and Rows outside of transactions.
	Query func(took time.Duration)

	// Retry is called when an Update runs again, because it lost against another one or its connection was
	// lost.
	Retry func(name string)
}

func (o Options) withDefaults() Options {
	if o.Observer.Commit == nil {
		o.Observer.Commit = func(string, time.Duration, time.Duration, error) {}
	}
	if o.Observer.Group == nil {
		o.Observer.Group = func(int) {}
	}
	if o.Observer.Query == nil {
		o.Observer.Query = func(time.Duration) {}
	}
	if o.Observer.Retry == nil {
		o.Observer.Retry = func(string) {}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now, o.systemClock = time.Now, true
	}
	if o.lockWait == 0 {
		o.lockWait = 5 * time.Second
	}
	return o
}

// DB is an open database. Its methods may be called from any goroutine.
type DB struct {
	o       Options
	engine  Engine
	log     *slog.Logger
	now     func() time.Time
	wakes   *wakes
	queries atomic.Uint64

	read   reader
	writer writer
	reads  readHealth

	pools   []*sql.DB // closed by Close
	unlock  func()
	reserve *diskspace.Reserve // SQLite only
	givenUp atomic.Bool        // the reserve, to start
	runs    atomic.Bool        // Run was called: the start is over

	attached sync.Map // see Attach
}

// writer runs transactions of one engine.
type writer interface {
	// update calls fn in a transaction. fn may be called more than once.
	update(ctx context.Context, name string, fn func(*Tx) error) (*Tx, error)
	// run notices what other processes write until ctx ends.
	run(ctx context.Context) error
	// close waits for the transaction that is being written; nothing is written after it.
	close() error
}

// Open opens a database, makes it if there is none, and brings its schema up to date. It returns
// ErrFull when the disk has no room even after the reserve has been given up, whose room is then there for
// what is written until Run is called. It refuses a schema that is newer than the program.
func Open(ctx context.Context, o Options) (*DB, error) {
	o = o.withDefaults()
	d := &DB{o: o, log: o.Logger, now: o.Now, wakes: newWakes(), unlock: func() {}}
	open := d.openSQLite
	if o.URL != "" {
		open = d.openPostgres
	}
	if err := open(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

// Run notices what other processes write to the database, until ctx ends. Without it, Wait is only
// woken by this process.
func (d *DB) Run(ctx context.Context) error {
	d.runs.Store(true)
	d.retake()
	return d.writer.run(ctx)
}

// Close ends all use of the database. It waits for the transaction that is being written.
func (d *DB) Close() error {
	err := d.writer.close()
	err = errors.Join(err, d.read.close())
	for _, pool := range d.pools {
		err = errors.Join(err, pool.Close())
	}
	d.retake()
	d.unlock()
	return err
}

// Engine returns the engine, for what cannot be written portably.
func (d *DB) Engine() Engine { return d.engine }

// Dir returns the folder of a SQLite database; empty on PostgreSQL.
func (d *DB) Dir() string { return d.o.Dir }

// URL returns the URL of a PostgreSQL database, with its password; empty on SQLite.
func (d *DB) URL() string { return d.o.URL }

// Now returns the time by the clock of Options.
func (d *DB) Now() time.Time { return d.now() }

// Update calls fn in a transaction. All that fn writes is committed when Update returns nil, and nothing
// of it otherwise; when fn panics, its transaction is rolled back and the panic goes on. fn may be called
// more than once, because a transaction can lose against another one: it must set its outputs anew
// each time and have no other effects. ctx bounds the wait for the transaction to begin; one that has
// begun runs to its end. name is the label of the transaction in metrics.
func (d *DB) Update(ctx context.Context, name string, fn func(*Tx) error) error {
	err := d.updateOnce(ctx, name, fn)
	if errors.Is(err, ErrFull) && !d.runs.Load() && d.release() { // a start must succeed on a full disk
		err = d.updateOnce(ctx, name, fn)
	}
	return err
}

func (d *DB) updateOnce(ctx context.Context, name string, fn func(*Tx) error) (err error) {
	called := time.Now()
	t, err := d.writer.update(ctx, name, traced(ctx, fn))
	if t == nil { // it never began
		d.o.Observer.Commit(name, time.Since(called), 0, err)
	} else {
		d.o.Observer.Commit(name, t.began.Sub(called), time.Since(t.began), err)
	}
	if err != nil {
		return err
	}
	for w := range t.wakes {
		d.wakes.raise(w)
	}
	return nil
}

// Read returns a reader of what is committed. Each query sees a state of its own.
func (d *DB) Read(ctx context.Context) Reader {
	return Reader{ctx: ctx, q: d.read, d: d, observe: true}
}

// Attach gives every transaction of the database a value that repositories need in it and that is not in the
// database, such as a key. key is of an unexported type of the package that reads the value, as with
// context.WithValue. It is meant for the wiring, before the database is shared.
func (d *DB) Attach(key, value any) { d.attached.Store(key, value) }

// Attached returns the value that was attached under a key; nil if none was.
func (d *DB) Attached(key any) any {
	v, _ := d.attached.Load(key)
	return v
}

// Queries returns how many statements callers have executed: One, Rows and Exec, inside and outside of
// transactions.
func (d *DB) Queries() uint64 { return d.queries.Load() }
