package telemetry

import (
	"context"
	"slices"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
)

const newestColumns = `id, edge, device, newest_at, newest_value, newest_bad, newest_text, newest_received`

type newestRow struct {
	id int64
	Newest
}

func scanNewest(scan func(...any) error) (n newestRow, err error) {
	var at, bad, received int64
	err = scan(&n.id, &n.Edge, &n.Device, &at, &n.Value, &bad, &n.Text, &received)
	n.Time, n.Received, n.Quality = db.FromMillis(at), db.FromMillis(received), quality(bad)
	return n, err
}

// Newest returns the newest readings of devices; those without one, and those outside of the scope, are
// left out. It takes one query for each 64 devices.
func (r *Repository) Newest(ctx context.Context, sc scope.Scope, of []Key) (map[Key]Newest, error) {
	out := make(map[Key]Newest, len(of))
	where, sites := sc.Where("site")
	for part := range slices.Chunk(of, inList) {
		var args []any
		keys := padded(part)
		for _, k := range keys {
			args = append(args, k.Edge, k.Device)
		}
		all, err := db.Collect(scanNewest)(r.d.Read(ctx).Rows(`SELECT `+newestColumns+` FROM series
			WHERE (edge, device) IN (VALUES `+tuples(len(keys), 2)+`) AND newest_at IS NOT NULL AND `+where, append(args, sites...)...))
		if err != nil {
			return nil, wrap(err, "reading the newest readings")
		}
		for _, n := range all {
			out[n.Key] = n.Newest
		}
	}
	return out, nil
}

// Position is how far NewestSince has got. The zero value is the beginning.
type Position struct {
	received int64
	id       int64
}

// overlap is how long before the newest receipt NewestSince starts again: transactions commit in
// another order than they take the time, and the clocks of two hubs on one PostgreSQL differ.
func (r *Repository) overlap() time.Duration {
	if r.d.Engine() == db.SQLite {
		return time.Second
	}
	return 5 * time.Second
}

// NewestSince returns the newest readings that the hub has received since a position, oldest receipt
// first, and the position to go on from. A reading that was received within the last seconds is
// returned again by the next call: compare Received.
func (r *Repository) NewestSince(ctx context.Context, sc scope.Scope, after Position, limit int) ([]Newest, Position, error) {
	where, sites := sc.Where("site")
	args := append([]any{after.received, after.id}, sites...)
	all, err := db.Collect(scanNewest)(r.d.Read(ctx).Rows(`SELECT `+newestColumns+` FROM series
		WHERE (newest_received, id) > (?, ?) AND newest_at IS NOT NULL AND `+where+`
		ORDER BY newest_received, id LIMIT ?`, append(args, limit)...))
	if err != nil {
		return nil, after, wrap(err, "reading what is new")
	}
	out := make([]Newest, len(all))
	for i, n := range all {
		out[i] = n.Newest
	}
	if len(all) == 0 {
		return out, after, nil
	}
	last := all[len(all)-1]
	if len(all) == limit {
		return out, Position{db.Millis(last.Received), last.id}, nil
	}
	return out, Position{max(after.received, db.Millis(last.Received.Add(-r.overlap()))), 0}, nil
}

// Now returns the position behind all that has been received until now.
func (r *Repository) Now() Position {
	return Position{received: db.Millis(r.d.Now().Add(-r.overlap()))}
}
