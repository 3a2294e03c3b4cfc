package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gridpost/hub/api"
)

// LastChange returns the number of the newest line of the live stream.
func (s *Store) LastChange(ctx context.Context) (int64, error) {
	var id int64
	// sqlite_sequence, not max(id): it stays when the lines themselves have been pruned.
	err := s.read.QueryRowContext(ctx, `SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0)`).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("reading the end of the live stream: %w", err)
	}
	return id, nil
}

// ChangesAfter returns the lines of the live stream after a number, oldest first. kept is false
// when lines after the number have been pruned, or the number was never given out: who asked
// has to fetch everything anew.
func (s *Store) ChangesAfter(ctx context.Context, after int64, limit int) (lines []api.Change, kept bool, err error) {
	lines, err = collect(func(scan func(...any) error) (c api.Change, err error) {
		var data string
		err = scan(&c.ID, &c.Kind, &data)
		c.Data = json.RawMessage(data)
		return c, err
	})(s.read.QueryContext(ctx, `SELECT id, kind, data FROM changes WHERE id > ? ORDER BY id LIMIT ?`, after, limit))
	if err != nil {
		return nil, false, fmt.Errorf("reading the live stream: %w", err)
	}
	if len(lines) > 0 {
		return lines, lines[0].ID == after+1, nil
	}
	last, err := s.LastChange(ctx)
	if err != nil {
		return nil, false, err
	}
	return nil, last == after || last > after && s.raced(ctx, after), nil
}

// raced says whether lines after a number have come since they were looked for.
func (s *Store) raced(ctx context.Context, after int64) bool {
	var one int
	return s.read.QueryRowContext(ctx, `SELECT 1 FROM changes WHERE id = ?`, after+1).Scan(&one) == nil
}

// Retention says how long what grows without end is kept.
type Retention struct {
	Changes    int           // lines of the live stream; default 20,000
	Readings   time.Duration // default 30 days
	Views      time.Duration // default 30 days
	Deliveries time.Duration // finished ones; default 30 days
}

func (r Retention) withDefaults() Retention {
	const month = 30 * 24 * time.Hour
	if r.Changes == 0 {
		r.Changes = 20_000
	}
	for _, d := range []*time.Duration{&r.Readings, &r.Views, &r.Deliveries} {
		if *d == 0 {
			*d = month
		}
	}
	return r
}

// pruneStep is how many rows one pruning transaction removes at most, so that it never holds
// an alert up for long.
const pruneStep = 2000

// Prune removes what is older than r says, in small transactions.
func (s *Store) Prune(ctx context.Context, r Retention) error {
	if err := s.reserve.Acquire(); err != nil {
		s.log.Warn("no room is reserved on the disk", "error", err)
	}
	r = r.withDefaults()
	now := s.now()
	ago := func(d time.Duration) int64 { return millis(now.Add(-d)) }
	last, err := s.LastChange(ctx)
	if err != nil {
		return err
	}
	for _, p := range []struct {
		text string
		arg  int64
	}{
		{`DELETE FROM changes WHERE id IN (SELECT id FROM changes WHERE id <= ? ORDER BY id LIMIT ?)`, last - int64(r.Changes)},
		{`DELETE FROM readings WHERE (edge, device, at) IN (SELECT edge, device, at FROM readings WHERE at < ? LIMIT ?)`, ago(r.Readings)},
		{`DELETE FROM views WHERE id IN (SELECT id FROM views WHERE began_at < ? AND ended_at IS NOT NULL LIMIT ?)`, ago(r.Views)},
		{`DELETE FROM commands WHERE row IN (SELECT row FROM commands WHERE expires_at < ? LIMIT ?)`, ago(time.Hour)},
		{`DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE expires_at < ? LIMIT ?)`, ago(0)},
		{`DELETE FROM login_failures WHERE key IN (SELECT key FROM login_failures WHERE last_at < ? LIMIT ?)`, ago(24 * time.Hour)},
		{`DELETE FROM edge_tokens WHERE hash IN (SELECT hash FROM edge_tokens WHERE expires_at < ? LIMIT ?)`, ago(7 * 24 * time.Hour)},
		{`DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE queued_at < ? AND state != 'pending' LIMIT ?)`, ago(r.Deliveries)},
		{`DELETE FROM alerts WHERE seq IN (SELECT a.seq FROM alerts a WHERE a.at < ? AND NOT EXISTS
			(SELECT 1 FROM deliveries d WHERE d.seq = a.seq) LIMIT ?)`, ago(r.Deliveries)},
	} {
		if err := s.pruneAll(ctx, p.text, p.arg); err != nil {
			return fmt.Errorf("pruning: %w", err)
		}
	}
	return nil
}

func (s *Store) pruneAll(ctx context.Context, text string, arg int64) error {
	for {
		var n int64
		err := s.update(ctx, func(t *tx) error {
			res, err := t.exec(text, arg, pruneStep)
			if err != nil {
				return err
			}
			n, err = res.RowsAffected()
			return err
		})
		if err != nil || n < pruneStep {
			return err
		}
	}
}
