package edges

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gridpost/hub/internal/db"
)

// Times of presence.
const (
	// FlushInterval is how often the times of last contact are written.
	FlushInterval = 5 * time.Second

	// AwayAfter is how long an edge may be silent before it counts as offline.
	AwayAfter = 30 * time.Second

	// Grace is added to AwayAfter after the start of a hub, and after a pause of it or of its
	// database: edges need time to connect again.
	Grace = 30 * time.Second
)

// Presence knows which edges are connected. It remembers contacts in memory and writes them together,
// in one statement for all edges; an edge that was offline is online at once.
//
// Several hubs may run on one database. An edge counts as offline when the time of its last contact
// in the database has not changed for AwayAfter by this hub's monotonic clock. So neither a hub that
// does not hold the edge's connection nor a difference between the hubs' clocks matters, and nobody
// is marked offline before the hub has watched for that long.
type Presence struct {
	r   *Repository
	log *slog.Logger
	now func() time.Time // with a monotonic reading

	mu       sync.Mutex
	contacts map[string]contact // edges that this hub has heard of and that are online; one entry per edge

	// Of Sweep, which one goroutine calls.
	watched map[string]observation // edges that are online in the database
	swept   time.Time              // the last sweep that succeeded
}

// contact is when this hub heard of an edge.
type contact struct {
	last, flushed time.Time
	skew          time.Duration
}

// observation is when this hub saw an edge's time of last contact change in the database.
type observation struct {
	seen  sql.NullInt64
	since time.Time
}

// NewPresence returns the presence of a repository's edges. Run has to run.
func NewPresence(r *Repository, logger *slog.Logger) *Presence {
	return &Presence{r: r, log: logger, now: r.db.Now, contacts: map[string]contact{}, watched: map[string]observation{}}
}

// Run writes contacts and finds edges that have become silent, until ctx ends.
func (p *Presence) Run(ctx context.Context) error {
	tick := time.NewTicker(FlushInterval)
	defer tick.Stop()
	for {
		if err := p.Sweep(ctx); err != nil && ctx.Err() == nil {
			p.log.Error("updating the presence of edges", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			if err := p.flush(last); err != nil {
				p.log.Warn("the last contacts of edges are not stored", "error", err)
			}
			return nil
		}
	}
}

// Seen notes that an edge has just made contact. It writes only when the edge was offline. db.ErrNotFound: the
// edge is unknown or revoked.
func (p *Presence) Seen(ctx context.Context, edge string) error {
	now := p.now()
	p.mu.Lock()
	c, ok := p.contacts[edge]
	if ok {
		c.last = now
		p.contacts[edge] = c
	}
	p.mu.Unlock()
	if ok {
		return nil
	}
	if err := p.arrive(ctx, edge); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c = p.contacts[edge]
	c.last = now
	p.contacts[edge] = c
	return nil
}

// Skew notes how far an edge's clock is from the hub's. It is written with the edge's next contact.
func (p *Presence) Skew(edge string, skew time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.contacts[edge]; ok {
		c.skew = skew
		p.contacts[edge] = c
	}
}

// Forget removes an edge that was revoked.
func (p *Presence) Forget(edge string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.contacts, edge)
}

// arrive makes an edge online that was not.
func (p *Presence) arrive(ctx context.Context, edge string) error {
	var online int64
	err := p.r.db.Read(ctx).One(`SELECT online FROM edges WHERE name = ? AND revoked_at IS NULL`, edge)(&online)
	if err != nil {
		return fmt.Errorf("reading the presence of edge %s: %w", edge, err)
	}
	if online == 1 {
		return nil // a hub was restarted, or the edge comes from another one
	}
	return p.r.db.Update(ctx, "edge_online", func(t *db.Tx) error {
		err := t.Affected(`UPDATE edges SET online = 1, last_seen_at = ? WHERE name = ? AND online = 0 AND revoked_at IS NULL`, db.Millis(t.Now()), edge)
		if errors.Is(err, db.ErrNotFound) {
			return nil // another request was faster
		}
		if err != nil {
			return fmt.Errorf("storing that edge %s is online: %w", edge, err)
		}
		return p.r.publish(t, edge)
	})
}

// Sweep writes contacts and marks edges offline that have become silent. One goroutine calls it.
func (p *Presence) Sweep(ctx context.Context) error {
	if err := p.flush(ctx); err != nil {
		return err
	}
	online, err := p.online(ctx)
	if err != nil {
		return err
	}
	now := p.now()
	paused := p.swept.IsZero() || now.Sub(p.swept) > AwayAfter/2
	var silent []silentEdge
	for name, seen := range online {
		o, ok := p.watched[name]
		switch {
		case paused:
			p.watched[name] = observation{seen, now.Add(Grace)}
		case !ok || o.seen != seen:
			p.watched[name] = observation{seen, now}
		case now.Sub(o.since) >= AwayAfter:
			silent = append(silent, silentEdge{name, seen})
		}
	}
	for name := range p.watched {
		if _, ok := online[name]; !ok {
			delete(p.watched, name)
		}
	}
	p.swept = now
	return p.markOffline(ctx, silent)
}

