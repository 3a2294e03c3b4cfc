package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// maxGroup bounds the transactions that one commit writes together.
	maxGroup = 64

	// maxGroupAge bounds how long the first of them waits for the others.
	maxGroupAge = 20 * time.Millisecond
)

// errAgain says that a transaction was undone because of another one of its group.
var errAgain = errors.New("the group of the transaction was rolled back")

// sqliteWriter runs the transactions of SQLite, one after the other, on one connection. Transactions
// that wait while another one runs are committed together (group commit): each runs in its own
// savepoint, and one COMMIT, which waits for the disk once, ends all of them. A transaction that nobody
// waits for is committed at once.
//
// fn is called in the goroutine of its Update, so that a panic is its caller's. The turn to write goes
// from goroutine to goroutine, in the order in which they came, with the open group.
type sqliteWriter struct {
	d    *DB
	conn *sqliteConn // used by who has the turn

	mu    sync.Mutex
	busy  bool            // somebody has the turn
	queue []chan struct{} // who waits for it; as many as there are concurrent calls of Update

	// Of who has the turn:
	group   *group
	version int64 // PRAGMA data_version
}

// group is an open transaction of SQLite and the transactions of callers that are in it.
type group struct {
	began   time.Time
	alone   bool // takes nobody in
	members []chan error
}

func (w *sqliteWriter) update(ctx context.Context, name string, fn func(*Tx) error) (*Tx, error) {
	t, err := w.attempt(ctx, fn, false)
	if errors.Is(err, errAgain) {
		w.d.o.Observer.Retry(name)
		t, err = w.attempt(ctx, fn, true)
	}
	return t, w.d.full(err)
}

// attempt runs fn in a group and waits for the group's commit.
func (w *sqliteWriter) attempt(ctx context.Context, fn func(*Tx) error, alone bool) (*Tx, error) {
	if err := w.acquire(ctx); err != nil {
		return nil, fmt.Errorf("waiting to write: %w", err)
	}
	// A transaction that has begun runs to its end: stopping half-way would save nothing.
	t := newTx(context.WithoutCancel(ctx), w.d, w.conn)
	committed, err := w.join(t, fn, alone)
	if err != nil {
		return t, err
	}
	return t, <-committed
}

// join runs fn in the open group, or in a new one, and hands the turn over.
func (w *sqliteWriter) join(t *Tx, fn func(*Tx) error, alone bool) (committed <-chan error, err error) {
	defer w.handOver() // also when fn panics
	if alone && w.group != nil {
		w.commit()
	}
	if w.group == nil {
		if _, err := w.conn.exec(t.ctx, "BEGIN IMMEDIATE", nil); err != nil {
			return nil, fmt.Errorf("beginning a transaction: %w", err)
		}
		w.group = &group{began: time.Now(), alone: alone}
	}
	if err := w.call(t, fn); err != nil {
		return nil, err
	}
	ch := make(chan error, 1)
	w.group.members = append(w.group.members, ch)
	return ch, nil
}

// call calls fn in a savepoint, which is rolled back when fn fails or panics. The first of a group
// needs none: the whole transaction is rolled back.
func (w *sqliteWriter) call(t *Tx, fn func(*Tx) error) (err error) {
	first, done := len(w.group.members) == 0, false
	if !first {
		if _, err := w.conn.exec(t.ctx, "SAVEPOINT update_call", nil); err != nil {
			w.d.log.Debug("beginning a savepoint", "error", err)
			w.rollback()
			w.end(errAgain)
			return errAgain
		}
	}
	defer func() {
		switch {
		case done:
		case first:
			w.rollback()
		default:
			if !w.rollbackTo(t.ctx) {
				w.end(errAgain)
				err = errAgain
			}
		}
	}()
	if err := fn(t); err != nil {
		return err
	}
	if err := t.finish(); err != nil {
		return err
	}
	if !first {
		if _, err := w.conn.exec(t.ctx, "RELEASE update_call", nil); err != nil {
			return fmt.Errorf("ending a transaction: %w", err)
		}
	}
	done = true
	return nil
}

