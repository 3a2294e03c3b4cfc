package web

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/internal/auth"
)

type sessionBody struct {
	User    string     `json:"user" doc:"a user's name, or the token's"`
	Role    auth.Role  `json:"role" enum:"monitor,dispatcher,administrator"`
	Expires *time.Time `json:"expires_at" doc:"null for a token"`
}

type sessionOutput struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
	Body      sessionBody
}

type sessionInfo struct{ Body sessionBody }

type loginInput struct {
	Body struct {
		User     string `json:"user" maxLength:"200"`
		Password string `json:"password" maxLength:"1024"`
	}
}

type logoutOutput struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
}

func (s *Server) registerSession() {
	tags := []string{"session"}
	register(s, "", huma.Operation{
		OperationID: "log-in", Method: http.MethodPost, Path: "/api/v1/session", Tags: tags, Summary: "Log in",
		Errors: []int{http.StatusUnauthorized, http.StatusTooManyRequests},
	}, s.logIn)
	register(s, auth.Monitor, huma.Operation{
		OperationID: "get-session", Method: http.MethodGet, Path: "/api/v1/session", Tags: tags, Summary: "Who am I?",
	}, func(ctx context.Context, _ *struct{}) (*sessionInfo, error) {
		return &sessionInfo{Body: sessionOf(who(ctx))}, nil
	})
	register(s, auth.Monitor, huma.Operation{
		OperationID: "log-out", Method: http.MethodDelete, Path: "/api/v1/session", Tags: tags, Summary: "Log out", DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, _ *struct{}) (*logoutOutput, error) {
		if err := s.o.Auth.Logout(ctx, who(ctx)); err != nil {
			return nil, err
		}
		s.duty.leave(who(ctx).Name)
		return &logoutOutput{SetCookie: cookie(ctx, "", -1)}, nil
	})
}

func sessionOf(p auth.Principal) sessionBody {
	body := sessionBody{User: p.Name, Role: p.Role}
	if p.Session {
		at := p.Expires.UTC().Truncate(time.Millisecond)
		body.Expires = &at
	}
	return body
}

func cookie(ctx context.Context, value string, maxAge int) http.Cookie {
	return http.Cookie{
		Name: auth.CookieName, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: from(ctx).secure, SameSite: http.SameSiteStrictMode,
	}
}

func (s *Server) logIn(ctx context.Context, in *loginInput) (*sessionOutput, error) {
	value, p, err := s.o.Auth.Login(ctx, in.Body.User, in.Body.Password, from(ctx).remote)
	switch {
	case errors.Is(err, auth.ErrDenied):
		return nil, huma.Error401Unauthorized("")
	case err != nil:
		return nil, err
	}
	return &sessionOutput{SetCookie: cookie(ctx, value, int(auth.SessionLife.Seconds())), Body: sessionOf(p)}, nil
}
