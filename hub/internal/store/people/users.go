package people

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/audit"
)

// AddUser adds a user of all sites; see AddUserIn.
func (r *Repository) AddUser(ctx context.Context, who, name, role, hash string) (User, error) {
	return r.AddUserIn(ctx, who, User{Name: name, Role: role, Scope: scope.All()}, hash)
}

// AddUserIn adds a user with the hash of a password and returns it. u has the name, the role and the scope. It
// returns db.ErrConflict if the name is or was another user's.
func (r *Repository) AddUserIn(ctx context.Context, who string, u User, hash string) (User, error) {
	err := r.db.Update(ctx, "add_user", func(t *db.Tx) error {
		if err := insertUser(t, who, &u); err != nil {
			return err
		}
		return addIdentity(t, password, u.ID, u.ID, hash)
	})
	if err != nil {
		return User{}, fmt.Errorf("adding user %s: %w", u.Name, err)
	}
	return u, nil
}

// insertUser adds a user without an identity, and sets its ID and the time of its creation.
func insertUser(t *db.Tx, who string, u *User) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("generating the ID of a user: %w", err)
	}
	now := db.Millis(t.Now())
	u.ID, u.Created = id.String(), db.FromMillis(now)
	if _, err := t.Exec(`INSERT INTO users(id, name, role, sites, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		u.ID, u.Name, u.Role, u.Scope, now); err != nil {
		return err
	}
	if err := reserve(t, u.Name, u.ID); err != nil {
		return err
	}
	audit.Append(t, who, "user add", u.Name, rights(u.Role, u.Scope))
	return nil
}

// addIdentity adds what a user can prove to be the user with.
func addIdentity(t *db.Tx, kind, subject, userID, secret string) error {
	_, err := t.Exec(`INSERT INTO identities(kind, subject, user_id, secret, created_at) VALUES (?, ?, ?, ?, ?)`,
		kind, subject, userID, secret, db.Millis(t.Now()))
	return err
}

// rights returns a role and its scope for the audit log.
func rights(role string, s scope.Scope) string {
	if s.IsAll() {
		return role
	}
	return role + " of " + s.String()
}

// reserve takes a name for a user. It returns db.ErrConflict if the name is or was another user's, and
// also when the user does not exist because the name was taken.
func reserve(t *db.Tx, name, id string) error {
	// On PostgreSQL the statement waits for a transaction that takes the same name, so the owner that is
	// read after it is final.
	if _, err := t.Exec(`INSERT INTO user_names(name, user_id) SELECT ?, id FROM users WHERE id = ? ON CONFLICT DO NOTHING`, name, id); err != nil {
		return err
	}
	owner := ""
	if err := t.One(`SELECT user_id FROM user_names WHERE name = ?`, name)(&owner); err != nil && !errors.Is(err, db.ErrNotFound) {
		return err
	}
	if owner != id {
		return fmt.Errorf("%w (%w)", problem.New("user_exists"), db.ErrConflict)
	}
	return nil
}

// RenameUser gives a user another name. The former name stays reserved for the user. It returns
// db.ErrConflict if the new name is or was another user's.
func (r *Repository) RenameUser(ctx context.Context, who, name, next string) error {
	err := r.db.Update(ctx, "rename_user", func(t *db.Tx) error {
		id, err := lockUser(t, name)
		if err != nil {
			return err
		}
		if err := reserve(t, next, id); err != nil {
			return err
		}
		if err := t.Affected(`UPDATE users SET name = ? WHERE id = ?`, next, id); err != nil {
			return err
		}
		if r.hooks.Renamed != nil {
			if err := r.hooks.Renamed(t, name, next); err != nil {
				return err
			}
		}
		audit.Append(t, who, "user rename", name, next)
		accessChanged(t, UserKey(id))
		return nil
	})
	if err != nil {
		return fmt.Errorf("renaming user %s: %w", name, err)
	}
	return nil
}

// lockUser returns the ID of a user and keeps the user from being changed by others until the
// transaction ends.
func lockUser(t *db.Tx, name string) (id string, err error) {
	err = t.One(`SELECT id FROM users WHERE name = ?`+t.ForUpdate(), name)(&id)
	return id, err
}

// SetPassword gives a user another password and ends the sessions of the user, except one with the SHA-256
// keep; nil keeps none. detail goes into the audit log.
func (r *Repository) SetPassword(ctx context.Context, who, name, hash, detail string, keep []byte) error {
	err := r.db.Update(ctx, "set_password", func(t *db.Tx) error {
		id, err := lockUser(t, name)
		if err != nil {
			return err
		}
		if _, err := t.Exec(`INSERT INTO identities(kind, subject, user_id, secret, created_at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT(kind, subject) DO UPDATE SET secret = excluded.secret, created_at = excluded.created_at`,
			password, id, id, hash, db.Millis(t.Now())); err != nil {
			return err
		}
		if err := endSessions(t, id, keep); err != nil {
			return err
		}
		audit.Append(t, who, "user password", name, detail)
		accessChanged(t, UserKey(id))
		return nil
	})
	if err != nil {
		return fmt.Errorf("changing the password of %s: %w", name, err)
	}
	return nil
}

// SetRole gives a user another role, with the same scope. The tokens that the user has created allow no more
// than the rights of the user. It returns db.ErrConflict for the last
// administrator of all sites who may log in.
func (r *Repository) SetRole(ctx context.Context, who, name, role string) error {
	return r.setRights(ctx, who, name, func(u *User) { u.Role = role })
}

// SetScope gives a user's role another scope. It returns db.ErrConflict for the last administrator of all sites
// who may log in.
func (r *Repository) SetScope(ctx context.Context, who, name string, s scope.Scope) error {
	return r.setRights(ctx, who, name, func(u *User) { u.Scope = s })
}

func (r *Repository) setRights(ctx context.Context, who, name string, set func(*User)) error {
	err := r.db.Update(ctx, "set_rights", func(t *db.Tx) error {
		administrators, err := lockAdministrators(t) // before the user: one order of locks
		if err != nil {
			return err
		}
		before, err := scanUser(t.One(`SELECT `+userColumns+` FROM users u WHERE u.name = ?`+t.ForUpdate(), name))
		if err != nil {
			return err
		}
		after := before
		set(&after)
		if (after.Role != Administrator || !after.Scope.IsAll()) && isLast(administrators, name) {
			return errLast()
		}
		return changeRights(t, who, before, after)
	})
	if err != nil {
		return fmt.Errorf("changing the rights of %s: %w", name, err)
	}
	return nil
}

// changeRights stores the role and the scope of a user.
func changeRights(t *db.Tx, who string, before, after User) error {
	if err := t.Affected(`UPDATE users SET role = ?, sites = ? WHERE id = ?`, after.Role, after.Scope, before.ID); err != nil {
		return err
	}
	audit.Append(t, who, "user role", before.Name, rights(after.Role, after.Scope))
	accessChanged(t, UserKey(before.ID))
	return tokensChanged(t, before.ID)
}

// SetDisabled disables a user, who cannot log in then and whose sessions end, or enables the user again. The
// tokens that the user has created are not valid as long as the user is disabled.
// It returns db.ErrConflict for the last administrator who may log in.
func (r *Repository) SetDisabled(ctx context.Context, who, name string, disabled bool) error {
	action := "user enable"
	if disabled {
		action = "user disable"
	}
	err := r.db.Update(ctx, "set_disabled", func(t *db.Tx) error {
		var at any
		if disabled {
			at = db.Millis(t.Now())
			if err := keepAdministrator(t, name); err != nil {
				return err
			}
		}
		id, err := lockUser(t, name)
		if err != nil {
			return err
		}
		if disabled {
			if err := endSessions(t, id, nil); err != nil {
				return err
			}
		}
		if err := t.Affected(`UPDATE users SET disabled_at = ? WHERE id = ?`, at, id); err != nil {
			return err
		}
		audit.Append(t, who, action, name, "")
		accessChanged(t, UserKey(id))
		return tokensChanged(t, id)
	})
	if err != nil {
		return fmt.Errorf("%s %s: %w", action, name, err)
	}
	return nil
}

// RemoveUser removes a user with the sessions and tokens of the user; the names become free. It returns
// db.ErrConflict for the last administrator who may log in.
func (r *Repository) RemoveUser(ctx context.Context, who, name string) error {
	err := r.db.Update(ctx, "remove_user", func(t *db.Tx) error {
		if err := keepAdministrator(t, name); err != nil {
			return err
		}
		var id string
		if err := t.One(`DELETE FROM users WHERE name = ? RETURNING id`, name)(&id); err != nil {
			return err
		}
		audit.Append(t, who, "user remove", name, "")
		accessChanged(t, UserKey(id))
		return revokeTokensOf(t, who, id, name)
	})
	if err != nil {
		return fmt.Errorf("removing user %s: %w", name, err)
	}
	return nil
}

// keepAdministrator returns db.ErrConflict if a user is the only administrator of all sites who may log in.
func keepAdministrator(t *db.Tx, name string) error {
	administrators, err := lockAdministrators(t)
	if err != nil {
		return err
	}
	if isLast(administrators, name) {
		return errLast()
	}
	return nil
}

// lockAdministrators returns the names of the administrators of all sites who may log in. It locks all of
// them until the transaction ends: two transactions cannot each rely on the administrator that the other
// one removes.
func lockAdministrators(t *db.Tx) ([]string, error) {
	return db.Collect(db.ScanText)(t.Rows(`SELECT name FROM users WHERE role = ? AND sites IS NULL AND disabled_at IS NULL ORDER BY id`+t.ForUpdate(), Administrator))
}

func isLast(administrators []string, name string) bool {
	return len(administrators) == 1 && administrators[0] == name
}

func errLast() error { return fmt.Errorf("%w (%w)", problem.New("last_administrator"), db.ErrConflict) }

// User returns a user by name.
func (r *Repository) User(ctx context.Context, name string) (User, error) {
	u, err := scanUser(r.db.Read(ctx).One(`SELECT `+userColumns+` FROM users u WHERE u.name = ?`, name))
	if err != nil {
		return u, fmt.Errorf("reading user %s: %w", name, err)
	}
	return u, nil
}

// Users lists users by name, those after a name; limit of them at most.
func (r *Repository) Users(ctx context.Context, after string, limit int) ([]User, error) {
	all, err := db.Collect(func(scan func(...any) error) (User, error) { return scanUser(scan) })(
		r.db.Read(ctx).Rows(usersQuery, after, limit))
	if err != nil {
		return nil, fmt.Errorf("listing users: %w", err)
	}
	return all, nil
}

const usersQuery = `SELECT ` + userColumns + ` FROM users u WHERE u.name > ? ORDER BY u.name LIMIT ?`
