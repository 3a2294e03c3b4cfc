package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// conn executes statements on one connection or on a pool. Texts have ? placeholders.
type conn interface {
	query(ctx context.Context, text string, args []any) (*sql.Rows, error)
}

// reader is a conn for reads outside of transactions.
type reader interface {
	conn
	close() error
}

// txConn is the conn of a transaction.
type txConn interface {
	conn
	exec(ctx context.Context, text string, args []any) (sql.Result, error)
}

// Reader reads, inside a transaction or outside of one.
type Reader struct {
	ctx     context.Context // of the call that the reader was made for
	q       conn
	d       *DB
	observe bool
}

// One queries one row and returns its Scan, which gives ErrNotFound if there is none.
func (r Reader) One(text string, args ...any) func(dest ...any) error {
	r.d.queries.Add(1)
	began := time.Now()
	rows, err := r.q.query(r.ctx, text, args)
	return func(dest ...any) error {
		if err == nil {
			err = one(rows, dest)
		}
		if r.observe {
			r.d.o.Observer.Query(time.Since(began))
			r.d.reads.note(r.ctx, err)
		}
		return err
	}
}

// one scans the only row of rows and closes them.
func one(rows *sql.Rows, dest []any) (err error) {
	defer func() {
		if cerr := rows.Close(); err == nil {
			err = cerr
		}
	}()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return err
		}
		return ErrNotFound
	}
	if err := rows.Scan(dest...); err != nil {
		return err
	}
	return nil // closing the rows runs the statement to its end
}

// Rows queries any number of rows; see Collect.
func (r Reader) Rows(text string, args ...any) (*sql.Rows, error) {
	r.d.queries.Add(1)
	began := time.Now()
	rows, err := r.q.query(r.ctx, text, args)
	if r.observe {
		r.d.o.Observer.Query(time.Since(began))
		r.d.reads.note(r.ctx, err)
	}
	return rows, err
}

// Context returns the context of the reads.
func (r Reader) Context() context.Context { return r.ctx }

// Tx is one transaction, within one call of Update.
type Tx struct {
	Reader
	conn  txConn
	now   time.Time // by the clock of Options
	began time.Time // by the machine's clock

	late    []func(*Tx) error
	entries []entry
	wakes   map[wake]bool
	err     error // the first of Publish
}

// entry is an entry of the change feed that waits for its number.
type entry struct {
	kind, site, key string
	data            []byte
	then            func(*Tx, int64) error
}

func newTx(ctx context.Context, d *DB, c txConn) *Tx {
	return &Tx{
		Reader: Reader{ctx: ctx, q: c, d: d}, conn: c,
		now: d.now(), began: time.Now(), wakes: map[wake]bool{},
	}
}

// Exec executes a statement. It is prepared once per connection: texts come from constants and have few
// variants.
func (t *Tx) Exec(text string, args ...any) (sql.Result, error) {
	t.d.queries.Add(1)
	return t.conn.exec(t.ctx, text, args)
}

// Count executes a statement and returns how many rows it changed.
func (t *Tx) Count(text string, args ...any) (int, error) {
	res, err := t.Exec(text, args...)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}

// Affected executes a statement and returns ErrNotFound when it changed no row.
func (t *Tx) Affected(text string, args ...any) error {
	n, err := t.Count(text, args...)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// DeleteBefore runs a DELETE of old rows in a transaction of its own and returns how many were deleted. The
// placeholders of text are a time and the number of rows at most.
func (d *DB) DeleteBefore(ctx context.Context, name, text string, before time.Time, limit int) (deleted int, err error) {
	err = d.Update(ctx, name, func(t *Tx) (err error) {
		deleted, err = t.Count(text, Millis(before), limit)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return deleted, nil
}

// Now returns the time at which the transaction began, by the clock of Options.
func (t *Tx) Now() time.Time { return t.now }

// Clock returns the time by a clock that all hubs on the database share: PostgreSQL's own, unless Options
// has a clock. Leases between hubs are compared by it.
func (t *Tx) Clock() (time.Time, error) {
	if t.d.engine == SQLite || !t.d.o.systemClock {
		return t.d.now(), nil
	}
	var ms int64
	if err := t.One(`SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)`)(&ms); err != nil {
		return time.Time{}, fmt.Errorf("reading the database's clock: %w", err)
	}
	return FromMillis(ms), nil
}

// Attached returns what was attached to the database under a key; see DB.Attach.
func (t *Tx) Attached(key any) any { return t.d.Attached(key) }

// Engine returns the engine, for what cannot be written portably.
func (t *Tx) Engine() Engine { return t.d.engine }

// ForUpdate returns what locks the rows of a SELECT until the transaction ends: " FOR UPDATE" on
// PostgreSQL, nothing on SQLite, where one transaction writes at a time.
func (t *Tx) ForUpdate() string {
	if t.d.engine == Postgres {
		return " FOR UPDATE"
	}
	return ""
}

// Publish appends an entry to the change feed. data is encoded at once. The entry gets its number when
// the transaction is about to commit; then (may be nil) is called with it, in the transaction.
func (t *Tx) Publish(kind, site, key string, data any, then func(*Tx, int64) error) {
	body, err := json.Marshal(data)
	if err != nil && t.err == nil {
		t.err = fmt.Errorf("encoding a change: %w", err)
	}
	t.entries = append(t.entries, entry{kind: kind, site: site, key: key, data: body, then: then})
}

// Notify wakes Wait(topic, key) after the commit, in every hub on the database.
func (t *Tx) Notify(topic Topic, key string) { t.wakes[wake{topic, key}] = true }

// Late calls fn when the transaction is about to commit, before the change feed is written: for rows
// that every transaction locks (the head of the audit log), so that all lock them last and in the same
// order.
func (t *Tx) Late(fn func(*Tx) error) { t.late = append(t.late, fn) }

// finish writes the entries of the feed. It is the last thing before a commit, because on PostgreSQL the
// row of the counter is locked from here to the commit: the numbers follow the order of commits.
func (t *Tx) finish() error {
	for t.err == nil && len(t.late)+len(t.entries) > 0 {
		if len(t.late) > 0 {
			fn := t.late[0]
			t.late = t.late[1:]
			if err := fn(t); err != nil {
				return err
			}
			continue
		}
		entries := t.entries
		t.entries = nil
		var last int64
		if err := t.One(`UPDATE feed SET last = last + ? WHERE id = 1 RETURNING last`, len(entries))(&last); err != nil {
			return fmt.Errorf("numbering changes: %w", err)
		}
		first := last - int64(len(entries)) + 1
		if err := t.insert(first, entries); err != nil {
			return fmt.Errorf("writing changes: %w", err)
		}
		for i, e := range entries {
			if e.then == nil {
				continue
			}
			if err := e.then(t, first+int64(i)); err != nil {
				return err
			}
		}
		t.Notify(Changes, "")
	}
	return t.err
}

// insert writes numbered entries, with few statements and few different texts.
func (t *Tx) insert(number int64, entries []entry) error {
	for len(entries) > 0 {
		n := 1
		for _, size := range []int{64, 16, 4} {
			if len(entries) >= size {
				n = size
				break
			}
		}
		args := make([]any, 0, 6*n)
		for _, e := range entries[:n] {
			args = append(args, number, e.kind, e.site, e.key, string(e.data), Millis(t.now))
			number++
		}
		text := `INSERT INTO changes(id, kind, site, key, data, at) VALUES (?, ?, ?, ?, ?, ?)` + strings.Repeat(`, (?, ?, ?, ?, ?, ?)`, n-1)
		if _, err := t.Exec(text, args...); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}
