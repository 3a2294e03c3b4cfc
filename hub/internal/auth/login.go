package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/people"
)

// Login is LoginWithCode without a code.
func (s *Service) Login(ctx context.Context, name, password, remote string) (cookie string, p Principal, err error) {
	return s.LoginWithCode(ctx, name, password, "", remote)
}

// LoginWithCode checks a password, and the code of a user who has a second factor, and begins a session; cookie is what the
// browser stores. code is one of the authenticator app, or a recovery code; either is accepted once only. remote is the
// address of the client, with or without a port. It returns ErrDenied or a *ThrottledError for an attempt that fails. Only
// to who has given the right password it says more: totp_required if there is no code (the client asks for it and
// sends all again), or totp_wrong. An attempt that is refused or fails writes nothing to the database.
func (s *Service) LoginWithCode(ctx context.Context, name, password, code, remote string) (cookie string, p Principal, err error) {
	origin, address := originOf(remote)
	a := attempt{account: name, origin: origin, address: address}
	if err := s.throttle.blocked(a); err != nil {
		s.o.Failures.note(ByPassword, "", a.origin, true) // whose account it is, only the database knows
		return "", Principal{}, err
	}
	login, err := s.o.People.Login(ctx, name, a.origin)
	hash := login.Password
	if errors.Is(err, db.ErrNotFound) || err == nil && hash == "" {
		hash = s.dummy
	} else if err != nil {
		return "", Principal{}, err
	}
	exists := err == nil && login.Password != "" && login.User.Disabled == nil
	a.known = login.Known
	if err := s.throttle.begin(a); err != nil {
		s.o.Failures.note(ByPassword, login.User.Name, a.origin, true)
		return "", Principal{}, err
	}
	ok, err := s.check(ctx, a, password, hash)
	if err != nil {
		return "", Principal{}, err
	}
	if !ok || !exists {
		s.o.Logger.Warn("log-in refused", "remote", remote)
		s.o.Failures.note(ByPassword, login.User.Name, a.origin, false)
		return "", Principal{}, ErrDenied
	}
	factor, err := s.proveLogin(ctx, a, login.User, code)
	if err != nil {
		return "", Principal{}, err
	}
	return s.begin(ctx, a, login, factor)
}

// begin begins the session of an attempt that was right.
func (s *Service) begin(ctx context.Context, a attempt, login people.Login, factor people.Factor) (cookie string, p Principal, err error) {
	cookie = rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(cookie))
	p = session(login.User, s.o.Now().Add(SessionLife), sum[:])
	err = s.o.People.AddPasswordSession(ctx, people.Session{Hash: sum[:], UserID: p.ID, Origin: a.origin, Expires: p.Expires},
		people.Proof{Password: login.Password, Factor: factor})
	switch {
	case errors.Is(err, db.ErrNotFound): // removed or disabled, another password or second factor, or the code was used, just now
		s.o.Failures.note(ByPassword, login.User.Name, a.origin, false)
		return "", Principal{}, ErrDenied
	case err != nil:
		s.throttle.cancel(a)
		return "", Principal{}, err
	}
	s.throttle.succeed(a)
	return cookie, p, nil
}

// Logout ends the principal's session.
func (s *Service) Logout(ctx context.Context, p Principal) error {
	if !p.Session {
		return nil
	}
	return s.o.People.RemoveSession(ctx, p.Name, p.hash)
}

// ChangePassword gives a user who is logged in another password, once the present one has been proven, and
// ends the user's other sessions. It returns a *problem.Error for input that is not valid, ErrDenied if current is not the present
// password, or a *ThrottledError: who finds an unlocked desk must not guess on. Attempts are counted by
// session, so nobody else can block them.
func (s *Service) ChangePassword(ctx context.Context, p Principal, current, next, remote string) error {
	if !p.Session {
		return problem.New("token_without_password")
	}
	if err := checkNewPassword(p.Name, next); err != nil {
		return err
	}
	a := ownAttempt(p, "")
	if _, err := s.provePassword(ctx, a, p, current, remote); err != nil {
		return err
	}
	s.throttle.succeed(a)
	hash, err := s.newHash(ctx, p.Name, next)
	if err != nil {
		return err
	}
	return s.o.People.SetPassword(ctx, p.Name, p.Name, hash, "own", p.hash)
}

// ownAttempt is an attempt of a user who is logged in to prove to be the user. It is counted by session and by what it
// is for: success in one thing does not forget the failures in another.
func ownAttempt(p Principal, purpose string) attempt {
	return attempt{account: p.ID + purpose, origin: "session " + hex.EncodeToString(p.hash), known: true}
}

// provePassword begins an attempt and compares the password of a user who is logged in. When it returns no error, the
// caller ends the attempt by succeed or cancel, or leaves it as a failure.
func (s *Service) provePassword(ctx context.Context, a attempt, p Principal, current, remote string) (people.Login, error) {
	if err := s.throttle.begin(a); err != nil {
		return people.Login{}, err
	}
	login, err := s.o.People.Login(ctx, p.Name, "")
	if err != nil {
		s.throttle.cancel(a)
		return people.Login{}, err
	}
	hash := login.Password
	if hash == "" { // of a user of an identity provider
		hash = s.dummy
	}
	ok, err := s.check(ctx, a, current, hash)
	if err != nil {
		return people.Login{}, err
	}
	if !ok || login.Password == "" {
		s.o.Logger.Warn("password of a user who is logged in refused", "remote", remote)
		origin, _ := originOf(remote)
		s.o.Failures.note(ByPassword, p.Name, origin, false)
		return people.Login{}, ErrDenied
	}
	return login, nil
}

// check compares the password of an attempt with a hash. When it returns an error, because the request was cancelled or too
// many wait, the attempt does not count.
func (s *Service) check(ctx context.Context, a attempt, password, hash string) (bool, error) {
	leave, err := s.gate.enter(ctx, a.known)
	if err != nil {
		s.throttle.cancel(a)
		return false, err
	}
	defer leave()
	return checkPassword(password, hash)
}

// gate bounds how many passwords are hashed at the same time: each takes tens of megabytes, and all
// cores. Strangers use one place at most, and few of them wait, so that a flood does not hold up those who
// are known.
type gate struct {
	places    chan struct{}
	strangers chan struct{}
	waiting   atomic.Int32 // strangers
}

const (
	maxHashing = 2
	maxWaiting = 16
)

func newGate() *gate {
	return &gate{places: make(chan struct{}, maxHashing), strangers: make(chan struct{}, 1)}
}

// enter waits for a place; leave gives it back. It returns a *ThrottledError if too many strangers wait.
func (g *gate) enter(ctx context.Context, known bool) (leave func(), err error) {
	out := func() {}
	if !known {
		if g.waiting.Add(1) > maxWaiting {
			g.waiting.Add(-1)
			return nil, &ThrottledError{After: time.Second}
		}
		defer g.waiting.Add(-1)
		select {
		case g.strangers <- struct{}{}:
			out = func() { <-g.strangers }
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting to hash a password: %w", ctx.Err())
		}
	}
	select {
	case g.places <- struct{}{}:
		return func() { <-g.places; out() }, nil
	case <-ctx.Done():
		out()
		return nil, fmt.Errorf("waiting to hash a password: %w", ctx.Err())
	}
}
