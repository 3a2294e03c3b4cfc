package people

import (
	"context"
	"errors"
	"fmt"

	"gridpost/hub/internal/db"
)

// openID is the kind of identity of an OpenID Connect provider. Its subject is the issuer and the subject there.
const openID = "oidc"

// provider is who acts in the audit log when the provider's claims add or change a user.
const provider = "identity provider"

// UserOfIdentity returns the user of a provider's subject. It adds the user if there is none, and gives the user the
// role and the scope of u. It returns db.ErrConflict if a new user's name is or was another user's, or when the last
// administrator of all sites would be one no more.
func (r *Repository) UserOfIdentity(ctx context.Context, subject string, u User) (out User, err error) {
	err = r.db.Update(ctx, "identity", func(t *db.Tx) error {
		administrators, err := lockAdministrators(t)
		if err != nil {
			return err
		}
		out, err = scanUser(t.One(`SELECT `+userColumns+` FROM users u
			WHERE u.id = (SELECT user_id FROM identities WHERE kind = ? AND subject = ?)`+t.ForUpdate(), openID, subject))
		if errors.Is(err, db.ErrNotFound) {
			out = u
			if err := insertUser(t, provider, &out); err != nil {
				return err
			}
			return addIdentity(t, openID, subject, out.ID, "")
		}
		if err != nil || out.Role == u.Role && out.Scope.Equal(u.Scope) {
			return err
		}
		if (u.Role != Administrator || !u.Scope.IsAll()) && isLast(administrators, out.Name) {
			return errLast()
		}
		before := out
		out.Role, out.Scope = u.Role, u.Scope
		return changeRights(t, provider, before, out)
	})
	if err != nil {
		return User{}, fmt.Errorf("reading the user of an identity: %w", err)
	}
	return out, nil
}