// rollbackTo undoes one transaction of the group. It returns false when the whole group is lost: SQLite
// rolls everything back by itself when the disk is full, for example.
func (w *sqliteWriter) rollbackTo(ctx context.Context) bool {
	_, err := w.conn.exec(ctx, "ROLLBACK TO update_call", nil)
	if err == nil {
		_, err = w.conn.exec(ctx, "RELEASE update_call", nil)
	}
	if err != nil {
		w.d.log.Debug("rolling back to a savepoint", "error", err)
		w.rollback()
	}
	return err == nil
}

// rollback undoes the open transaction of SQLite. It leaves the group.
func (w *sqliteWriter) rollback() {
	if _, err := w.conn.exec(context.Background(), "ROLLBACK", nil); err != nil {
		// SQLite has already rolled back by itself when the disk was full, for example.
		w.d.log.Debug("rolling back", "error", err)
	}
	if len(w.group.members) == 0 {
		w.group = nil
	}
}

// commit commits the group and answers its members. When it fails, each of several members runs again
// on its own, so that none fails because of another.
func (w *sqliteWriter) commit() {
	members := len(w.group.members)
	_, err := w.conn.exec(context.Background(), "COMMIT", nil)
	if err != nil {
		err = fmt.Errorf("committing: %w", err)
		w.rollback()
		if members > 1 {
			w.d.log.Warn("a group of transactions was not committed; each runs again", "transactions", members, "error", err)
			err = errAgain
		}
	} else {
		w.d.o.Observer.Group(members)
	}
	w.end(err)
}

// end answers the members of the group, which is over.
func (w *sqliteWriter) end(err error) {
	if w.group == nil {
		return
	}
	for _, ch := range w.group.members {
		ch <- err
	}
	w.group = nil
}

// acquire waits for the turn.
func (w *sqliteWriter) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	if !w.busy {
		w.busy = true
		w.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	w.queue = append(w.queue, turn)
	w.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	i := slices.Index(w.queue, turn)
	if i >= 0 {
		w.queue = slices.Delete(w.queue, i, i+1)
	}
	w.mu.Unlock()
	if i < 0 { // the turn came at the same moment
		w.handOver()
	}
	return ctx.Err()
}

// handOver gives the turn to who has waited longest, with the open group. It commits the group first
// when nobody waits, or when the group is large or old.
func (w *sqliteWriter) handOver() {
	for {
		w.mu.Lock()
		if g := w.group; g != nil && (len(w.queue) == 0 || g.alone || len(g.members) >= maxGroup || time.Since(g.began) > maxGroupAge) {
			w.mu.Unlock()
			w.commit()
			continue
		}
		if len(w.queue) > 0 {
			close(w.queue[0])
			w.queue = w.queue[1:]
		} else {
			w.busy = false
		}
		w.mu.Unlock()
		return
	}
}

// run wakes everybody when another process has written, and takes the reserve again.
func (w *sqliteWriter) run(ctx context.Context) error {
	others, reserve := time.NewTicker(othersEvery), time.NewTicker(reserveEvery)
	defer others.Stop()
	defer reserve.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-others.C:
			if err := w.lookForOthers(ctx); err != nil && ctx.Err() == nil {
				w.d.log.Error("looking for what other processes wrote", "error", err)
			}
		case <-reserve.C:
			if err := w.d.Reserve(); err != nil {
				w.d.log.Warn("no room is reserved on the disk", "error", err)
			}
		}
	}
}

// lookForOthers wakes everybody if another connection than the writer has committed
// (https://www.sqlite.org/pragma.html#pragma_data_version).
func (w *sqliteWriter) lookForOthers(ctx context.Context) error {
	if err := w.acquire(ctx); err != nil {
		return err
	}
	defer w.handOver()
	rows, err := w.conn.query(ctx, "PRAGMA data_version", nil)
	if err != nil {
		return err
	}
	var version int64
	if err := one(rows, []any{&version}); err != nil {
		return err
	}
	if w.version != 0 && w.version != version {
		w.d.wakes.raiseAll()
	}
	w.version = version
	return nil
}

func (w *sqliteWriter) close() error {
	if err := w.acquire(context.Background()); err != nil { // never handed over
		return err
	}
	if w.group != nil {
		w.commit()
	}
	return w.conn.close()
}
