package store

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gridpost/hub/api"
)

// AddEdge makes a place for an edge and a one-time token for it, by the SHA-256 of the token's
// secret. An edge that exists gets a further token: that is how a box is replaced.
// An edge that was revoked is taken in again; its old certificates stay refused.
func (s *Store) AddEdge(ctx context.Context, who, name string, tokenHash []byte, expires time.Time) error {
	return s.update(ctx, func(t *tx) error {
		if _, err := t.exec(`INSERT INTO edges(name, created_at) VALUES (?, ?)
			ON CONFLICT(name) DO UPDATE SET revoked_at = NULL`, name, millis(t.now)); err != nil {
			return fmt.Errorf("adding edge %s: %w", name, err)
		}
		if _, err := t.exec(`INSERT INTO edge_tokens(hash, edge, created_at, expires_at) VALUES (?, ?, ?, ?)`,
			tokenHash, name, millis(t.now), millis(expires)); err != nil {
			return fmt.Errorf("adding a token for edge %s: %w", name, err)
		}
		if err := t.edgeChanged(name); err != nil {
			return err
		}
		return t.audit(who, "edge add", name, "")
	})
}

// RevokeEdge refuses an edge from now on: its certificates and its tokens. Its devices are
// forgotten, its incidents stay.
func (s *Store) RevokeEdge(ctx context.Context, who, name string) error {
	return s.update(ctx, func(t *tx) error {
		if err := affected(t.exec(`UPDATE edges SET revoked_at = ?, online = 0 WHERE name = ?`, millis(t.now), name)); err != nil {
			return fmt.Errorf("revoking edge %s: %w", name, err)
		}
		for _, text := range []string{
			`DELETE FROM edge_certificates WHERE edge = ?`,
			`DELETE FROM edge_tokens WHERE edge = ?`,
			`DELETE FROM device_places WHERE id IN (SELECT id FROM devices WHERE edge = ?)`,
			`DELETE FROM devices WHERE edge = ?`,
		} {
			if _, err := t.exec(text, name); err != nil {
				return fmt.Errorf("revoking edge %s: %w", name, err)
			}
		}
		if err := t.edgeChanged(name); err != nil {
			return err
		}
		return t.audit(who, "edge revoke", name, "")
	})
}

// Redeem claims the token with the hash for a public key and returns its edge. The same key
// may redeem again until the token is burnt or expired; another key is refused with ErrConflict.
func (s *Store) Redeem(ctx context.Context, tokenHash, keyHash []byte) (edge string, err error) {
	err = s.update(ctx, func(t *tx) error {
		var expires int64
		var burnt, revoked sql.NullInt64
		var key []byte
		err := t.one(`SELECT t.edge, t.expires_at, t.burnt_at, t.key_hash, e.revoked_at
			FROM edge_tokens t JOIN edges e ON e.name = t.edge WHERE t.hash = ?`, tokenHash)(
			&edge, &expires, &burnt, &key, &revoked)
		if err != nil {
			return err
		}
		if burnt.Valid || revoked.Valid || millis(t.now) > expires {
			return ErrNotFound
		}
		if key != nil {
			if subtle.ConstantTimeCompare(key, keyHash) != 1 {
				return ErrConflict
			}
			return nil
		}
		if _, err := t.exec(`UPDATE edge_tokens SET key_hash = ? WHERE hash = ?`, keyHash, tokenHash); err != nil {
			return err
		}
		return t.audit("edge "+edge, "edge enrol", edge, "")
	})
	if err != nil {
		return "", fmt.Errorf("redeeming a token: %w", err)
	}
	return edge, nil
}

// AddCertificate remembers a certificate that was issued to an edge. tokenHash is nil for a renewal.
func (s *Store) AddCertificate(ctx context.Context, edge, serial string, tokenHash []byte, notAfter time.Time) error {
	return s.update(ctx, func(t *tx) error {
		var revoked sql.NullInt64
		// Looked at again: the edge may have been revoked since the request was let in.
		if err := t.one(`SELECT revoked_at FROM edges WHERE name = ?`, edge)(&revoked); err != nil {
			return fmt.Errorf("adding a certificate of edge %s: %w", edge, err)
		}
		if revoked.Valid {
			return fmt.Errorf("adding a certificate of edge %s: %w", edge, ErrConflict)
		}
		_, err := t.exec(`INSERT INTO edge_certificates(serial, edge, token_hash, issued_at, not_after) VALUES (?, ?, ?, ?, ?)`,
			serial, edge, tokenHash, millis(t.now), millis(notAfter))
		if err != nil {
			return fmt.Errorf("adding a certificate of edge %s: %w", edge, err)
		}
		return nil
	})
}

// CheckCertificate returns nil if the certificate was issued to the edge and neither is
// revoked. At the certificate's first use it burns the token that it came from.
func (s *Store) CheckCertificate(ctx context.Context, edge, serial string) error {
	var used, revoked sql.NullInt64
	err := s.read.QueryRowContext(ctx, `SELECT c.first_used_at, e.revoked_at FROM edge_certificates c
		JOIN edges e ON e.name = c.edge WHERE c.serial = ? AND c.edge = ?`, serial, edge).Scan(&used, &revoked)
	if errors.Is(err, sql.ErrNoRows) || err == nil && revoked.Valid {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("checking a certificate: %w", err)
	}
	if used.Valid {
		return nil
	}
	return s.update(ctx, func(t *tx) error {
		if _, err := t.exec(`UPDATE edge_certificates SET first_used_at = ? WHERE serial = ? AND first_used_at IS NULL`,
			millis(t.now), serial); err != nil {
			return fmt.Errorf("noting a certificate's first use: %w", err)
		}
		if _, err := t.exec(`UPDATE edge_tokens SET burnt_at = ? WHERE burnt_at IS NULL
			AND hash = (SELECT token_hash FROM edge_certificates WHERE serial = ?)`, millis(t.now), serial); err != nil {
			return fmt.Errorf("burning a token: %w", err)
		}
		return t.edgeChanged(edge)
	})
}

