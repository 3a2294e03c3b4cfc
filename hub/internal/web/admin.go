package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/api"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/store"
)

type usersOutput struct {
	Body struct {
		Users []store.User `json:"users"`
		Next  *string      `json:"next"`
	}
}

type addUserInput struct {
	Body struct {
		Name     string    `json:"name" maxLength:"160"`
		Password string    `json:"password" maxLength:"1024"`
		Role     auth.Role `json:"role" enum:"monitor,dispatcher,administrator"`
	}
}

type userOutput struct {
	Body struct {
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

type tokensOutput struct {
	Body struct {
		Tokens []store.Token `json:"tokens"`
		Next   *string       `json:"next"`
	}
}

type addTokenInput struct {
	Body struct {
		Name string    `json:"name" maxLength:"160"`
		Role auth.Role `json:"role" enum:"monitor,dispatcher,administrator"`
	}
}

type tokenOutput struct {
	Body struct {
		store.Token
		Text string `json:"token" doc:"what goes behind Bearer; it is shown once"`
	}
}

type idInput struct {
	ID string `path:"id" maxLength:"80"`
}

type viewsOutput struct {
	Body struct {
		Views []api.ViewRecord `json:"views"`
		Next  *string          `json:"next"`
	}
}

type auditOutput struct {
	Body struct {
		Audit  []store.AuditEntry `json:"audit"`
		Broken int64              `json:"broken" doc:"the first entry that was changed afterwards; 0: none was"`
		Next   *string            `json:"next"`
	}
}

func (s *Server) registerAdmin() {
	s.registerUsers()
	s.registerTokens()
	tags := []string{"record"}
	register(s, auth.Administrator, huma.Operation{
		OperationID: "list-views", Method: http.MethodGet, Path: "/api/v1/views", Tags: tags, Summary: "Who watched which camera, and why; newest first",
	}, s.listViews)
	register(s, auth.Administrator, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: "/api/v1/audit", Tags: tags, Summary: "Who did what, newest first",
	}, s.listAudit)
}

func (s *Server) registerUsers() {
	tags := []string{"users"}
	register(s, auth.Administrator, huma.Operation{
		OperationID: "list-users", Method: http.MethodGet, Path: "/api/v1/users", Tags: tags, Summary: "Users",
	}, func(ctx context.Context, _ *struct{}) (*usersOutput, error) {
		out := &usersOutput{}
		var err error
		out.Body.Users, err = s.o.Store.Users(ctx)
		return out, err
	})
	register(s, auth.Administrator, huma.Operation{
		OperationID: "add-user", Method: http.MethodPost, Path: "/api/v1/users", Tags: tags, Summary: "Add a user",
		DefaultStatus: http.StatusCreated, Errors: []int{http.StatusConflict},
	}, func(ctx context.Context, in *addUserInput) (*userOutput, error) {
		if err := s.o.Auth.AddUser(ctx, who(ctx).Name, in.Body.Name, in.Body.Password, in.Body.Role); err != nil {
			return nil, err
		}
		out := &userOutput{}
		out.Body.Name, out.Body.Role = in.Body.Name, in.Body.Role
		return out, nil
	})
	register(s, auth.Administrator, huma.Operation{
		OperationID: "set-password", Method: http.MethodPost, Path: "/api/v1/users/{name}/password", Tags: tags,
		Summary: "Give a user another password and end the user's sessions", DefaultStatus: http.StatusNoContent, Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *passwordInput) (*struct{}, error) {
		return nil, s.o.Auth.SetPassword(ctx, who(ctx).Name, in.Name, in.Body.Password)
	})
	register(s, auth.Administrator, huma.Operation{
		OperationID: "remove-user", Method: http.MethodDelete, Path: "/api/v1/users/{name}", Tags: tags,
		Summary: "Remove a user; the last administrator stays", DefaultStatus: http.StatusNoContent, Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *nameInput) (*struct{}, error) {
		return nil, s.o.Store.RemoveUser(ctx, who(ctx).Name, in.Name)
	})
}

func (s *Server) registerTokens() {
	tags := []string{"tokens"}
	register(s, auth.Administrator, huma.Operation{
		OperationID: "list-tokens", Method: http.MethodGet, Path: "/api/v1/tokens", Tags: tags, Summary: "API tokens",
	}, func(ctx context.Context, _ *struct{}) (*tokensOutput, error) {
		out := &tokensOutput{}
		var err error
		out.Body.Tokens, err = s.o.Store.Tokens(ctx)
		return out, err
	})
	register(s, auth.Administrator, huma.Operation{
		OperationID: "create-token", Method: http.MethodPost, Path: "/api/v1/tokens", Tags: tags, Summary: "Make an API token",
		DefaultStatus: http.StatusCreated,
	}, func(ctx context.Context, in *addTokenInput) (*tokenOutput, error) {
		out := &tokenOutput{}
		var err error
		out.Body.Text, out.Body.Token, err = s.o.Auth.CreateToken(ctx, who(ctx).Name, in.Body.Name, in.Body.Role)
		return out, err
	})
	register(s, auth.Administrator, huma.Operation{
		OperationID: "revoke-token", Method: http.MethodDelete, Path: "/api/v1/tokens/{id}", Tags: tags, Summary: "Refuse a token from now on",
		DefaultStatus: http.StatusNoContent, Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *idInput) (*struct{}, error) {
		return nil, s.o.Store.RevokeToken(ctx, who(ctx).Name, in.ID)
	})
}

func (s *Server) listViews(ctx context.Context, in *Page) (*viewsOutput, error) {
	before, id, err := in.moment()
	if err != nil {
		return nil, err
	}
	all, err := s.o.Store.Views(ctx, before, id, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &viewsOutput{}
	out.Body.Views = all
	out.Body.Next = next(*in, all, func(last api.ViewRecord) string { return atMoment(last.Began, last.ID) })
	return out, nil
}

func (s *Server) listAudit(ctx context.Context, in *Page) (*auditOutput, error) {
	before, err := in.number()
	if err != nil {
		return nil, err
	}
	out := &auditOutput{}
	if out.Body.Audit, err = s.o.Store.Audit(ctx, before, in.Limit); err != nil {
		return nil, err
	}
	if before == 0 {
		if out.Body.Broken, err = s.o.Store.VerifyAudit(ctx); err != nil {
			return nil, err
		}
	}
	out.Body.Next = next(*in, out.Body.Audit, func(last store.AuditEntry) string { return atNumber(last.ID) })
	return out, nil
}
