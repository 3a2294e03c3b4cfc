package edges

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gridpost/hub/api/public"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
)

// Add adds an edge and a one-time token for it, by the SHA-256 of the token's secret. An edge that
// exists gets a further token: that is how its computer is replaced. An edge that was revoked is accepted
// again; its old certificates stay refused. A new edge is its own site.
func (r *Repository) Add(ctx context.Context, who, name string, tokenHash []byte, expires time.Time) error {
	return r.db.Update(ctx, "edge_add", func(t *db.Tx) error {
		if _, err := t.Exec(`INSERT INTO edges(name, site, created_at) VALUES (?, ?, ?)
			ON CONFLICT(name) DO UPDATE SET revoked_at = NULL`, name, name, db.Millis(t.Now())); err != nil {
			return fmt.Errorf("adding edge %s: %w", name, err)
		}
		if _, err := t.Exec(`INSERT INTO edge_tokens(hash, edge, created_at, expires_at) VALUES (?, ?, ?, ?)`,
			tokenHash, name, db.Millis(t.Now()), db.Millis(expires)); err != nil {
			return fmt.Errorf("adding a token for edge %s: %w", name, err)
		}
		if err := r.publish(t, name); err != nil {
			return err
		}
		return r.o.Audit(t, who, "edge add", name, "")
	})
}

// Revoke refuses an edge from now on: its certificates and its tokens. Its devices are deleted, its
// incidents stay. Its streams end at once.
func (r *Repository) Revoke(ctx context.Context, who, name string) error {
	return r.db.Update(ctx, "edge_revoke", func(t *db.Tx) error {
		if err := t.Affected(`UPDATE edges SET revoked_at = ?, online = 0, inventory = inventory + 1 WHERE name = ?`,
			db.Millis(t.Now()), name); err != nil {
			return fmt.Errorf("revoking edge %s: %w", name, err)
		}
		for _, text := range []string{
			`DELETE FROM edge_certificates WHERE edge = ?`,
			`DELETE FROM edge_tokens WHERE edge = ?`,
			`DELETE FROM device_places WHERE id IN (SELECT id FROM devices WHERE edge = ?)`,
			`DELETE FROM devices WHERE edge = ?`,
		} {
			if _, err := t.Exec(text, name); err != nil {
				return fmt.Errorf("revoking edge %s: %w", name, err)
			}
		}
		if err := r.publish(t, name); err != nil {
			return err
		}
		t.Notify(db.Commands, name)
		t.Notify(db.Access, "")
		return r.o.Audit(t, who, "edge revoke", name, "")
	})
}

const edgeColumns = `e.name, e.site, e.created_at, e.revoked_at, e.last_seen_at, e.online, e.version, e.skew_ms, e.health, e.inventory, e.title,
	(SELECT max(t.expires_at) FROM edge_tokens t WHERE t.edge = e.name AND t.burnt_at IS NULL)`

func scanEdge(scan func(...any) error) (Edge, error) {
	var e Edge
	var created, skew int64
	var revoked, seen, token sql.NullInt64
	var online int64
	var health sql.NullString
	var title string
	if err := scan(&e.Name, &e.Site, &created, &revoked, &seen, &online, &e.Version, &skew, &health, &e.Inventory, &title, &token); err != nil {
		return e, err
	}
	if err := json.Unmarshal([]byte(title), &e.Title); err != nil {
		return e, fmt.Errorf("reading the title of edge %s: %w", e.Name, err)
	}
	e.Created, e.Revoked, e.LastSeen, e.TokenUntil = db.FromMillis(created), db.TimePtr(revoked), db.TimePtr(seen), db.TimePtr(token)
	e.Skew = time.Duration(skew) * time.Millisecond
	switch {
	case revoked.Valid:
		e.State = Revoked
	case !seen.Valid:
		e.State = Pending
	case online == 1:
		e.State = Online
	default:
		e.State = Offline
	}
	if health.Valid {
		e.Health = new(Health)
		if err := json.Unmarshal([]byte(health.String), e.Health); err != nil {
			return e, fmt.Errorf("reading the health of edge %s: %w", e.Name, err)
		}
	}
	return e, nil
}

