package people

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/audit"
)

// TOTP is what is stored of a user's second factor.
type TOTP struct {
	On       *time.Time // since when it is on; nil: it is off, also while Secret waits for its first code
	Secret   []byte     // nil: there is none
	LastStep int64      // of the last code that was accepted
	Recovery int        // recovery codes that are left
}

// Factor is what a second factor is proven with: a code or a recovery code. The zero value is neither.
type Factor struct {
	Secret   []byte // the one that the code was compared with
	Step     int64  // of the code, above 0; 0: it is not a code
	Recovery []byte // SHA-256 of a recovery code; nil: it is not one
}

// TOTP returns the second factor of a user; db.ErrNotFound if there is no such user.
func (r *Repository) TOTP(ctx context.Context, userID string) (TOTP, error) {
	var out TOTP
	var on, step sql.NullInt64
	err := r.db.Read(ctx).One(totpQuery, userID)(&on, &out.Secret, &step, &out.Recovery)
	if err != nil {
		return TOTP{}, fmt.Errorf("reading a second factor: %w", err)
	}
	out.On, out.LastStep = db.TimePtr(on), step.Int64
	return out, nil
}

const totpQuery = `SELECT u.totp_at, s.secret, s.last_step, (SELECT count(*) FROM recovery_codes c WHERE c.user_id = u.id)
	FROM users u LEFT JOIN totp_secrets s ON s.user_id = u.id WHERE u.id = ?`

// HasRecoveryCode reports whether a user has an unused recovery code with a SHA-256.
func (r *Repository) HasRecoveryCode(ctx context.Context, userID string, hash []byte) (bool, error) {
	var n int
	if err := r.db.Read(ctx).One(recoveryQuery, userID, hash)(&n); err != nil {
		return false, fmt.Errorf("looking for a recovery code: %w", err)
	}
	return n > 0, nil
}

const recoveryQuery = `SELECT count(*) FROM recovery_codes WHERE user_id = ? AND hash = ?`

// BeginTOTP stores the secret of a second factor that is not on yet; a former one that was never on is replaced. It
// returns db.ErrConflict if the user's second factor is on.
func (r *Repository) BeginTOTP(ctx context.Context, userID string, secret []byte) error {
	err := r.db.Update(ctx, "begin_totp", func(t *db.Tx) error {
		if _, err := lockTOTP(t, userID, false); err != nil {
			return err
		}
		_, err := t.Exec(`INSERT INTO totp_secrets(user_id, secret) VALUES (?, ?)
			ON CONFLICT(user_id) DO UPDATE SET secret = excluded.secret, last_step = 0`, userID, secret)
		return err
	})
	if err != nil {
		return fmt.Errorf("beginning with a second factor: %w", err)
	}
	return nil
}

// EnableTOTP turns the second factor of a user on, once a code has proven that the user has its secret. It stores the
// SHA-256 of the recovery codes and ends the sessions of the user, except one with the SHA-256 keep. It returns
// db.ErrConflict if the second factor is on already, and db.ErrNotFound if the secret has been replaced.
func (r *Repository) EnableTOTP(ctx context.Context, userID string, f Factor, recovery [][]byte, keep []byte) error {
	err := r.db.Update(ctx, "enable_totp", func(t *db.Tx) error {
		name, err := lockTOTP(t, userID, false)
		if err != nil {
			return err
		}
		if err := useCode(t, userID, f); err != nil {
			return err
		}
		if err := t.Affected(`UPDATE users SET totp_at = ? WHERE id = ?`, db.Millis(t.Now()), userID); err != nil {
			return err
		}
		for _, hash := range recovery {
			if _, err := t.Exec(`INSERT INTO recovery_codes(user_id, hash) VALUES (?, ?)`, userID, hash); err != nil {
				return err
			}
		}
		if err := endSessions(t, userID, keep); err != nil {
			return err
		}
		audit.Append(t, name, "user totp enable", name, "")
		accessChanged(t, UserKey(userID))
		return nil
	})
	if err != nil {
		return fmt.Errorf("turning a second factor on: %w", err)
	}
	return nil
}

