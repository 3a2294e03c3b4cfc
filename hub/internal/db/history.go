package db

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
)

// A history is a period in which the numbers of the change feed went on without a break. A database that
// was restored from an older copy gives numbers away a second time: the position of a reader is
// therefore a history and a number. A restart begins a new history too on SQLite, because nothing tells it
// from a restore; positions of the histories before it stay valid.

// BeginHistory begins a history, if the database may have been restored since the last one began: on SQLite
// at each call, on PostgreSQL when the cluster, its timeline or the tables are others. A hub calls it
// once when it starts, before it publishes.
func (d *DB) BeginHistory(ctx context.Context) error { return d.beginHistory(ctx, false) }

// NewHistory begins a history in any case: a restore calls it that has written older rows over newer ones.
func (d *DB) NewHistory(ctx context.Context) error { return d.beginHistory(ctx, true) }

func (d *DB) beginHistory(ctx context.Context, always bool) error {
	err := d.Update(ctx, "begin_history", func(t *Tx) error {
		var last int64
		if err := t.One(`SELECT last FROM feed WHERE id = 1` + t.ForUpdate())(&last); err != nil { // one hub at a time
			return err
		}
		if d.engine == SQLite {
			return t.insertHistory(last, "")
		}
		origin, err := t.origin()
		if err != nil {
			return err
		}
		var before string
		err = t.One(`SELECT origin FROM histories ORDER BY number DESC LIMIT 1`)(&before)
		if err == nil && before == origin && !always {
			return nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		return t.insertHistory(last, origin)
	})
	if err != nil {
		return fmt.Errorf("beginning a history: %w", err)
	}
	return nil
}

// keepHistories is how many histories are kept. The positions of older ones are not valid any more.
const keepHistories = 1000

func (t *Tx) insertHistory(last int64, origin string) error {
	if _, err := t.Exec(`INSERT INTO histories(number, id, began_after, at, origin)
		VALUES ((SELECT coalesce(max(number), 0) + 1 FROM histories), ?, ?, ?, ?)`, rand.Text(), last, Millis(t.now), origin); err != nil {
		return err
	}
	if _, err := t.Exec(`DELETE FROM histories WHERE number <= (SELECT max(number) FROM histories) - ?`, keepHistories); err != nil {
		return fmt.Errorf("removing old histories: %w", err)
	}
	return nil
}

// origin identifies the cluster and its timeline, which a restored or promoted cluster changes, and the
// table of histories, which a restored dump makes anew.
func (t *Tx) origin() (origin string, err error) {
	err = t.One(`SELECT (SELECT system_identifier FROM pg_control_system()) || '/' || (SELECT timeline_id FROM pg_control_checkpoint())
		|| '/' || (SELECT oid FROM pg_database WHERE datname = current_database()) || '/' || CAST(CAST('histories' AS regclass) AS oid)`)(&origin)
	return origin, err
}

// History returns the ID of the present history; empty before the first.
func (d *DB) History(ctx context.Context) (id string, err error) {
	err = d.Read(ctx).One(`SELECT id FROM histories ORDER BY number DESC LIMIT 1`)(&id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", fmt.Errorf("reading the history of the change feed: %w", err)
	}
	return id, nil
}

// Valid says whether a position in the change feed is of this database: whether number had been given away
// before the history ended. An empty history is of a reader that does not know of histories: its number
// must not be beyond the newest.
func (d *DB) Valid(ctx context.Context, history string, number int64) (bool, error) {
	var last int64
	var err error
	if history == "" {
		last, err = d.LastChange(ctx)
	} else {
		err = d.Read(ctx).One(`SELECT coalesce((SELECT n.began_after FROM histories n WHERE n.number > h.number ORDER BY n.number LIMIT 1),
			(SELECT last FROM feed WHERE id = 1)) FROM histories h WHERE h.id = ?`, history)(&last)
	}
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("checking a position in the change feed: %w", err)
	}
	return number >= 0 && number <= last, nil
}
