package edges

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gridpost/hub/internal/db"
)

// CheckToken returns nil if a token with the hash may be redeemed, by whichever key, and db.ErrNotFound
// otherwise. It writes nothing, because it is called for requests of anybody.
func (r *Repository) CheckToken(ctx context.Context, tokenHash []byte) error {
	var expires int64
	err := r.db.Read(ctx).One(`SELECT t.expires_at FROM edge_tokens t JOIN edges e ON e.name = t.edge
		WHERE t.hash = ? AND t.burnt_at IS NULL AND e.revoked_at IS NULL`, tokenHash)(&expires)
	if err == nil && db.Millis(r.db.Now()) > expires {
		err = db.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("checking a token: %w", err)
	}
	return nil
}

// Redeem claims the token with the hash for a public key and returns its edge. The same key may
// redeem again until the token is burnt or expired; another key is refused with db.ErrConflict.
func (r *Repository) Redeem(ctx context.Context, tokenHash, keyHash []byte) (edge string, err error) {
	err = r.db.Update(ctx, "edge_redeem", func(t *db.Tx) error {
		var expires int64
		var burnt, revoked sql.NullInt64
		var key []byte
		err := t.One(`SELECT t.edge, t.expires_at, t.burnt_at, t.key_hash, e.revoked_at
			FROM edge_tokens t JOIN edges e ON e.name = t.edge WHERE t.hash = ?`+t.ForUpdate(), tokenHash)(
			&edge, &expires, &burnt, &key, &revoked)
		if err != nil {
			return err
		}
		if burnt.Valid || revoked.Valid || db.Millis(t.Now()) > expires {
			return db.ErrNotFound
		}
		if key != nil {
			if subtle.ConstantTimeCompare(key, keyHash) != 1 {
				return db.ErrConflict
			}
			return nil
		}
		if _, err := t.Exec(`UPDATE edge_tokens SET key_hash = ? WHERE hash = ?`, keyHash, tokenHash); err != nil {
			return err
		}
		return r.o.Audit(t, "edge "+edge, "edge enrol", edge, "")
	})
	if err != nil {
		return "", fmt.Errorf("redeeming a token: %w", err)
	}
	return edge, nil
}

// maxUnused is how many certificates that have not been used an edge may have of one token, and of
// renewals. More than one exist when answers were lost.
const maxUnused = 4

// AddCertificate stores a certificate that was issued to an edge, and deletes the oldest ones that were not
// used if there are too many. tokenHash is nil for a renewal. It returns db.ErrConflict when the edge was
// revoked since the request was admitted.
func (r *Repository) AddCertificate(ctx context.Context, edge, serial string, tokenHash []byte, notAfter time.Time) error {
	err := r.db.Update(ctx, "edge_certificate", func(t *db.Tx) error {
		var revoked sql.NullInt64
		if err := t.One(`SELECT revoked_at FROM edges WHERE name = ?`+t.ForUpdate(), edge)(&revoked); err != nil {
			return err
		}
		if revoked.Valid {
			return db.ErrConflict
		}
		// Two of one millisecond, or of before and after the clock was set back, keep their order.
		var last int64
		if err := t.One(`SELECT COALESCE(MAX(issued_at), 0) FROM edge_certificates WHERE edge = ?`, edge)(&last); err != nil {
			return err
		}
		if _, err := t.Exec(`INSERT INTO edge_certificates(serial, edge, token_hash, issued_at, not_after) VALUES (?, ?, ?, ?, ?)`,
			serial, edge, tokenHash, max(last+1, db.Millis(t.Now())), db.Millis(notAfter)); err != nil {
			return err
		}
		source, args := `token_hash IS NULL`, []any{edge}
		if tokenHash != nil {
			source, args = `token_hash = ?`, []any{edge, tokenHash}
		}
		_, err := t.Exec(`DELETE FROM edge_certificates WHERE serial IN (SELECT serial FROM edge_certificates
			WHERE edge = ? AND `+source+` AND first_used_at IS NULL ORDER BY issued_at DESC LIMIT 1000 OFFSET ?)`,
			append(args, maxUnused)...)
		return err
	})
	if err != nil {
		return fmt.Errorf("adding a certificate of edge %s: %w", edge, err)
	}
	return nil
}

