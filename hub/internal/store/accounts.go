package store

import (
	"context"
	"fmt"
)

// SetRole gives a user another role; it holds from the user's next request on. The last
// administrator who may log in stays one: ErrConflict.
func (s *Store) SetRole(ctx context.Context, who, name, role string) error {
	return s.update(ctx, func(t *tx) error {
		if role != "administrator" {
			if err := t.notLast(name); err != nil {
				return fmt.Errorf("changing the role of %s: %w", name, err)
			}
		}
		if err := affected(t.exec(`UPDATE users SET role = ? WHERE name = ?`, role, name)); err != nil {
			return fmt.Errorf("changing the role of %s: %w", name, err)
		}
		return t.audit(who, "user role", name, role)
	})
}

// SetDisabled keeps a user out, or lets the user in again. Keeping out ends the user's sessions;
// the last administrator who may log in cannot be kept out: ErrConflict.
func (s *Store) SetDisabled(ctx context.Context, who, name string, disabled bool) error {
	return s.update(ctx, func(t *tx) error {
		var at any
		action := "user enable"
		if disabled {
			at, action = millis(t.now), "user disable"
			if err := t.notLast(name); err != nil {
				return fmt.Errorf("disabling %s: %w", name, err)
			}
			if _, err := t.exec(`DELETE FROM sessions WHERE user = ?`, name); err != nil {
				return fmt.Errorf("ending the sessions of %s: %w", name, err)
			}
		}
		if err := affected(t.exec(`UPDATE users SET disabled_at = ? WHERE name = ?`, at, name)); err != nil {
			return fmt.Errorf("%s %s: %w", action, name, err)
		}
		return t.audit(who, action, name, "")
	})
}

// notLast gives ErrConflict if name is the only administrator who may log in.
func (t *tx) notLast(name string) error {
	var others, itself int
	if err := t.one(`SELECT coalesce(sum(name != ?1), 0), coalesce(sum(name = ?1), 0) FROM users
		WHERE role = 'administrator' AND disabled_at IS NULL`, name)(&others, &itself); err != nil {
		return err
	}
	if itself > 0 && others == 0 {
		return fmt.Errorf("this is the last administrator: %w", ErrConflict)
	}
	return nil
}

// ChangeOwnPassword gives a user another password and ends all of the user's sessions but the
// one with the given SHA-256.
func (s *Store) ChangeOwnPassword(ctx context.Context, name, password string, keep []byte) error {
	return s.update(ctx, func(t *tx) error {
		if err := affected(t.exec(`UPDATE users SET password = ? WHERE name = ?`, password, name)); err != nil {
			return fmt.Errorf("changing the password of %s: %w", name, err)
		}
		if _, err := t.exec(`DELETE FROM sessions WHERE user = ? AND hash != ?`, name, keep); err != nil {
			return fmt.Errorf("ending the sessions of %s: %w", name, err)
		}
		return t.audit(name, "user password", name, "own")
	})
}