// DisableTOTP turns the second factor of a user off, who proves to have it. It returns db.ErrConflict if it is off, and
// db.ErrNotFound if the proof does not hold.
func (r *Repository) DisableTOTP(ctx context.Context, userID string, f Factor) error {
	err := r.db.Update(ctx, "disable_totp", func(t *db.Tx) error {
		name, err := lockTOTP(t, userID, true)
		if err != nil {
			return err
		}
		how, err := useSecondFactor(t, userID, f)
		if err != nil {
			return err
		}
		return removeTOTP(t, name, name, userID, "own, "+how)
	})
	if err != nil {
		return fmt.Errorf("turning a second factor off: %w", err)
	}
	return nil
}

// RemoveTOTP turns the second factor of a user off for an administrator. It returns db.ErrConflict if it is off.
func (r *Repository) RemoveTOTP(ctx context.Context, who, name string) error {
	err := r.db.Update(ctx, "remove_totp", func(t *db.Tx) error {
		id, err := lockUser(t, name)
		if err != nil {
			return err
		}
		if _, err := lockTOTP(t, id, true); err != nil {
			return err
		}
		return removeTOTP(t, who, name, id, "")
	})
	if err != nil {
		return fmt.Errorf("removing the second factor of %s: %w", name, err)
	}
	return nil
}

// lockTOTP returns the name of a user and keeps the user's second factor from being changed by others until the
// transaction ends. It returns db.ErrConflict unless the second factor is on, or off, as the caller needs it.
func lockTOTP(t *db.Tx, userID string, on bool) (name string, err error) {
	var since sql.NullInt64
	if err := t.One(`SELECT name, totp_at FROM users WHERE id = ?`+t.ForUpdate(), userID)(&name, &since); err != nil {
		return "", err
	}
	switch {
	case on && !since.Valid:
		return "", fmt.Errorf("%w (%w)", problem.New("totp_off"), db.ErrConflict)
	case !on && since.Valid:
		return "", fmt.Errorf("%w (%w)", problem.New("totp_on"), db.ErrConflict)
	}
	return name, nil
}

func removeTOTP(t *db.Tx, who, name, userID, detail string) error {
	for _, text := range []string{
		`UPDATE users SET totp_at = NULL WHERE id = ?`, `DELETE FROM totp_secrets WHERE user_id = ?`, `DELETE FROM recovery_codes WHERE user_id = ?`,
	} {
		if _, err := t.Exec(text, userID); err != nil {
			return err
		}
	}
	audit.Append(t, who, "user totp remove", name, detail)
	return nil
}

// useSecondFactor uses up what proves a user's second factor, and returns what it was for the audit log. It returns
// db.ErrNotFound if the second factor is on and not proven. The user's row is locked.
func useSecondFactor(t *db.Tx, userID string, f Factor) (how string, err error) {
	var since sql.NullInt64
	if err := t.One(`SELECT totp_at FROM users WHERE id = ?`, userID)(&since); err != nil {
		return "", err
	}
	switch {
	case !since.Valid:
		return "", nil
	case f.Step > 0:
		return "code", useCode(t, userID, f)
	case f.Recovery == nil:
		return "", fmt.Errorf("the second factor was not proven: %w", db.ErrNotFound)
	}
	var left int
	err = errors.Join(t.Affected(`DELETE FROM recovery_codes WHERE user_id = ? AND hash = ?`, userID, f.Recovery),
		t.One(`SELECT count(*) FROM recovery_codes WHERE user_id = ?`, userID)(&left))
	return "recovery code, " + strconv.Itoa(left) + " left", err
}

// useCode uses up a code and those before it. It returns db.ErrNotFound if it is used up already, or the secret is
// another one.
func useCode(t *db.Tx, userID string, f Factor) error {
	return t.Affected(`UPDATE totp_secrets SET last_step = ? WHERE user_id = ? AND secret = ? AND last_step < ?`, f.Step, userID, f.Secret, f.Step)
}
