package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// User is a person who may log in.
type User struct {
	Name     string    `json:"name"`
	Role     string    `json:"role"`
	Created  time.Time `json:"created_at"`
	Password string    `json:"-"` // argon2id in PHC form

	Disabled *time.Time `json:"disabled_at" doc:"since when the user is kept out; null: may log in"`
}

// AddUser adds a user; ErrConflict if the name is taken.
func (s *Store) AddUser(ctx context.Context, who string, u User) error {
	return s.update(ctx, func(t *tx) error {
		res, err := t.exec(`INSERT INTO users(name, password, role, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			u.Name, u.Password, u.Role, millis(t.now))
		if err != nil {
			return fmt.Errorf("adding user %s: %w", u.Name, err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return fmt.Errorf("adding user %s: %w", u.Name, ErrConflict)
		}
		return t.audit(who, "user add", u.Name, u.Role)
	})
}

// SetPassword gives a user another password and ends all of the user's sessions.
func (s *Store) SetPassword(ctx context.Context, who, name, hash string) error {
	return s.update(ctx, func(t *tx) error {
		if err := affected(t.exec(`UPDATE users SET password = ? WHERE name = ?`, hash, name)); err != nil {
			return fmt.Errorf("changing the password of %s: %w", name, err)
		}
		if _, err := t.exec(`DELETE FROM sessions WHERE user = ?`, name); err != nil {
			return fmt.Errorf("ending the sessions of %s: %w", name, err)
		}
		return t.audit(who, "user password", name, "")
	})
}

// RemoveUser removes a user and the user's sessions. The last administrator stays: ErrConflict.
func (s *Store) RemoveUser(ctx context.Context, who, name string) error {
	return s.update(ctx, func(t *tx) error {
		if err := t.notLast(name); err != nil {
			return fmt.Errorf("removing user %s: %w", name, err)
		}
		if err := affected(t.exec(`DELETE FROM users WHERE name = ?`, name)); err != nil {
			return fmt.Errorf("removing user %s: %w", name, err)
		}
		return t.audit(who, "user remove", name, "")
	})
}

func scanUser(scan func(...any) error) (u User, err error) {
	var created int64
	var disabled sql.NullInt64
	err = scan(&u.Name, &u.Role, &u.Password, &created, &disabled)
	u.Created, u.Disabled = fromMillis(created), timePtr(disabled)
	return u, err
}

// User returns one user.
func (s *Store) User(ctx context.Context, name string) (User, error) {
	u, err := scanUser(found(s.read.QueryRowContext(ctx, `SELECT name, role, password, created_at, disabled_at FROM users WHERE name = ?`, name)))
	if err != nil {
		return u, fmt.Errorf("reading user: %w", err)
	}
	return u, nil
}

// Users returns every user, by name.
func (s *Store) Users(ctx context.Context) ([]User, error) {
	all, err := collect(scanUser)(s.read.QueryContext(ctx, `SELECT name, role, password, created_at, disabled_at FROM users ORDER BY name`))
	if err != nil {
		return nil, fmt.Errorf("listing users: %w", err)
	}
	return all, nil
}

// AddSession remembers a log-in by the SHA-256 of its cookie, and forgets the failures before it.
func (s *Store) AddSession(ctx context.Context, hash []byte, user string, expires time.Time) error {
	return s.update(ctx, func(t *tx) error {
		if _, err := t.exec(`INSERT INTO sessions(hash, user, created_at, expires_at) VALUES (?, ?, ?, ?)`,
			hash, user, millis(t.now), millis(expires)); err != nil {
			return fmt.Errorf("adding a session: %w", err)
		}
		return t.audit(user, "log in", user, "")
	})
}

// SessionUser returns whose session it is and until when it lasts; ErrNotFound if it is over.
func (s *Store) SessionUser(ctx context.Context, hash []byte) (User, time.Time, error) {
	var u User
	var created, expires int64
	err := found(s.read.QueryRowContext(ctx, `SELECT u.name, u.role, u.created_at, s.expires_at
		FROM sessions s JOIN users u ON u.name = s.user WHERE s.hash = ? AND s.expires_at > ? AND u.disabled_at IS NULL`, hash, millis(s.now())))(
		&u.Name, &u.Role, &created, &expires)
	if err != nil {
		return u, time.Time{}, fmt.Errorf("reading a session: %w", err)
	}
	u.Created = fromMillis(created)
	return u, fromMillis(expires), nil
}

// RemoveSession ends a session.
func (s *Store) RemoveSession(ctx context.Context, who string, hash []byte) error {
	return s.update(ctx, func(t *tx) error {
		if _, err := t.exec(`DELETE FROM sessions WHERE hash = ?`, hash); err != nil {
			return fmt.Errorf("ending a session: %w", err)
		}
		return t.audit(who, "log out", who, "")
	})
}

// Token is what may stand for a person in a program. The secret itself is not kept.
type Token struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	Created   time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
}

// AddToken remembers an API token by the SHA-256 of its text.
func (s *Store) AddToken(ctx context.Context, k Token, hash []byte) error {
	return s.update(ctx, func(t *tx) error {
		if _, err := t.exec(`INSERT INTO tokens(id, hash, name, role, created_at, created_by) VALUES (?, ?, ?, ?, ?, ?)`,
			k.ID, hash, k.Name, k.Role, millis(t.now), k.CreatedBy); err != nil {
			return fmt.Errorf("adding a token: %w", err)
		}
		return t.audit(k.CreatedBy, "token create", k.ID, k.Role)
	})
}

// RevokeToken refuses a token from now on.
func (s *Store) RevokeToken(ctx context.Context, who, id string) error {
	return s.update(ctx, func(t *tx) error {
		if err := affected(t.exec(`UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL`, millis(t.now), id)); err != nil {
			return fmt.Errorf("revoking token %s: %w", id, err)
		}
		return t.audit(who, "token revoke", id, "")
	})
}

func scanToken(scan func(...any) error) (k Token, err error) {
	var created int64
	err = scan(&k.ID, &k.Name, &k.Role, &created, &k.CreatedBy)
	k.Created = fromMillis(created)
	return k, err
}

const tokenColumns = `id, name, role, created_at, created_by`

// TokenByHash returns the token with the SHA-256; ErrNotFound if it is revoked.
func (s *Store) TokenByHash(ctx context.Context, hash []byte) (Token, error) {
	k, err := scanToken(found(s.read.QueryRowContext(ctx, `SELECT `+tokenColumns+` FROM tokens WHERE hash = ? AND revoked_at IS NULL`, hash)))
	if err != nil {
		return k, fmt.Errorf("reading a token: %w", err)
	}
	return k, nil
}

// Tokens returns the tokens that are not revoked, by time of making.
func (s *Store) Tokens(ctx context.Context) ([]Token, error) {
	all, err := collect(scanToken)(s.read.QueryContext(ctx, `SELECT `+tokenColumns+` FROM tokens WHERE revoked_at IS NULL ORDER BY created_at, id`))
	if err != nil {
		return nil, fmt.Errorf("listing tokens: %w", err)
	}
	return all, nil
}

// Failures is how often a log-in has failed under a key, and until when it is refused unread.
type Failures struct {
	Count   int
	Last    time.Time
	Blocked time.Time
}

const failuresQuery = `SELECT failures, last_at, blocked_to FROM login_failures WHERE key = ?`

func scanFailures(scan func(...any) error) (f Failures, err error) {
	var last, blocked int64
	err = scan(&f.Count, &last, &blocked)
	if errors.Is(err, ErrNotFound) {
		return Failures{}, nil
	}
	f.Last, f.Blocked = fromMillis(last), fromMillis(blocked)
	return f, err
}

// UpdateLoginFailures lets change see and change what is known of some keys, in one transaction.
// A key that is left without failures is forgotten.
func (s *Store) UpdateLoginFailures(ctx context.Context, keys []string, change func([]Failures)) error {
	return s.update(ctx, func(t *tx) error {
		all := make([]Failures, len(keys))
		for i, key := range keys {
			var err error
			if all[i], err = scanFailures(t.one(failuresQuery, key)); err != nil {
				return fmt.Errorf("reading log-in failures: %w", err)
			}
		}
		change(all)
		for i, f := range all {
			var err error
			if f.Count == 0 {
				_, err = t.exec(`DELETE FROM login_failures WHERE key = ?`, keys[i])
			} else {
				_, err = t.exec(`INSERT OR REPLACE INTO login_failures(key, failures, last_at, blocked_to) VALUES (?, ?, ?, ?)`,
					keys[i], f.Count, millis(f.Last), millis(f.Blocked))
			}
			if err != nil {
				return fmt.Errorf("noting log-in failures: %w", err)
			}
		}
		return nil
	})
}