// online returns the edges that are online in the database, with their times of last contact.
func (p *Presence) online(ctx context.Context) (map[string]sql.NullInt64, error) {
	out := map[string]sql.NullInt64{}
	rows, err := p.r.db.Read(ctx).Rows(`SELECT name, last_seen_at FROM edges WHERE online = 1`)
	if err != nil {
		return nil, fmt.Errorf("listing the edges that are online: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	for rows.Next() {
		var name string
		var seen sql.NullInt64
		if err := rows.Scan(&name, &seen); err != nil {
			return nil, fmt.Errorf("listing the edges that are online: %w", err)
		}
		out[name] = seen
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("listing the edges that are online: %w", err)
	}
	return out, nil
}

type silentEdge struct {
	name string
	seen sql.NullInt64
}

// markOffline marks edges whose time of last contact is still the one that was watched. Each is one
// entry of the change feed; readers list its devices anew.
func (p *Presence) markOffline(ctx context.Context, silent []silentEdge) error {
	if len(silent) == 0 {
		return nil
	}
	var marked []string
	err := p.r.db.Update(ctx, "edges_offline", func(t *db.Tx) error {
		marked = marked[:0]
		for _, e := range silent {
			err := t.Affected(`UPDATE edges SET online = 0 WHERE name = ? AND online = 1 AND coalesce(last_seen_at, 0) = ?`, e.name, e.seen.Int64)
			if errors.Is(err, db.ErrNotFound) {
				continue // it is back, or another hub was faster
			}
			if err != nil {
				return fmt.Errorf("marking edge %s offline: %w", e.name, err)
			}
			marked = append(marked, e.name)
			if err := p.r.publish(t, e.name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range marked {
		p.Forget(name)
		delete(p.watched, name)
	}
	if len(marked) > 0 {
		p.log.Info("edges are offline", "count", len(marked), "first", marked[0])
	}
	return nil
}

// flush writes the contacts since the last flush, in one statement. An edge that another hub has marked
// offline meanwhile is online again.
func (p *Presence) flush(ctx context.Context) error {
	type row struct {
		Name string `json:"n"`
		Seen int64  `json:"s"`
		Skew int64  `json:"k"`
	}
	var rows []row
	taken := map[string]time.Time{}
	p.mu.Lock()
	for name, c := range p.contacts {
		if c.last.After(c.flushed) {
			rows = append(rows, row{name, db.Millis(c.last), c.skew.Milliseconds()})
			taken[name] = c.last
		}
	}
	p.mu.Unlock()
	if len(rows) == 0 {
		return nil
	}
	list, err := json.Marshal(rows)
	if err != nil {
		return fmt.Errorf("encoding contacts: %w", err)
	}
	known := map[string]bool{}
	err = p.r.db.Update(ctx, "edges_seen", func(t *db.Tx) error {
		clear(known)
		return p.write(t, string(list), known)
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, last := range taken {
		c, ok := p.contacts[name]
		if !ok {
			continue
		}
		if !known[name] { // revoked
			delete(p.contacts, name)
			continue
		}
		c.flushed = last
		p.contacts[name] = c
	}
	return nil
}

// write writes a JSON list of contacts and collects the names of the edges that exist.
func (p *Presence) write(t *db.Tx, list string, known map[string]bool) error {
	values := `(SELECT json_extract(value, '$.n') AS n, json_extract(value, '$.s') AS s, json_extract(value, '$.k') AS k FROM json_each(?))`
	if t.Engine() == db.Postgres {
		values = `(SELECT value->>'n' AS n, (value->>'s')::bigint AS s, (value->>'k')::bigint AS k FROM jsonb_array_elements(?::jsonb))`
	}
	rows, err := t.Rows(`UPDATE edges SET last_seen_at = v.s, skew_ms = v.k
		FROM `+values+` AS v WHERE edges.name = v.n AND revoked_at IS NULL RETURNING name, online`, list)
	if err != nil {
		return fmt.Errorf("storing the contacts of edges: %w", err)
	}
	type written struct {
		name   string
		online int64
	}
	all, err := db.Collect(func(scan func(...any) error) (w written, err error) {
		err = scan(&w.name, &w.online)
		return w, err
	})(rows, nil)
	if err != nil {
		return fmt.Errorf("storing the contacts of edges: %w", err)
	}
	for _, w := range all {
		known[w.name] = true
		if w.online == 1 {
			continue
		}
		if err := t.Affected(`UPDATE edges SET online = 1 WHERE name = ?`, w.name); err != nil {
			return fmt.Errorf("storing that edge %s is online: %w", w.name, err)
		}
		if err := p.r.publish(t, w.name); err != nil {
			return err
		}
	}
	return nil
}
