package people

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/audit"
)

// Token is an API token: what a program shows in place of a user. The secret itself is not stored.
type Token struct {
	ID          string // UUIDv7
	Name        string
	Role        string
	Scope       scope.Scope // the sites that it may see
	Created     time.Time
	CreatedBy   string // as the name was then
	CreatedByID string // of the user; empty: it was not created by a user

	Expires  *time.Time // nil: never
	LastUsed *time.Time // nil: never used; to within a minute

	// Present role and scope of the user who created it. MakerRole is empty for a token that was not created by a
	// user; MakerScope is that of all sites then.
	MakerRole  string
	MakerScope scope.Scope
}

// TokenPrincipal returns the name under which a token of a name acts.
func TokenPrincipal(name string) string { return "token " + name }

// A token ends with the user who created it: it is valid as long as that user exists and is not disabled.
const (
	tokenColumns = `k.id, k.name, k.role, k.sites, k.created_at, k.created_by, k.created_by_id, k.expires_at, k.last_used_at, coalesce(m.role, ''), m.sites`
	tokenFrom    = ` FROM tokens k LEFT JOIN users m ON m.id = k.created_by_id AND m.disabled_at IS NULL`
	tokenValid   = `k.revoked_at IS NULL AND (k.created_by_id = '' OR m.id IS NOT NULL) AND (k.expires_at IS NULL OR k.expires_at > ?)`
)

func scanToken(scan func(...any) error) (k Token, err error) {
	var created int64
	var expires, used sql.NullInt64
	err = scan(&k.ID, &k.Name, &k.Role, &k.Scope, &created, &k.CreatedBy, &k.CreatedByID, &expires, &used, &k.MakerRole, &k.MakerScope)
	k.Created, k.Expires, k.LastUsed = db.FromMillis(created), db.TimePtr(expires), db.TimePtr(used)
	return k, err
}

// AddToken stores a token by the SHA-256 of its text. k names it; the time of its creation and the ID of
// its creator are set.
func (r *Repository) AddToken(ctx context.Context, k Token, hash []byte) (Token, error) {
	err := r.db.Update(ctx, "add_token", func(t *db.Tx) error {
		now := db.Millis(t.Now())
		k.Created = db.FromMillis(now)
		var err error
		if k.CreatedByID, err = audit.UserID(t.Reader, k.CreatedBy); err != nil {
			return err
		}
		var expires any
		if k.Expires != nil {
			expires = db.Millis(*k.Expires)
		}
		if _, err := t.Exec(`INSERT INTO tokens(id, hash, name, role, sites, created_at, created_by, created_by_id, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			k.ID, hash, k.Name, k.Role, k.Scope, now, k.CreatedBy, k.CreatedByID, expires); err != nil {
			return err
		}
		audit.Append(t, k.CreatedBy, "token create", k.ID, rights(k.Role, k.Scope))
		return nil
	})
	if err != nil {
		return Token{}, fmt.Errorf("adding a token: %w", err)
	}
	return k, nil
}

// RevokeToken refuses a token from now on. It returns db.ErrNotFound if it does not exist or is revoked.
func (r *Repository) RevokeToken(ctx context.Context, who, id string) error {
	err := r.db.Update(ctx, "revoke_token", func(t *db.Tx) error {
		if err := t.Affected(`UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL`, db.Millis(t.Now()), id); err != nil {
			return err
		}
		audit.Append(t, who, "token revoke", id, "")
		accessChanged(t, TokenKey(id))
		return nil
	})
	if err != nil {
		return fmt.Errorf("revoking token %s: %w", id, err)
	}
	return nil
}

// revokeTokensOf revokes the tokens that a user has created, who is removed.
func revokeTokensOf(t *db.Tx, who, userID, name string) error {
	ids, err := db.Collect(db.ScanText)(t.Rows(`UPDATE tokens SET revoked_at = ? WHERE created_by_id = ? AND revoked_at IS NULL RETURNING id`,
		db.Millis(t.Now()), userID))
	if err != nil {
		return fmt.Errorf("revoking tokens: %w", err)
	}
	slices.Sort(ids) // one order of entries on both engines
	for _, id := range ids {
		audit.Append(t, who, "token revoke", id, "removed with "+name)
		accessChanged(t, TokenKey(id))
	}
	return nil
}

// tokensChanged tells the hubs to check the live connections of the tokens that a user has created.
func tokensChanged(t *db.Tx, userID string) error {
	ids, err := db.Collect(db.ScanText)(t.Rows(`SELECT id FROM tokens WHERE created_by_id = ? AND revoked_at IS NULL ORDER BY id`, userID))
	if err != nil {
		return fmt.Errorf("reading tokens: %w", err)
	}
	for _, id := range ids {
		accessChanged(t, TokenKey(id))
	}
	return nil
}

// TokenByHash returns the token with the SHA-256; db.ErrNotFound if it is not valid any more.
func (r *Repository) TokenByHash(ctx context.Context, hash []byte) (Token, error) {
	k, err := scanToken(r.db.Read(ctx).One(tokenQuery, db.Millis(r.db.Now()), hash))
	if err != nil {
		return k, fmt.Errorf("reading a token: %w", err)
	}
	return k, nil
}

const tokenQuery = `SELECT ` + tokenColumns + tokenFrom + ` WHERE ` + tokenValid + ` AND k.hash = ?`

// Tokens lists the tokens that are not revoked, the oldest first, those after a time and ID; limit of
// them at most. Those that have expired, or whose creator is disabled, are among them.
func (r *Repository) Tokens(ctx context.Context, after time.Time, afterID string, limit int) ([]Token, error) {
	all, err := db.Collect(scanToken)(r.db.Read(ctx).Rows(tokensQuery, db.Millis(after), afterID, limit))
	if err != nil {
		return nil, fmt.Errorf("listing tokens: %w", err)
	}
	return all, nil
}

const tokensQuery = `SELECT ` + tokenColumns + tokenFrom + ` WHERE k.revoked_at IS NULL AND (k.created_at, k.id) > (?, ?)
	ORDER BY k.created_at, k.id LIMIT ?`

// NoteTokensUsed stores when tokens were last used.
func (r *Repository) NoteTokensUsed(ctx context.Context, used map[string]time.Time) error {
	err := r.db.Update(ctx, "tokens_used", func(t *db.Tx) error {
		for _, id := range slices.Sorted(maps.Keys(used)) { // hubs lock rows in one order
			at := db.Millis(used[id])
			if _, err := t.Exec(`UPDATE tokens SET last_used_at = ? WHERE id = ? AND (last_used_at IS NULL OR last_used_at < ?)`, at, id, at); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("storing when tokens were used: %w", err)
	}
	return nil
}
