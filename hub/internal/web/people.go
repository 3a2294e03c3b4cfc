package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/internal/auth"
)

// onDutyFor is how long somebody counts as on duty after the last sign of an open page.
const onDutyFor = time.Minute

// OnDuty is somebody whose console is open.
type OnDuty struct {
	User string    `json:"user"`
	Role auth.Role `json:"role"`
	Seen time.Time `json:"seen_at"`
}

// duty knows whose console is open: an open live stream notes its user every few seconds. It
// lives in memory, as after a restart every console comes back by itself; it holds one entry
// for each user at most.
type duty struct {
	mu   sync.Mutex
	seen map[string]OnDuty
}

// note says that somebody is here. Programs with tokens are no people.
func (d *duty) note(p auth.Principal) {
	if !p.Session {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen == nil {
		d.seen = map[string]OnDuty{}
	}
	d.seen[p.Name] = OnDuty{User: p.Name, Role: p.Role, Seen: time.Now().UTC().Truncate(time.Second)}
}

// leave forgets somebody until the next note.
func (d *duty) leave(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.seen, name)
}

// list returns who is here, by name.
func (d *duty) list() []OnDuty {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := []OnDuty{}
	for name, o := range d.seen {
		if time.Since(o.Seen) > onDutyFor {
			delete(d.seen, name)
			continue
		}
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b OnDuty) int { return strings.Compare(a.User, b.User) })
	return all
}

type dutyOutput struct {
	Body struct {
		Duty []OnDuty `json:"duty"`
	}
}

type ownPasswordInput struct {
	Body struct {
		Current string `json:"current" maxLength:"1024"`
		Next    string `json:"next" maxLength:"1024"`
	}
}

type roleInput struct {
	Name string `path:"name" maxLength:"160"`
	Body struct {
		Role auth.Role `json:"role" enum:"monitor,dispatcher,administrator"`
	}
}

type disabledInput struct {
	Name string `path:"name" maxLength:"160"`
	Body struct {
		Disabled bool `json:"disabled"`
	}
}

func (s *Server) registerPeople() {
	register(s, auth.Monitor, huma.Operation{
		OperationID: "list-duty", Method: http.MethodGet, Path: "/api/v1/duty", Tags: []string{"session"},
		Summary: "Who is on duty: whose console has been open within the last minute",
	}, func(ctx context.Context, _ *struct{}) (*dutyOutput, error) {
		s.duty.note(who(ctx))
		out := &dutyOutput{}
		out.Body.Duty = s.duty.list()
		return out, nil
	})
	register(s, auth.Monitor, huma.Operation{
		OperationID: "change-password", Method: http.MethodPut, Path: "/api/v1/session/password", Tags: []string{"session"},
		Summary:       "Change one's own password and end one's other sessions; 403 if the present one is wrong",
		DefaultStatus: http.StatusNoContent, Errors: []int{http.StatusTooManyRequests},
	}, s.changePassword)
	tags := []string{"users"}
	register(s, auth.Administrator, huma.Operation{
		OperationID: "set-role", Method: http.MethodPut, Path: "/api/v1/users/{name}/role", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "Give a user another role; the last administrator stays one", Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *roleInput) (*struct{}, error) {
		return nil, s.o.Auth.SetRole(ctx, who(ctx).Name, in.Name, in.Body.Role)
	})
	register(s, auth.Administrator, huma.Operation{
		OperationID: "set-disabled", Method: http.MethodPut, Path: "/api/v1/users/{name}/disabled", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "Keep a user out, ending the user's sessions, or let the user in again", Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *disabledInput) (*struct{}, error) {
		if err := s.o.Store.SetDisabled(ctx, who(ctx).Name, in.Name, in.Body.Disabled); err != nil {
			return nil, err
		}
		if in.Body.Disabled {
			s.duty.leave(in.Name)
		}
		return nil, nil
	})
}

func (s *Server) changePassword(ctx context.Context, in *ownPasswordInput) (*struct{}, error) {
	err := s.o.Auth.ChangePassword(ctx, who(ctx), in.Body.Current, in.Body.Next, from(ctx).remote)
	if errors.Is(err, auth.ErrDenied) {
		return nil, huma.Error403Forbidden("that is not the present password")
	}
	return nil, err
}
