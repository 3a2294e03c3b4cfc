package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
)

// handles are the open connections of one file.
type handles struct {
	pool  *sql.DB   // of the writer
	write *sql.Conn // the only connection that writes
	read  *sql.DB
	inode uint64

	// Prepared statements of the writer, by their text. Only the writer of the moment uses them,
	// and the texts are constants, so their number is bounded.
	prepared map[string]*sql.Stmt
}

func (h *handles) close() error {
	if h == nil {
		return nil
	}
	var errs []error
	for _, st := range h.prepared {
		errs = append(errs, st.Close())
	}
	if h.read != nil {
		errs = append(errs, h.read.Close())
	}
	if h.write != nil {
		errs = append(errs, h.write.Close())
	}
	if h.pool != nil {
		errs = append(errs, h.pool.Close())
	}
	return errors.Join(errs...)
}

func (h *handles) prepare(query string) (*sql.Stmt, error) {
	if st := h.prepared[query]; st != nil {
		return st, nil
	}
	st, err := h.write.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	h.prepared[query] = st
	return st, nil
}

// tx is a transaction of a file's writer. Its statements cannot be cancelled: a commit that was
// begun ends in one way or the other.
type tx struct {
	h *handles

	// What the store knows by heart about the file. A transaction changes its own copy, which
	// replaces the store's when it is committed.
	queue queueState
}

// queueState is what the store keeps in memory about events that wait in a file, so that nothing
// has to be counted.
type queueState struct {
	next  uint64 // number of the next event
	sent  uint64 // the hub has everything up to this number
	count uint64 // events, or readings and gaps, that wait
	bytes uint64 // of their data; of alerts only
	gaps  map[gapKey]gapRow

	evidence int64 // bytes of evidence files, clips included
	clips    int64 // bytes of clips
}

func (q queueState) clone() queueState {
	q.gaps = maps.Clone(q.gaps)
	return q
}

func (t *tx) exec(query string, args ...any) (affected int64, err error) {
	st, err := t.h.prepare(query)
	if err != nil {
		return 0, err
	}
	r, err := st.Exec(args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (t *tx) queryRow(query string, args []any, dest ...any) error {
	st, err := t.h.prepare(query)
	if err != nil {
		return err
	}
	return st.QueryRow(args...).Scan(dest...)
}

// query calls row for each row of the result.
func (t *tx) query(query string, args []any, row func(scan func(...any) error) error) error {
	st, err := t.h.prepare(query)
	if err != nil {
		return err
	}
	rows, err := st.Query(args...)
	if err != nil {
		return err
	}
	return eachRow(rows, row)
}

func eachRow(rows *sql.Rows, row func(scan func(...any) error) error) error {
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// transact runs f in one transaction.
func (h *handles) transact(state queueState, f func(*tx) error) (queueState, error) {
	t := &tx{h: h, queue: state.clone()}
	if _, err := t.exec("BEGIN IMMEDIATE"); err != nil {
		return state, err
	}
	err := f(t)
	if err == nil {
		_, err = t.exec("COMMIT")
	}
	if err != nil {
		return state, errors.Join(err, t.rollback())
	}
	return t.queue, nil
}

// rollback ends the transaction; SQLite may have ended it already, for example when the disk was
// full.
func (t *tx) rollback() error {
	_, err := t.exec("ROLLBACK")
	if err == nil || sqliteCode(err)&0xff == codeError { // "no transaction is active"
		return nil
	}
	return fmt.Errorf("rolling back: %w", err)
}
