package web

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/api/public"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/people"
)

type tokensOutput struct {
	Body struct {
		Tokens []public.Token `json:"tokens"`
		Next   *string        `json:"next"`
	}
}

type addTokenInput struct {
	Body struct {
		Name  string    `json:"name" maxLength:"160"`
		Role  auth.Role `json:"role" enum:"monitor,dispatcher,administrator"`
		Sites []string  `json:"sites,omitempty" nullable:"true" maxItems:"200" doc:"that the token may see; all unless given"`

		Expires time.Time `json:"expires_at,omitzero" doc:"when it ends by itself; left out: never"`
	}
}

type tokenOutput struct {
	Body struct {
		public.Token
		Text string `json:"token" doc:"for the header Authorization: Bearer; it is shown once"`
	}
}

type idInput struct {
	ID string `path:"id" maxLength:"80"`
}

func (s *Server) registerTokens() {
	tags := []string{"tokens"}
	registerList(s, huma.Operation{
		OperationID: "list-tokens", Tags: tags, Summary: "API tokens, the oldest first",
	}, list[*Page, people.Token, tokensOutput]{
		fetch: func(ctx context.Context, in *Page) ([]people.Token, error) {
			after, id, err := in.moment()
			if err != nil {
				return nil, err
			}
			return s.o.People.Tokens(ctx, after, id, in.Limit)
		},
		cursor: func(last people.Token) string { return atMoment(last.Created, last.ID) },
		answer: func(all []people.Token, next *string) *tokensOutput {
			out := &tokensOutput{}
			out.Body.Tokens, out.Body.Next = convert(all, presentToken), next
			return out
		},
	})
	register(s, huma.Operation{
		OperationID: "create-token", Tags: tags, Summary: "Create an API token; it ends with the user who creates it, and allows no more than that user's role",
		DefaultStatus: http.StatusCreated,
	}, func(ctx context.Context, in *addTokenInput) (*tokenOutput, error) {
		sites := scope.Of(in.Body.Sites)
		text, token, err := s.o.Auth.CreateToken(ctx, auth.NewToken{By: who(ctx).Name, Name: in.Body.Name, Role: in.Body.Role, Scope: &sites, Expires: in.Body.Expires})
		if err != nil {
			return nil, err
		}
		out := &tokenOutput{}
		out.Body.Text, out.Body.Token = text, presentToken(token)
		return out, nil
	})
	registerRemoval(s, huma.Operation{
		OperationID: "revoke-token", Tags: tags, Summary: "Refuse a token from now on",
	}, func(ctx context.Context, in *idInput) error { return s.o.People.RevokeToken(ctx, who(ctx).Name, in.ID) })
}

func presentToken(t people.Token) public.Token {
	return public.Token{
		ID: t.ID, Name: t.Name, Role: t.Role, Sites: t.Scope.Names(), Created: t.Created, CreatedBy: t.CreatedBy, CreatedByID: t.CreatedByID,
		Expires: t.Expires, LastUsed: t.LastUsed,
	}
}
