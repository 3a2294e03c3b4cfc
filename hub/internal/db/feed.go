package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Change is an entry of the change feed.
type Change struct {
	ID   int64
	Kind string
	Site string
	Key  string // of what changed; which names it holds depends on the kind
	Data json.RawMessage
	At   time.Time // when its transaction began
}

// LastChange returns the number of the newest entry of the change feed; 0 before the first.
func (d *DB) LastChange(ctx context.Context) (last int64, err error) {
	if err := d.Read(ctx).One(`SELECT last FROM feed WHERE id = 1`)(&last); err != nil {
		return 0, fmt.Errorf("reading the end of the change feed: %w", err)
	}
	return last, nil
}

// ChangesAfter returns the entries of the change feed after a number, oldest first. kept is false when
// entries after the number have been removed, or the number was never used: who asked must fetch
// everything anew.
func (d *DB) ChangesAfter(ctx context.Context, after int64, limit int) (entries []Change, kept bool, err error) {
	// The end is read first: what is committed in between only adds entries after it.
	last, err := d.LastChange(ctx)
	if err != nil {
		return nil, false, err
	}
	entries, err = Collect(func(scan func(...any) error) (c Change, err error) {
		var data string
		var at int64
		err = scan(&c.ID, &c.Kind, &c.Site, &c.Key, &data, &at)
		c.Data, c.At = json.RawMessage(data), FromMillis(at)
		return c, err
	})(d.Read(ctx).Rows(`SELECT id, kind, site, key, data, at FROM changes WHERE id > ? ORDER BY id LIMIT ?`, after, limit))
	if err != nil {
		return nil, false, fmt.Errorf("reading the change feed: %w", err)
	}
	if len(entries) > 0 {
		return entries, entries[0].ID == after+1, nil
	}
	return nil, last == after, nil
}

// DeleteChangesBefore deletes at most limit of the oldest entries of the change feed from before a time. A
// reader that is behind them must fetch everything anew.
func (d *DB) DeleteChangesBefore(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	// The numbers are dense: the oldest ones are a range.
	return d.DeleteBefore(ctx, "delete_changes", `DELETE FROM changes WHERE at < ?1 AND id < (SELECT min(id) FROM changes) + ?2`, before, limit)
}

// ChangesKept returns how many entries of the change feed are kept.
func (d *DB) ChangesKept(ctx context.Context) (n int64, err error) {
	if err := d.Read(ctx).One(`SELECT coalesce(max(id) - min(id) + 1, 0) FROM changes`)(&n); err != nil {
		return 0, fmt.Errorf("counting changes: %w", err)
	}
	return n, nil
}
