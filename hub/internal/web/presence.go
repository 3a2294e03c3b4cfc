package web

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/scope"
)

// onDutyFor is how long a user counts as on duty after the last request of an open page.
const onDutyFor = time.Minute

// OnDuty is a user whose console is open.
type OnDuty struct {
	ID   string    `json:"id"`
	User string    `json:"user"`
	Role auth.Role `json:"role"`
	Seen time.Time `json:"seen_at"`

	scope scope.Scope
}

// duty lists the users whose console is open: an open live stream notes its user every few seconds. It is
// in memory, because every console connects again after a restart, and a hub lists its own consoles
// only. It has one entry for each user at most.
type duty struct {
	mu   sync.Mutex
	seen map[string]OnDuty // by the user's ID
}

// note adds the user of a session. Programs with tokens are not on duty.
func (d *duty) note(p auth.Principal) {
	if !p.Session {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen == nil {
		d.seen = map[string]OnDuty{}
	}
	d.seen[p.ID] = OnDuty{ID: p.ID, User: p.Name, Role: p.Role, Seen: time.Now().UTC().Truncate(time.Second), scope: p.Scope}
}

// leave removes a user until the next note.
func (d *duty) leave(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.seen, id)
}

// list returns the users on duty who share a site with a scope, by name.
func (d *duty) list(in scope.Scope) []OnDuty {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := []OnDuty{}
	for id, o := range d.seen {
		if time.Since(o.Seen) > onDutyFor {
			delete(d.seen, id)
			continue
		}
		if o.scope.Overlaps(in) {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b OnDuty) int { return strings.Compare(a.User, b.User) })
	return all
}

type dutyOutput struct {
	Body struct {
		Duty []OnDuty `json:"duty"`
	}
}

func (s *Server) registerPresence() {
	register(s, huma.Operation{
		OperationID: "list-duty", Tags: []string{"session"},
		Summary: "Who is on duty at the sites of the request: whose console has been open within the last minute",
	}, func(ctx context.Context, _ *struct{}) (*dutyOutput, error) {
		s.duty.note(who(ctx))
		out := &dutyOutput{}
		out.Body.Duty = s.duty.list(who(ctx).Scope)
		return out, nil
	})
}
