package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/http"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
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
// time the user gets the role and the scope of the identity. A second factor is the provider's matter: the hub asks for
// none. It returns ErrDenied for a user who is disabled, or db.ErrConflict if a new user's name is another user's.
func (s *Service) LoginIdentity(ctx context.Context, id Identity, remote string) (cookie string, p Principal, err error) {
	user := people.User{Name: id.Name}
	defer func() { s.IdentityRefused(user.Name, remote, err) }()
	if err := errors.Join(checkUser(id.Name, id.Role), checkScope(id.Scope)); err != nil {
		user.Name = "" // nobody has it
		return "", Principal{}, err
	}
	known, err := s.o.People.UserOfIdentity(ctx, id.Subject, people.User{Name: id.Name, Role: string(id.Role), Scope: id.Scope})
	if err != nil {
		return "", Principal{}, err
	}
	user = known
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

// IdentityRefused records a log-in by the identity provider that failed with an error: what the provider or the hub has
// refused, not what has gone wrong with either. name is empty if it is not known.
func (s *Service) IdentityRefused(name, remote string, err error) {
	var refusal *problem.Error
	var slow *ThrottledError
	origin, _ := originOf(remote)
	switch {
	case errors.As(err, &slow):
		s.o.Failures.note(ByProvider, name, origin, true)
	case errors.Is(err, ErrDenied), errors.As(err, &refusal) && refusal.Status < http.StatusInternalServerError:
		s.o.Failures.note(ByProvider, name, origin, false)
	}
}
