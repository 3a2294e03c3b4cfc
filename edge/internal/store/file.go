package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"gridpost/devices/diskspace"
	"gridpost/devices/durable"
)

// file is one SQLite file: its writer with group commit, its readers, and its repair. When a
// statement finds the file damaged, the file is closed, rebuilt from what can be read, opened
// again, and the statement is repeated.
type file struct {
	name        string // incidents.db, telemetry.db
	dir         string
	synchronous string // FULL or NORMAL
	pages       int64  // tests: PRAGMA max_page_count
	checkBelow  int64  // bytes; a smaller file is checked whole when it is opened
	existed     bool   // the data directory held a store when it was opened
	migrations  []migration
	tables      []string // copied from a damaged file, in this order
	logger      *slog.Logger
	now         func() time.Time
	reserve     *diskspace.Reserve

	// load reads what the store knows by heart, when the hub has everything up to sent; lost records what damage has cost, in the
	// transaction that it is given, and reports it as a problem.
	load func(ctx context.Context, q querier, sent uint64) (queueState, error)
	lost func(t *tx, l loss) error

	// access is held shared while the handles are used and exclusively while the file is repaired
	// or closed. Unlike other mutexes it is held over I/O, which is what it protects.
	access sync.RWMutex
	h      *handles // nil: could not be opened again; the next use tries
	gen    int      // grows when the file is opened again
	closed bool

	mu    sync.Mutex // never held over I/O
	state queueState
	queue []*request
	busy  bool // a caller leads the group commit
}

// request is one caller's part of a group commit.
type request struct {
	f     func(*tx) error
	frees bool      // may use the reserve, because it makes room
	turn  chan bool // true: lead the next group; false: err is set
	err   error
}

// maxGroup bounds the requests that share a transaction.
const maxGroup = 256

var errClosed = errors.New("the store is closed")

// write runs f in a transaction that is committed when it returns nil. Concurrent callers share
// one transaction, and its synchronisation: the first leads and writes for all who came while
// the previous group was written. When a group fails, each of its requests is tried alone, so
// that one cannot fail the others. f may run more than once, and not concurrently with another.
func (f *file) write(ctx context.Context, fn func(*tx) error) error {
	return f.submit(ctx, &request{f: fn, turn: make(chan bool, 1)})
}

// free is write for transactions that make room: when the disk is full, they get the reserve.
func (f *file) free(ctx context.Context, fn func(*tx) error) error {
	return f.submit(ctx, &request{f: fn, frees: true, turn: make(chan bool, 1)})
}

func (f *file) submit(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.mu.Lock()
	f.queue = append(f.queue, r)
	follows := f.busy
	f.busy = true
	f.mu.Unlock()
	if follows && !<-r.turn {
		return r.err
	}
	f.lead()
	return r.err
}

// lead writes the group that waits, in which the caller's own request is the first, and hands
// the lead to the first of the next group.
func (f *file) lead() {
	f.mu.Lock()
	n := min(len(f.queue), maxGroup)
	group := append([]*request(nil), f.queue[:n]...)
	f.queue = append(f.queue[:0], f.queue[n:]...)
	f.mu.Unlock()

	f.run(group)

	f.mu.Lock()
	if len(f.queue) > 0 {
		f.queue[0].turn <- true
	} else {
		f.busy = false
	}
	f.mu.Unlock()
	for _, r := range group[1:] {
		r.turn <- false
	}
}