// CheckCertificate returns nil if the certificate was issued to the edge and neither is revoked, and
// db.ErrNotFound otherwise. At the certificate's first use it burns the token that it came from, and deletes the
// certificates that it supersedes.
func (r *Repository) CheckCertificate(ctx context.Context, edge, serial string) error {
	var used, revoked sql.NullInt64
	err := r.db.Read(ctx).One(`SELECT c.first_used_at, e.revoked_at FROM edge_certificates c
		JOIN edges e ON e.name = c.edge WHERE c.serial = ? AND c.edge = ?`, serial, edge)(&used, &revoked)
	switch {
	case errors.Is(err, db.ErrNotFound), err == nil && revoked.Valid:
		return db.ErrNotFound
	case err != nil:
		return fmt.Errorf("checking a certificate: %w", err)
	case used.Valid:
		return nil
	}
	if err := r.db.Update(ctx, "edge_first_use", func(t *db.Tx) error { return r.firstUse(t, edge, serial) }); err != nil {
		return fmt.Errorf("storing a certificate's first use: %w", err)
	}
	return nil
}

// firstUse stores that a certificate is in use. It returns db.ErrNotFound if another one has superseded it.
func (r *Repository) firstUse(t *db.Tx, edge, serial string) error {
	var name string
	if err := t.One(`SELECT name FROM edges WHERE name = ?`+t.ForUpdate(), edge)(&name); err != nil {
		return err
	}
	var token []byte
	var used sql.NullInt64
	if err := t.One(`SELECT token_hash, first_used_at FROM edge_certificates WHERE serial = ? AND edge = ?`, serial, edge)(&token, &used); err != nil {
		return err
	}
	if used.Valid {
		return nil // stored by another request of the same moment
	}
	if _, err := t.Exec(`UPDATE edge_certificates SET first_used_at = ? WHERE serial = ?`, db.Millis(t.Now()), serial); err != nil {
		return err
	}
	// A certificate for a token is for a computer that takes the place of all earlier ones of the edge. A renewal takes
	// the place of the certificate that it was requested with, but not of an unused one for a token: otherwise the old
	// computer could keep the new one out.
	superseded := `edge = ? AND serial != ?`
	if token == nil {
		superseded += ` AND (first_used_at IS NOT NULL OR token_hash IS NULL)`
	} else if _, err := t.Exec(`UPDATE edge_tokens SET burnt_at = ? WHERE burnt_at IS NULL AND hash = ?`, db.Millis(t.Now()), token); err != nil {
		return err
	}
	if _, err := t.Exec(`DELETE FROM edge_certificates WHERE `+superseded, edge, serial); err != nil {
		return err
	}
	t.Notify(db.Commands, edge) // streams of the superseded ones end
	return r.publish(t, edge)
}

// Accepted is what the hub accepts of edges.
type Accepted struct {
	Sites   map[string]string // sites of edges that are not revoked, by the name of the edge
	Serials map[string]string // edges of certificates that are not revoked, by serial number
}

// Accepted returns which of the edges and certificates are accepted. A certificate is not when its edge is not.
func (r *Repository) Accepted(ctx context.Context, names, serials []string) (Accepted, error) {
	out := Accepted{Sites: map[string]string{}, Serials: map[string]string{}}
	into := func(m map[string]string, query, what string, keys []string) error {
		if len(keys) == 0 {
			return nil
		}
		_, err := db.Collect(func(scan func(...any) error) (struct{}, error) {
			var key, value string
			err := scan(&key, &value)
			m[key] = value
			return struct{}{}, err
		})(r.db.Read(ctx).Rows(query+db.InList(r.db.Engine()), db.JSONList(keys)))
		if err != nil {
			return fmt.Errorf("reading %s: %w", what, err)
		}
		return nil
	}
	if err := into(out.Sites, acceptedEdges, "edges", names); err != nil {
		return out, err
	}
	return out, into(out.Serials, acceptedSerials, "certificates", serials)
}

const (
	acceptedEdges   = `SELECT e.name, e.site FROM edges e WHERE e.revoked_at IS NULL AND e.name `
	acceptedSerials = `SELECT c.serial, c.edge FROM edge_certificates c JOIN edges e ON e.name = c.edge WHERE e.revoked_at IS NULL AND c.serial `
)

// DeleteTokensBefore deletes tokens that expired before a time, at most limit; it returns how many.
func (r *Repository) DeleteTokensBefore(ctx context.Context, before time.Time, limit int) (int, error) {
	return r.db.DeleteBefore(ctx, "delete_edge_tokens", `DELETE FROM edge_tokens WHERE hash IN
		(SELECT hash FROM edge_tokens WHERE expires_at < ? ORDER BY expires_at LIMIT ?)`, before, limit)
}

// DeleteCertificatesBefore deletes certificates that expired before a time, at most limit; it returns
// how many. An edge that was away for longer has to be enrolled again.
func (r *Repository) DeleteCertificatesBefore(ctx context.Context, before time.Time, limit int) (int, error) {
	return r.db.DeleteBefore(ctx, "delete_edge_certificates", `DELETE FROM edge_certificates WHERE serial IN
		(SELECT serial FROM edge_certificates WHERE not_after < ? ORDER BY not_after LIMIT ?)`, before, limit)
}