// Edge returns one edge; db.ErrNotFound if there is none in the scope.
func (r *Repository) Edge(ctx context.Context, s scope.Scope, name string) (Edge, error) {
	where, args := s.Where("e.site")
	e, err := scanEdge(r.db.Read(ctx).One(`SELECT `+edgeColumns+` FROM edges e WHERE e.name = ? AND `+where, append([]any{name}, args...)...))
	if err != nil {
		return e, fmt.Errorf("reading edge %s: %w", name, err)
	}
	return e, nil
}

// Edges returns every edge of the scope, by name.
func (r *Repository) Edges(ctx context.Context, s scope.Scope) ([]Edge, error) {
	where, args := s.Where("e.site")
	all, err := db.Collect(scanEdge)(r.db.Read(ctx).Rows(`SELECT `+edgeColumns+` FROM edges e WHERE `+where+` ORDER BY e.name`, args...))
	if err != nil {
		return nil, fmt.Errorf("listing edges: %w", err)
	}
	return all, nil
}

// CountEdges returns how many edges that are not revoked are online and offline.
func (r *Repository) CountEdges(ctx context.Context) (map[string]int, error) {
	return r.count(ctx, `SELECT CASE online WHEN 1 THEN 'online' ELSE 'offline' END, count(*) FROM edges WHERE revoked_at IS NULL GROUP BY online`)
}

// CountDevices returns how many devices are in each state, as "kind state".
func (r *Repository) CountDevices(ctx context.Context) (map[string]int, error) {
	return r.count(ctx, `SELECT d.kind || ' ' || CASE WHEN e.online = 1 THEN d.state ELSE 'unknown' END, count(*)
		FROM devices d JOIN edges e ON e.name = d.edge GROUP BY 1`)
}

func (r *Repository) count(ctx context.Context, query string) (map[string]int, error) {
	out := map[string]int{}
	rows, err := r.db.Read(ctx).Rows(query)
	if err != nil {
		return nil, fmt.Errorf("counting: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	for rows.Next() {
		var key string
		var n int
		if err := rows.Scan(&key, &n); err != nil {
			return nil, fmt.Errorf("counting: %w", err)
		}
		out[key] = n
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("counting: %w", err)
	}
	return out, nil
}

// publish appends an edge, as it is now, to the change feed.
func (r *Repository) publish(t *db.Tx, name string) error {
	e, err := scanEdge(t.One(`SELECT `+edgeColumns+` FROM edges e WHERE e.name = ?`, name))
	if err != nil {
		return fmt.Errorf("reading edge %s: %w", name, err)
	}
	t.Publish(public.ChangeEdge, e.Site, e.Name, r.o.PresentEdge(e), nil)
	return nil
}

// ApplyHealth stores how an edge does. It is published when the problems have changed.
func (r *Repository) ApplyHealth(t *db.Tx, edge string, h Health) error {
	h.Received = t.Now().UTC()
	text, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encoding the health of edge %s: %w", edge, err)
	}
	var before sql.NullString
	if err := t.One(`SELECT health FROM edges WHERE name = ?`, edge)(&before); err != nil {
		return fmt.Errorf("reading the health of edge %s: %w", edge, err)
	}
	if _, err := t.Exec(`UPDATE edges SET health = ? WHERE name = ?`, string(text), edge); err != nil {
		return fmt.Errorf("storing the health of edge %s: %w", edge, err)
	}
	same, err := sameProblems(before, h)
	if err != nil {
		return fmt.Errorf("reading the health of edge %s: %w", edge, err)
	}
	if same {
		return nil
	}
	return r.publish(t, edge)
}

// sameProblems compares the problems of stored health with new ones, by their JSON.
func sameProblems(before sql.NullString, h Health) (bool, error) {
	if !before.Valid {
		return len(h.Problems) == 0, nil
	}
	var old Health
	if err := json.Unmarshal([]byte(before.String), &old); err != nil {
		return false, err
	}
	if len(old.Problems) == 0 && len(h.Problems) == 0 {
		return true, nil
	}
	a, errA := json.Marshal(old.Problems)
	b, errB := json.Marshal(h.Problems)
	return string(a) == string(b), errors.Join(errA, errB)
}
