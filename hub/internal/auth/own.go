package auth

import (
	"context"
	"fmt"
)

// ChangePassword gives a person who is logged in another password, once the present one has been
// shown, and ends that person's other sessions. It gives ErrInput, ErrDenied if current is not
// the present password, or a *ThrottledError: a desk that was left unlocked must not let
// anybody guess on.
func (s *Service) ChangePassword(ctx context.Context, p Principal, current, next, remote string) error {
	if !p.Session {
		return fmt.Errorf("%w: a token has no password", ErrInput)
	}
	hash, err := s.newHash(next)
	if err != nil {
		return err
	}
	keys := throttleKeys(p.Name, remote)
	if err := s.countAttempt(ctx, keys); err != nil {
		return err
	}
	user, err := s.o.Store.User(ctx, p.Name)
	if err != nil {
		return err
	}
	ok, err := s.check(ctx, current, user.Password)
	if err != nil {
		return err
	}
	if !ok {
		s.o.Logger.Warn("change of password refused", "remote", remote)
		return ErrDenied
	}
	if err := s.forgive(ctx, keys); err != nil {
		return err
	}
	return s.o.Store.ChangeOwnPassword(ctx, p.Name, hash, p.hash)
}

// SetRole gives a person another role. It gives ErrInput, or store.ErrConflict for the last
// administrator.
func (s *Service) SetRole(ctx context.Context, who, name string, role Role) error {
	if role.rank() == 0 {
		return fmt.Errorf("%w: the role is not known", ErrInput)
	}
	return s.o.Store.SetRole(ctx, who, name, string(role))
}
