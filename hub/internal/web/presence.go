package web

import (
	"context"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/store/people"
)

// onlineFor is how long a user counts as online after the last request of an open page.
const onlineFor = time.Minute

// maxRoster bounds the answer: more people than a town has at its desks.
const maxRoster = 2000

// RosterEntry is a user who can be given incidents of the caller's sites.
type RosterEntry struct {
	ID     string     `json:"id"`
	User   string     `json:"user"`
	Role   auth.Role  `json:"role" enum:"monitor,dispatcher,administrator"`
	Online bool       `json:"online" doc:"the user's console was open within the last minute"`
	Seen   *time.Time `json:"seen_at" doc:"when it was open last; null: not within the last minute"`
}

// presence knows whose console is open: an open live stream notes its user every few seconds. It is in memory,
// because every console connects again after a restart, and a hub knows its own consoles only. It has one entry
// for each user at most.
type presence struct {
	mu   sync.Mutex
	seen map[string]time.Time // by the user's ID
}

// note adds the user of a session. Programs with tokens are nobody's console.
func (p *presence) note(who auth.Principal) {
	if !who.Session {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = map[string]time.Time{}
	}
	p.seen[who.ID] = time.Now().UTC().Truncate(time.Second)
}

// leave removes a user until the next note.
func (p *presence) leave(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.seen, id)
}

// online returns when the users who are online were seen last, by their IDs.
func (p *presence) online() map[string]time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[string]time.Time, len(p.seen))
	for id, at := range p.seen {
		if time.Since(at) > onlineFor {
			delete(p.seen, id)
			continue
		}
		out[id] = at
	}
	return out
}

type rosterOutput struct {
	Body struct {
		Roster []RosterEntry `json:"roster" doc:"by name"`
	}
}

func (s *Server) registerPresence() {
	register(s, huma.Operation{
		OperationID: "list-roster", Tags: []string{"session"},
		Summary: "Who may log in and shares a site with the request, and whose console is open",
	}, func(ctx context.Context, _ *struct{}) (*rosterOutput, error) {
		s.presence.note(who(ctx))
		out := &rosterOutput{}
		var err error
		out.Body.Roster, err = s.roster(ctx)
		return out, err
	})
}

// roster returns the users who may log in and share a site with the caller, by name.
func (s *Server) roster(ctx context.Context) ([]RosterEntry, error) {
	const page = 500
	online, in := s.presence.online(), who(ctx).Scope
	roster := []RosterEntry{}
	for after := ""; len(roster) < maxRoster; {
		users, err := s.o.People.Users(ctx, after, page)
		if err != nil {
			return nil, err
		}
		for _, u := range users {
			after = u.Name
			if u.Disabled == nil && u.Scope.Overlaps(in) {
				roster = append(roster, rosterEntry(u, online))
			}
		}
		if len(users) < page {
			break
		}
	}
	return roster[:min(len(roster), maxRoster)], nil
}

func rosterEntry(u people.User, online map[string]time.Time) RosterEntry {
	e := RosterEntry{ID: u.ID, User: u.Name, Role: auth.Role(u.Role)}
	if at, ok := online[u.ID]; ok {
		e.Online, e.Seen = true, &at
	}
	return e
}
