package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/api/public"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/people"
)

type usersOutput struct {
	Body struct {
		Users []public.User `json:"users"`
		Next  *string       `json:"next"`
	}
}

type addUserInput struct {
	Body struct {
		Name     string    `json:"name" maxLength:"160"`
		Password string    `json:"password" maxLength:"1024"`
		Role     auth.Role `json:"role" enum:"monitor,dispatcher,administrator"`
		Sites    []string  `json:"sites,omitempty" nullable:"true" maxItems:"200" doc:"that the user may see; all unless given"`
	}
}

type sitesInput struct {
	Name string `path:"name" maxLength:"160"`
	Body struct {
		Sites []string `json:"sites" nullable:"true" maxItems:"200" doc:"that the user may see; null: all"`
	}
}

type userOutput struct {
	Body struct {
		ID   string    `json:"id"`
		Name string    `json:"name"`
		Role auth.Role `json:"role"`
	}
}

type nameInput struct {
	Name string `path:"name" maxLength:"160"`
}

type passwordInput struct {
	Name string `path:"name" maxLength:"160"`
	Body struct {
		Password string `json:"password" maxLength:"1024"`
	}
}

type roleInput struct {
	Name string `path:"name" maxLength:"160"`
	Body struct {
		Role auth.Role `json:"role" enum:"monitor,dispatcher,administrator"`
	}
}

type renameInput struct {
	Name string `path:"name" maxLength:"160"`
	Body struct {
		Name string `json:"name" maxLength:"160"`
	}
}

type disabledInput struct {
	Name string `path:"name" maxLength:"160"`
	Body struct {
		Disabled bool `json:"disabled"`
	}
}

func (s *Server) registerUsers() {
	tags := []string{"users"}
	registerList(s, huma.Operation{
		OperationID: "list-users", Tags: tags, Summary: "Users, by name",
	}, list[*Page, people.User, usersOutput]{
		fetch: func(ctx context.Context, in *Page) ([]people.User, error) {
			after, err := in.parts(1)
			if err != nil {
				return nil, err
			}
			return s.o.People.Users(ctx, after[0], in.Limit)
		},
		cursor: func(last people.User) string { return cursor(last.Name) },
		answer: func(all []people.User, next *string) *usersOutput {
			out := &usersOutput{}
			out.Body.Users, out.Body.Next = convert(all, presentUser), next
			return out
		},
	})
	register(s, huma.Operation{
		OperationID: "add-user", Tags: tags, Summary: "Add a user",
		DefaultStatus: http.StatusCreated, Errors: []int{http.StatusConflict},
	}, func(ctx context.Context, in *addUserInput) (*userOutput, error) {
		u, err := s.o.Auth.AddUserIn(ctx, who(ctx).Name, in.Body.Name, in.Body.Password, in.Body.Role, scope.Of(in.Body.Sites))
		if err != nil {
			return nil, err
		}
		out := &userOutput{}
		out.Body.ID, out.Body.Name, out.Body.Role = u.ID, u.Name, auth.Role(u.Role)
		return out, nil
	})
	s.registerUserChanges(tags)
}

func (s *Server) registerUserChanges(tags []string) {
	conflict := []int{http.StatusConflict}
	registerChange(s, huma.Operation{
		OperationID: "rename-user", Tags: tags, Errors: conflict,
		Summary: "Give a user another name; sessions go on, and nobody else can get the former name",
	}, func(ctx context.Context, in *renameInput) error {
		return s.o.Auth.RenameUser(ctx, who(ctx).Name, in.Name, in.Body.Name)
	})
	registerChange(s, huma.Operation{
		OperationID: "set-password", Tags: tags,
		Summary: "Give a user another password and end the user's sessions",
	}, func(ctx context.Context, in *passwordInput) error {
		return s.o.Auth.SetPassword(ctx, who(ctx).Name, in.Name, in.Body.Password)
	})
	registerRemoval(s, huma.Operation{
		OperationID: "remove-totp", Tags: tags, Summary: "Turn the second factor of a user off, who has lost it", Errors: conflict,
	}, func(ctx context.Context, in *nameInput) error {
		return s.o.People.RemoveTOTP(ctx, who(ctx).Name, in.Name)
	})
	registerRemoval(s, huma.Operation{
		OperationID: "remove-user", Tags: tags, Summary: "Remove a user; the last administrator stays", Errors: conflict,
	}, func(ctx context.Context, in *nameInput) error {
		return s.o.People.RemoveUser(ctx, who(ctx).Name, in.Name)
	})
	registerChange(s, huma.Operation{
		OperationID: "set-role", Tags: tags, Errors: conflict,
		Summary: "Give a user another role; the last administrator stays one",
	}, func(ctx context.Context, in *roleInput) error {
		return s.o.Auth.SetRole(ctx, who(ctx).Name, in.Name, in.Body.Role)
	})
	registerChange(s, huma.Operation{
		OperationID: "set-sites", Tags: tags, Errors: conflict,
		Summary: "Give a user's role another scope: all sites, or some; the last administrator of all sites stays one",
	}, func(ctx context.Context, in *sitesInput) error {
		return s.o.Auth.SetScope(ctx, who(ctx).Name, in.Name, scope.Of(in.Body.Sites))
	})
	registerChange(s, huma.Operation{
		OperationID: "set-disabled", Tags: tags, Errors: conflict,
		Summary: "Keep a user out, ending the user's sessions, or let the user in again",
	}, func(ctx context.Context, in *disabledInput) error {
		if err := s.o.People.SetDisabled(ctx, who(ctx).Name, in.Name, in.Body.Disabled); err != nil || !in.Body.Disabled {
			return err
		}
		u, err := s.o.People.User(ctx, in.Name)
		if err != nil {
			return err
		}
		s.presence.leave(u.ID)
		return nil
	})
}

func presentUser(u people.User) public.User {
	return public.User{ID: u.ID, Name: u.Name, Role: u.Role, Sites: u.Scope.Names(), Created: u.Created, Disabled: u.Disabled, TOTP: u.TOTP}
}
