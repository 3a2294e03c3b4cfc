package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"

	"gridpost/devices/diskspace"
)

// tx is one writing transaction and what has to be told after its commit.
type tx struct {
	s   *Store
	ctx context.Context // a transaction lives within one call of update
	now time.Time

	changed, commanded, queued bool

	targets      []string // enabled webhook targets, read at the first alert
	targetsKnown bool
}

// update runs fn in a writing transaction: all of it is on disk when update returns nil, and
// nothing of it otherwise. ctx bounds the wait for the writer's turn; a transaction that has
// begun runs to its end, because stopping half-way would save nothing.
func (s *Store) update(ctx context.Context, fn func(*tx) error) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("waiting to write: %w", ctx.Err())
	}
	t := &tx{s: s, ctx: context.WithoutCancel(ctx), now: s.now()}
	err := t.run(fn)
	<-s.turn
	if err != nil {
		return full(s.dir, err)
	}
	if t.changed {
		s.changes.raise()
	}
	if t.commanded {
		s.commands.raise()
	}
	if t.queued {
		s.alerts.raise()
	}
	return nil
}

// full marks the error of a disk without room, on the file system of dir, as ErrFull.
func full(dir string, err error) error {
	var e *sqlite.Error
	code := 0
	if errors.As(err, &e) {
		code = e.Code()
	}
	if err != nil && diskspace.IsFull(dir, err, code) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

func (t *tx) run(fn func(*tx) error) error {
	if _, err := t.s.writer.ExecContext(t.ctx, "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	err := fn(t)
	if err == nil {
		if _, err = t.s.writer.ExecContext(t.ctx, "COMMIT"); err == nil {
			return nil
		}
		err = fmt.Errorf("committing: %w", err)
	}
	if _, rerr := t.s.writer.ExecContext(t.ctx, "ROLLBACK"); rerr != nil {
		// SQLite has already rolled back by itself when the disk was full, for example.
		t.s.log.Debug("rolling back", "error", rerr)
	}
	return err
}

// prepared returns the statement of a text, prepared once for the life of the store.
// Texts are constants; their number is that of the calls in this package.
func (t *tx) prepared(text string) (*sql.Stmt, error) {
	if st, ok := t.s.stmts[text]; ok {
		return st, nil
	}
	st, err := t.s.writer.PrepareContext(t.ctx, text)
	if err != nil {
		return nil, fmt.Errorf("preparing a statement: %w", err)
	}
	t.s.stmts[text] = st
	return st, nil
}

func (t *tx) exec(text string, args ...any) (sql.Result, error) {
	st, err := t.prepared(text)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(t.ctx, args...)
}

// one asks for one row and returns its Scan; that gives ErrNotFound if there is none.
func (t *tx) one(text string, args ...any) func(...any) error {
	st, err := t.prepared(text)
	if err != nil {
		return func(...any) error { return err }
	}
	return found(st.QueryRowContext(t.ctx, args...))
}

// found is row's Scan with ErrNotFound for no row.
func found(row *sql.Row) func(...any) error {
	return func(dest ...any) error {
		err := row.Scan(dest...)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		return err
	}
}

// collect makes a list of all rows, each read by scan.
func collect[T any](scan func(func(...any) error) (T, error)) func(*sql.Rows, error) ([]T, error) {
	return func(rows *sql.Rows, err error) (all []T, _ error) {
		if err != nil {
			return nil, err
		}
		defer rows.Close() //nolint:errcheck // rows.Err tells what matters
		all = []T{}
		for rows.Next() {
			v, err := scan(rows.Scan)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		}
		return all, rows.Err()
	}
}

// scanText reads rows of one text column.
func scanText(scan func(...any) error) (s string, err error) {
	err = scan(&s)
	return s, err
}

// rows asks for many.
func (t *tx) rows(text string, args ...any) (*sql.Rows, error) {
	st, err := t.prepared(text)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(t.ctx, args...)
}

// change appends a line to the live stream and returns its number.
func (t *tx) change(kind string, data any) (int64, []byte, error) {
	body, err := json.Marshal(data)
	if err != nil {
		return 0, nil, fmt.Errorf("writing a change down: %w", err)
	}
	res, err := t.exec("INSERT INTO changes(kind, data, at) VALUES (?, ?, ?)", kind, string(body), millis(t.now))
	if err != nil {
		return 0, nil, fmt.Errorf("writing a change: %w", err)
	}
	t.changed = true
	id, err := res.LastInsertId()
	return id, body, err
}

func millis(t time.Time) int64 { return t.UnixMilli() }

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// nullMillis turns the zero time into NULL.
func nullMillis(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

func timePtr(ms sql.NullInt64) *time.Time {
	if !ms.Valid {
		return nil
	}
	t := fromMillis(ms.Int64)
	return &t
}

// affected turns "no row changed" into ErrNotFound.
func affected(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}
