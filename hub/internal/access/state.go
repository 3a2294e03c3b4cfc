package access

import (
	"context"
	"net/http"
	"strings"

	"gridpost/devices"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/edges"
)

// state is what the database says about the grants that it was read for.
type state struct {
	principals auth.Current
	edges      edges.Accepted
	closed     map[string]bool // incidents
	ended      map[string]devices.Cause
}

// set collects the distinct values of a field.
type set map[string]bool

func (s set) add(v string) {
	if v != "" {
		s[v] = true
	}
}

func (s set) list() []string {
	all := make([]string, 0, len(s))
	for v := range s {
		all = append(all, v)
	}
	return all
}

// read reads what the grants stand on, with one query for each kind of thing.
func (r *Registry) read(ctx context.Context, grants []Grant) (s state, err error) {
	users, tokens, sessions, names, serials, incidents, leases := set{}, set{}, set{}, set{}, set{}, set{}, set{}
	for _, g := range grants {
		switch kind, id, _ := strings.Cut(g.Principal, ":"); kind + ":" {
		case userPrincipal:
			users.add(id)
		case tokenPrincipal:
			tokens.add(id)
		}
		sessions.add(g.Session)
		names.add(g.Edge)
		serials.add(g.Certificate)
		incidents.add(g.Incident)
		leases.add(g.Lease)
	}
	if len(users)+len(tokens)+len(sessions) > 0 {
		q := auth.Query{Users: users.list(), Tokens: tokens.list(), Sessions: sessions.list()}
		if s.principals, err = r.o.Principals.Current(ctx, q); err != nil {
			return s, err
		}
	}
	if len(names)+len(serials) > 0 {
		if s.edges, err = r.o.Edges.Accepted(ctx, names.list(), serials.list()); err != nil {
			return s, err
		}
	}
	if len(incidents) > 0 {
		closed, err := r.o.Incidents.Closed(ctx, incidents.list())
		if err != nil {
			return s, err
		}
		s.closed = make(map[string]bool, len(closed))
		for _, id := range closed {
			s.closed[id] = true
		}
	}
	if len(leases) > 0 {
		if s.ended, err = r.o.Leases.Ended(ctx, leases.list()); err != nil {
			return s, err
		}
	}
	return s, nil
}

// refusal returns why a grant does not hold; nil: it does. What concerns the principal comes first: it is
// the reason that a person understands.
func (s state) refusal(g Grant) *problem.Error {
	if refusal := s.refusalOfPrincipal(g); refusal != nil {
		return refusal
	}
	site, accepted := s.edges.Sites[g.Edge]
	if g.Edge != "" && !accepted {
		return problem.New("access_edge_revoked", "edge", g.Edge)
	}
	for _, name := range []string{site, g.Site} {
		if name != "" && !s.sees(g.Principal, name) {
			return problem.New("access_site_ended", "site", name)
		}
	}
	if g.Certificate != "" && s.edges.Serials[g.Certificate] != g.Edge {
		return problem.New("access_certificate_ended", "edge", g.Edge)
	}
	if s.closed[g.Incident] {
		return problem.New("incident_closed")
	}
	if cause, ended := s.ended[g.Lease]; ended {
		return problem.Because(http.StatusGone, cause)
	}
	return nil
}

// refusalOfPrincipal is refusal for what concerns the principal. Edges are their own principals.
func (s state) refusalOfPrincipal(g Grant) *problem.Error {
	user, token := strings.HasPrefix(g.Principal, userPrincipal), strings.HasPrefix(g.Principal, tokenPrincipal)
	if !user && !token {
		return nil
	}
	p, exists := s.principals.Principals[g.Principal]
	switch {
	case !exists && user:
		return problem.New("access_account_ended")
	case !exists:
		return problem.New("access_token_ended")
	case g.Session != "" && !s.principals.Sessions[g.Session]:
		return problem.New("access_session_ended")
	case g.Need != "" && !p.Role.Allows(g.Need):
		return problem.New("access_role_ended", "role", string(g.Need))
	case g.As != nil && *g.As != *appearance(p):
		return problem.New("access_changed")
	}
	return nil
}

// sees reports whether a principal may see a site. Edges see their own, wherever they are.
func (s state) sees(principal, site string) bool {
	return strings.HasPrefix(principal, edgePrincipal) || s.principals.Principals[principal].Scope.Allows(site)
}

// expired returns the cause of a grant that has come to its Until.
func expired(g Grant) *problem.Error {
	if strings.HasPrefix(g.Principal, tokenPrincipal) {
		return problem.New("access_token_ended")
	}
	return problem.New("access_session_ended")
}