// SeenInterval is how often an edge's contact is written down at most.
const SeenInterval = 5 * time.Second

// Seen notes that an edge has just spoken. An edge that was away is online from now on.
func (s *Store) Seen(ctx context.Context, edge string) error {
	var online bool
	var seen sql.NullInt64
	err := s.read.QueryRowContext(ctx, `SELECT online, last_seen_at FROM edges WHERE name = ?`, edge).Scan(&online, &seen)
	if err != nil {
		return fmt.Errorf("noting that edge %s spoke: %w", edge, err)
	}
	if online && seen.Valid && s.now().Sub(fromMillis(seen.Int64)) < SeenInterval {
		return nil
	}
	return s.update(ctx, func(t *tx) error { return t.seen(edge) })
}

func (t *tx) seen(edge string) error {
	var online bool
	if err := t.one(`SELECT online FROM edges WHERE name = ? AND revoked_at IS NULL`, edge)(&online); err != nil {
		return fmt.Errorf("noting that edge %s spoke: %w", edge, err)
	}
	if _, err := t.exec(`UPDATE edges SET last_seen_at = ?, online = 1 WHERE name = ?`, millis(t.now), edge); err != nil {
		return fmt.Errorf("noting that edge %s spoke: %w", edge, err)
	}
	if online {
		return nil
	}
	return t.presenceChanged(edge)
}

// presenceChanged tells the live stream that an edge, and so its devices, came or went.
func (t *tx) presenceChanged(edge string) error {
	if err := t.edgeChanged(edge); err != nil {
		return err
	}
	names, err := t.deviceNames(edge)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := t.deviceChanged(edge, name); err != nil {
			return err
		}
	}
	return nil
}

// AwayAfter is how long an edge may be silent before it counts as away.
const AwayAfter = 30 * time.Second

// MarkAway finds the edges that have been silent for AwayAfter, and tells of them.
func (s *Store) MarkAway(ctx context.Context) error {
	limit := millis(s.now().Add(-AwayAfter))
	var n int
	if err := s.read.QueryRowContext(ctx, `SELECT count(*) FROM edges WHERE online = 1 AND last_seen_at < ?`, limit).Scan(&n); err != nil {
		return fmt.Errorf("looking for silent edges: %w", err)
	}
	if n == 0 {
		return nil
	}
	return s.update(ctx, func(t *tx) error {
		names, err := collect(scanText)(t.rows(`UPDATE edges SET online = 0 WHERE online = 1 AND last_seen_at < ? RETURNING name`, limit))
		if err != nil {
			return fmt.Errorf("marking silent edges: %w", err)
		}
		for _, name := range names {
			if err := t.presenceChanged(name); err != nil {
				return err
			}
		}
		return nil
	})
}

const edgeColumns = `name, created_at, revoked_at, last_seen_at, online, version, skew_ms, health,
	(SELECT max(expires_at) FROM edge_tokens t WHERE t.edge = edges.name AND t.burnt_at IS NULL)`

func scanEdge(scan func(...any) error) (api.EdgeRecord, error) {
	var e api.EdgeRecord
	var created int64
	var revoked, seen, token sql.NullInt64
	var online bool
	var health sql.NullString
	if err := scan(&e.Name, &created, &revoked, &seen, &online, &e.Version, &e.SkewMS, &health, &token); err != nil {
		return e, err
	}
	e.Created, e.Revoked, e.LastSeen, e.Token = fromMillis(created), timePtr(revoked), timePtr(seen), timePtr(token)
	switch {
	case revoked.Valid:
		e.State = "revoked"
	case !seen.Valid:
		e.State = "pending"
	case online:
		e.State = "online"
	default:
		e.State = "offline"
	}
	if health.Valid {
		var h api.Health
		if err := json.Unmarshal([]byte(health.String), &h); err != nil {
			return e, fmt.Errorf("reading the health of edge %s: %w", e.Name, err)
		}
		e.Health = &api.EdgeHealth{Time: h.Time, Problems: make([]string, len(h.Problems)), Causes: h.Problems, Counters: h.Counters}
		for i, p := range h.Problems {
			e.Health.Problems[i] = p.Text
		}
	}
	return e, nil
}

// Edge returns one edge.
func (s *Store) Edge(ctx context.Context, name string) (api.EdgeRecord, error) {
	e, err := scanEdge(found(s.read.QueryRowContext(ctx, `SELECT `+edgeColumns+` FROM edges WHERE name = ?`, name)))
	if err != nil {
		return e, fmt.Errorf("reading edge %s: %w", name, err)
	}
	return e, nil
}

// Edges returns every edge, by name.
func (s *Store) Edges(ctx context.Context) ([]api.EdgeRecord, error) {
	return collect(scanEdge)(s.read.QueryContext(ctx, `SELECT `+edgeColumns+` FROM edges ORDER BY name`))
}

func (t *tx) edgeChanged(name string) error {
	e, err := scanEdge(t.one(`SELECT `+edgeColumns+` FROM edges WHERE name = ?`, name))
	if err != nil {
		return fmt.Errorf("reading edge %s: %w", name, err)
	}
	_, _, err = t.change(api.ChangeEdge, e)
	return err
}
