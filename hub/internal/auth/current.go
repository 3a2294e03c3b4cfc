package auth

import (
	"context"
	"encoding/hex"
	"strings"

	"gridpost/hub/internal/store/people"
)

// Query names principals and sessions. Sessions are named by Principal.SessionKey, the others by their IDs.
type Query struct{ Users, Tokens, Sessions []string }

// Current is what has become of the principals and sessions of a Query: what is not in it has ended.
type Current struct {
	Principals map[string]Principal // by Key, as they are now; without their sessions
	Sessions   map[string]bool      // by Principal.SessionKey
}

// Current returns what principals may do now, with one query for each kind of them.
func (s *Service) Current(ctx context.Context, q Query) (Current, error) {
	c := Current{Principals: map[string]Principal{}, Sessions: map[string]bool{}}
	if len(q.Users) > 0 {
		users, err := s.o.People.UsersByID(ctx, q.Users)
		if err != nil {
			return Current{}, err
		}
		for _, u := range users {
			p := ofUser(u)
			c.Principals[p.Key()] = p
		}
	}
	if len(q.Tokens) > 0 {
		tokens, err := s.o.People.TokensByID(ctx, q.Tokens)
		if err != nil {
			return Current{}, err
		}
		for _, t := range tokens {
			p := ofToken(t)
			c.Principals[p.Key()] = p
		}
	}
	if len(q.Sessions) > 0 {
		valid, err := s.o.People.ValidSessions(ctx, q.Sessions)
		if err != nil {
			return Current{}, err
		}
		for _, hash := range valid {
			c.Sessions[hash] = true
		}
	}
	return c, nil
}

// ByKey returns the principal of a Principal.Key as it is now, in the session of a Principal.SessionKey unless that is
// empty; ErrDenied if either has ended. It is for callers who know by other means that the principal sent the request.
func (s *Service) ByKey(ctx context.Context, key, sessionKey string) (Principal, error) {
	var q Query
	kind, id, _ := strings.Cut(key, ":")
	switch kind {
	case "user":
		q.Users = []string{id}
	case "token":
		q.Tokens = []string{id}
	}
	if sessionKey != "" {
		q.Sessions = []string{sessionKey}
	}
	c, err := s.Current(ctx, q)
	if err != nil {
		return Principal{}, err
	}
	p, exists := c.Principals[key]
	if !exists || sessionKey != "" && !c.Sessions[sessionKey] {
		return Principal{}, ErrDenied
	}
	if sessionKey != "" {
		if p.hash, err = hex.DecodeString(sessionKey); err != nil {
			return Principal{}, ErrDenied
		}
		p.Session = true
	}
	return p, nil
}

// ofUser returns the principal of a user.
func ofUser(u people.User) Principal {
	return Principal{ID: u.ID, Name: u.Name, Role: Role(u.Role), Scope: u.Scope}
}

// ofToken returns the principal of a token. It may do no more than the user who created it may do now.
func ofToken(t people.Token) Principal {
	p := Principal{Token: t.ID, Name: people.TokenPrincipal(t.Name), Role: Role(t.Role), Scope: t.Scope.Intersect(t.MakerScope)}
	if maker := Role(t.MakerRole); t.MakerRole != "" && !maker.Allows(p.Role) {
		p.Role = maker
	}
	if t.Expires != nil {
		p.Expires = *t.Expires
	}
	return p
}
