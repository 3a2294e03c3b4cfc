package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/people"
)

// Identity is a user as an OpenID Connect provider has confirmed it.
type Identity struct {
	Subject string // issuer and subject: one user for ever
	Name    string // of a user who is added
	Role    Role
	Scope   scope.Scope
}

// LoginIdentity begins a session for a user who was logged in elsewhere. At the first time the user is added; each
// time the user gets the role and the scope of the identity. It returns ErrDenied for a user who is disabled, or
// db.ErrConflict if a new user's name is another user's.
func (s *Service) LoginIdentity(ctx context.Context, id Identity, remote string) (cookie string, p Principal, err error) {
	if err := errors.Join(checkUser(id.Name, id.Role), checkScope(id.Scope)); err != nil {
		return "", Principal{}, err
	}
	user, err := s.o.People.UserOfIdentity(ctx, id.Subject, people.User{Name: id.Name, Role: string(id.Role), Scope: id.Scope})
	if err != nil {
		return "", Principal{}, err
	}
	origin, _ := originOf(remote)
	cookie = rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(cookie))
	p = session(user, s.o.Now().Add(SessionLife), sum[:])
	err = s.o.People.AddSession(ctx, sum[:], p.ID, origin, p.Expires)
	if errors.Is(err, db.ErrNotFound) { // removed or disabled
		return "", Principal{}, ErrDenied
	}
	if err != nil {
		return "", Principal{}, err
	}
	return cookie, p, nil
}
