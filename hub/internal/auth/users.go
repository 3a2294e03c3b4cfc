package auth

import (
	"context"
	"errors"
	"strconv"

	"gridpost/hub/internal/names"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/people"
)

// AddUser adds a user who may see all sites; see AddUserIn.
func (s *Service) AddUser(ctx context.Context, who, name, password string, role Role) (people.User, error) {
	return s.AddUserIn(ctx, who, name, password, role, scope.All())
}

// AddUserIn adds a user. It returns a *problem.Error for input that is not valid, or db.ErrConflict if the name is
// or was another user's.
func (s *Service) AddUserIn(ctx context.Context, who, name, password string, role Role, in scope.Scope) (people.User, error) {
	if err := errors.Join(checkUser(name, role), checkScope(in)); err != nil {
		return people.User{}, err
	}
	hash, err := s.newHash(ctx, name, password)
	if err != nil {
		return people.User{}, err
	}
	return s.o.People.AddUserIn(ctx, who, people.User{Name: name, Role: string(role), Scope: in}, hash)
}

// RenameUser gives a user another name. Sessions go on. It returns a
// *problem.Error for a name that is not valid, or db.ErrConflict if the new
// name is or was another user's.
func (s *Service) RenameUser(ctx context.Context, who, name, next string) error {
	if err := checkUser(next, Monitor); err != nil {
		return err
	}
	return s.o.People.RenameUser(ctx, who, name, next)
}

// SetPassword gives a user another password and ends all sessions of the user.
func (s *Service) SetPassword(ctx context.Context, who, name, password string) error {
	hash, err := s.newHash(ctx, name, password)
	if err != nil {
		return err
	}
	return s.o.People.SetPassword(ctx, who, name, hash, "", nil)
}

// SetRole gives a user another role. It returns a *problem.Error for an unknown role, or db.ErrConflict for the
// last administrator.
func (s *Service) SetRole(ctx context.Context, who, name string, role Role) error {
	if role.rank() == 0 {
		return problem.New("role_unknown")
	}
	return s.o.People.SetRole(ctx, who, name, string(role))
}

// SetScope gives a user's role another scope. It returns a *problem.Error for a scope that nobody can have, or
// db.ErrConflict for the last administrator of all sites.
func (s *Service) SetScope(ctx context.Context, who, name string, in scope.Scope) error {
	if err := checkScope(in); err != nil {
		return err
	}
	return s.o.People.SetScope(ctx, who, name, in)
}

// maxSites bounds the sites of a scope, each of which is a placeholder in every query.
const maxSites = 200

// checkScope returns a *problem.Error unless a user or a token can have a scope.
func checkScope(in scope.Scope) error {
	sites := in.Names()
	if in.IsAll() {
		return nil
	}
	if len(sites) == 0 || len(sites) > maxSites {
		return problem.New("scope_sites", "count", strconv.Itoa(maxSites))
	}
	for _, site := range sites {
		if err := names.CheckEdge(site); err != nil {
			return problem.New("site_name_invalid", "name", site)
		}
	}
	return nil
}

// checkUser returns a *problem.Error unless a user or a token can have a name and a role.
func checkUser(name string, role Role) error {
	if err := names.CheckUser(name); err != nil {
		return err
	}
	if role.rank() == 0 {
		return problem.New("role_unknown")
	}
	return nil
}

// Bounds of passwords, in characters and bytes. NIST SP 800-63B: length, not composition.
const (
	minPassword = 8
	maxPassword = 1024
)

func passwordLength() error {
	return problem.New("password_length", "least", strconv.Itoa(minPassword), "most", strconv.Itoa(maxPassword))
}

// newHash returns the hash of a new password of a user, or a *problem.Error if it may not be chosen.
func (s *Service) newHash(ctx context.Context, name, password string) (string, error) {
	if err := checkNewPassword(name, password); err != nil {
		return "", err
	}
	leave, err := s.gate.enter(ctx, true)
	if err != nil {
		return "", err
	}
	defer leave()
	return hashPassword(password, s.o.Params)
}
