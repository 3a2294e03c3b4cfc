package people

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/store/audit"
)

// maxOrigins is how many origins of a user are remembered: the newest ones.
const maxOrigins = 20

// Login is what is known when somebody tries to log in.
type Login struct {
	User     User
	Password string // its hash; empty: the user has none
	Known    bool   // the user has logged in from the origin before
}

// Login returns a user by name for an attempt to log in from an origin; db.ErrNotFound if there is none.
func (r *Repository) Login(ctx context.Context, name, origin string) (Login, error) {
	var l Login
	var hash sql.NullString
	var known int
	var err error
	l.User, err = scanUser(r.db.Read(ctx).One(loginQuery, password, origin, name), &hash, &known)
	if err != nil {
		return l, fmt.Errorf("reading a user: %w", err)
	}
	l.Password, l.Known = hash.String, known > 0
	return l, nil
}

const loginQuery = `SELECT ` + userColumns + `, i.secret, CASE WHEN o.origin IS NULL THEN 0 ELSE 1 END
	FROM users u LEFT JOIN identities i ON i.kind = ? AND i.subject = u.id
	LEFT JOIN login_origins o ON o.user_id = u.id AND o.origin = ? WHERE u.name = ?`

// AddSession stores a log-in by the SHA-256 of its cookie, and the origin as one of the user's. It
// returns db.ErrNotFound when the user has been removed or disabled meanwhile.
func (r *Repository) AddSession(ctx context.Context, hash []byte, userID, origin string, expires time.Time) error {
	return r.addSession(ctx, Session{hash, userID, origin, expires}, func(*db.Tx, string) (string, error) { return "", nil })
}

// AddPasswordSession is AddSession for a log-in with a password. It also returns db.ErrNotFound when the password has been
// changed meanwhile, or when the user has a second factor and the proof does not hold, such as a code that was used
// already. What proves the second factor is used up in the same transaction.
func (r *Repository) AddPasswordSession(ctx context.Context, s Session, p Proof) error {
	return r.addSession(ctx, s, func(t *db.Tx, userID string) (string, error) {
		var same string
		if err := t.One(`SELECT user_id FROM identities WHERE kind = ? AND subject = ? AND secret = ?`, password, userID, p.Password)(&same); err != nil {
			return "", err
		}
		return useSecondFactor(t, userID, p.Factor)
	})
}

// Session is a log-in.
type Session struct {
	Hash    []byte // SHA-256 of its cookie
	UserID  string
	Origin  string // where it came from
	Expires time.Time
}

// Proof is what a log-in with a password rests on.
type Proof struct {
	Password string // the hash that the password was compared with
	Factor   Factor
}

// addSession stores a log-in. prove is called with the user's row locked, and returns a detail for the audit log.
func (r *Repository) addSession(ctx context.Context, s Session, prove func(t *db.Tx, userID string) (string, error)) error {
	err := r.db.Update(ctx, "add_session", func(t *db.Tx) error {
		var name string
		if err := t.One(`SELECT name FROM users WHERE id = ? AND disabled_at IS NULL`+t.ForUpdate(), s.UserID)(&name); err != nil {
			return err
		}
		detail, err := prove(t, s.UserID)
		if err != nil {
			return err
		}
		now := db.Millis(t.Now())
		if _, err := t.Exec(`INSERT INTO sessions(hash, user_id, created_at, expires_at) VALUES (?, ?, ?, ?)`,
			s.Hash, s.UserID, now, db.Millis(s.Expires)); err != nil {
			return err
		}
		if _, err := t.Exec(`INSERT INTO login_origins(user_id, origin, last_at) VALUES (?, ?, ?)
			ON CONFLICT(user_id, origin) DO UPDATE SET last_at = excluded.last_at`, s.UserID, s.Origin, now); err != nil {
			return err
		}
		if _, err := t.Exec(`DELETE FROM login_origins WHERE user_id = ? AND origin NOT IN
			(SELECT origin FROM login_origins WHERE user_id = ? ORDER BY last_at DESC, origin LIMIT ?)`, s.UserID, s.UserID, maxOrigins); err != nil {
			return err
		}
		audit.Append(t, name, "log in", name, detail)
		return nil
	})
	if err != nil {
		return fmt.Errorf("adding a session: %w", err)
	}
	return nil
}

// Session returns the user of a session and when it expires; db.ErrNotFound if it is over, or its user
// is disabled.
func (r *Repository) Session(ctx context.Context, hash []byte) (User, time.Time, error) {
	var expires int64
	u, err := scanUser(r.db.Read(ctx).One(sessionQuery, hash, db.Millis(r.db.Now())), &expires)
	if err != nil {
		return u, time.Time{}, fmt.Errorf("reading a session: %w", err)
	}
	return u, db.FromMillis(expires), nil
}

const sessionQuery = `SELECT ` + userColumns + `, s.expires_at FROM sessions s JOIN users u ON u.id = s.user_id
	WHERE s.hash = ? AND s.expires_at > ? AND u.disabled_at IS NULL`

// RemoveSession ends a session. A session that is over already is no error.
func (r *Repository) RemoveSession(ctx context.Context, who string, hash []byte) error {
	err := r.db.Update(ctx, "remove_session", func(t *db.Tx) error {
		var user string
		if err := t.One(`DELETE FROM sessions WHERE hash = ? RETURNING user_id`, hash)(&user); errors.Is(err, db.ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		audit.Append(t, who, "log out", who, "")
		accessChanged(t, UserKey(user))
		return nil
	})
	if err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}

// endSessions ends the sessions of a user, except one with the SHA-256 keep.
func endSessions(t *db.Tx, userID string, keep []byte) error {
	if keep == nil {
		keep = []byte{} // no hash is empty
	}
	if _, err := t.Exec(`DELETE FROM sessions WHERE user_id = ? AND hash != ?`, userID, keep); err != nil {
		return fmt.Errorf("ending sessions: %w", err)
	}
	return nil
}

// DeleteSessionsBefore removes sessions that expired before a time, the oldest first, and limit of them
// at most.
func (r *Repository) DeleteSessionsBefore(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	return r.db.DeleteBefore(ctx, "delete_sessions", deleteSessions, before, limit)
}

const deleteSessions = `DELETE FROM sessions WHERE hash IN
	(SELECT hash FROM sessions WHERE expires_at < ? ORDER BY expires_at LIMIT ?)`

// DeleteOriginsBefore forgets origins from which nobody has logged in since a time, limit of them at
// most.
func (r *Repository) DeleteOriginsBefore(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	return r.db.DeleteBefore(ctx, "delete_origins", deleteOrigins, before, limit)
}

const deleteOrigins = `DELETE FROM login_origins WHERE (user_id, origin) IN
	(SELECT user_id, origin FROM login_origins WHERE last_at < ? ORDER BY last_at LIMIT ?)`