func (f *file) run(group []*request) {
	err := f.try(func(t *tx) error {
		for _, r := range group {
			if err := r.f(t); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return
	}
	for _, r := range group {
		if len(group) > 1 {
			err = f.try(r.f)
		}
		if err != nil && r.frees && full(f.dir, err) && f.reserve.Release() {
			err = f.try(r.f)
		}
		r.err = err
	}
}

// try runs fn in a transaction, and once more after a repair.
func (f *file) try(fn func(*tx) error) error {
	for attempt := 0; ; attempt++ {
		gen, err := f.attempt(fn)
		if attempt > 0 || !damaged(err) && !errors.Is(err, errNotOpen) {
			return err
		}
		if err := f.repair(context.Background(), gen, err); err != nil {
			return err
		}
	}
}

var errNotOpen = errors.New("the file is not open")

func (f *file) attempt(fn func(*tx) error) (gen int, err error) {
	f.access.RLock()
	defer f.access.RUnlock()
	if err := f.usable(); err != nil {
		return f.gen, err
	}
	if inode(f.path()) != f.h.inode {
		return f.gen, errReplaced
	}
	f.mu.Lock()
	state := f.state
	f.mu.Unlock()
	state, err = f.h.transact(state, fn)
	f.mu.Lock()
	f.state = state
	f.mu.Unlock()
	return f.gen, err
}

func (f *file) usable() error {
	switch {
	case f.closed:
		return errClosed
	case f.h == nil:
		return errNotOpen
	}
	return nil
}

// read runs fn with a connection that only reads, and once more after a repair. fn must be short
// and must not write: a long reader would let the log grow.
func (f *file) read(ctx context.Context, fn func(querier) error) error {
	for attempt := 0; ; attempt++ {
		gen, err := f.view(fn)
		if attempt > 0 || !damaged(err) && !errors.Is(err, errNotOpen) {
			return err
		}
		if err := f.repair(context.WithoutCancel(ctx), gen, err); err != nil {
			return err
		}
	}
}

func (f *file) view(fn func(querier) error) (gen int, err error) {
	f.access.RLock()
	defer f.access.RUnlock()
	if err := f.usable(); err != nil {
		return f.gen, err
	}
	return f.gen, fn(f.h.read)
}

// rows calls row for each row of a query's result.
func (f *file) rows(ctx context.Context, query string, args []any, start func(), row func(scan func(...any) error) error) error {
	return f.read(ctx, func(q querier) error {
		start() // a repeated query starts from nothing
		rows, err := q.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		return eachRow(rows, row)
	})
}

func (f *file) path() string { return filepath.Join(f.dir, f.name) }

// known returns what is known by heart.
func (f *file) known() queueState {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// repair opens the file again, rebuilt if cause is damage, unless somebody else has done so since
// gen was read.
func (f *file) repair(ctx context.Context, gen int, cause error) error {
	f.access.Lock()
	defer f.access.Unlock()
	if f.closed {
		return errClosed
	}
	if f.gen != gen {
		return nil
	}
	rescued := false
	if errors.Is(cause, errReplaced) {
		rescued = f.rescue(ctx) == nil
	}
	if err := f.h.close(); err != nil {
		f.logger.Debug("closing a damaged file", "file", f.name, "error", err)
	}
	f.h = nil
	if rescued {
		if err := f.install(); err != nil {
			return fmt.Errorf("replacing %s: %w", f.name, err)
		}
		f.logger.Error("a database file was deleted or replaced while it was in use; its content was written again", "file", f.name)
		cause = nil
	}
	if errors.Is(cause, errNotOpen) {
		cause = nil
	}
	return f.open(ctx, cause)
}

// rescue writes the content of a file that has lost its name into a new one.
func (f *file) rescue(ctx context.Context) error {
	if err := removeFiles(f.path() + suffixNew); err != nil {
		return err
	}
	_, err := f.h.write.ExecContext(ctx, "VACUUM INTO ?", f.path()+suffixNew)
	return err
}

// install gives a rescued file its name. What has taken the name meanwhile is set aside.
func (f *file) install() error {
	if err := os.Chmod(f.path()+suffixNew, 0o600); err != nil {
		return err
	}
	if err := f.setAside(); err != nil {
		return err
	}
	if err := f.finishAside(); err != nil {
		return err
	}
	return durable.Rename(f.path()+suffixNew, f.path())
}

func (f *file) close() error {
	f.access.Lock()
	defer f.access.Unlock()
	f.closed = true
	err := f.h.close()
	f.h = nil
	return err
}

func inode(path string) uint64 {
	fi, err := os.Stat(path)
	if err != nil {
		return 0
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return st.Ino
}

// openFirst opens the file for the first time.
func (f *file) openFirst(ctx context.Context) error {
	f.access.Lock()
	defer f.access.Unlock()
	return f.open(ctx, nil)
}
