package web

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/problem"
)

type sessionBody struct {
	ID      string     `json:"id" doc:"the user's; empty for a token"`
	User    string     `json:"user" doc:"a user's name, or the token's"`
	Role    auth.Role  `json:"role" enum:"monitor,dispatcher,administrator"`
	Sites   []string   `json:"sites" nullable:"true" doc:"that the user or the token may see; null: all"`
	Expires *time.Time `json:"expires_at" doc:"null for a token"`
	Demo    bool       `json:"demo,omitempty" doc:"the devices of this hub are simulated"`
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
		Code     string `json:"code,omitempty" maxLength:"64" doc:"of the authenticator app, or a recovery code; asked for by 401 with the code totp_required"`
	}
}

type logoutOutput struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
}

type ownPasswordInput struct {
	Body struct {
		Current string `json:"current" maxLength:"1024"`
		Next    string `json:"next" maxLength:"1024"`
	}
}

func (s *Server) registerSession() {
	tags := []string{"session"}
	register(s, huma.Operation{
		OperationID: "log-in", Tags: tags, Summary: "Log in",
		Description: "The answer 401 with the code totp_required means that the password is right and the account needs a code too: send all again with code.",
		Errors:      []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests},
	}, s.logIn)
	register(s, huma.Operation{
		OperationID: "get-session", Tags: tags, Summary: "The session of the request: who is logged in",
	}, func(ctx context.Context, _ *struct{}) (*sessionInfo, error) {
		return &sessionInfo{Body: s.sessionOf(who(ctx))}, nil
	})
	register(s, huma.Operation{
		OperationID: "log-out", Tags: tags, Summary: "Log out", DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, _ *struct{}) (*logoutOutput, error) {
		if err := s.o.Auth.Logout(ctx, who(ctx)); err != nil {
			return nil, err
		}
		s.presence.leave(who(ctx).ID)
		return &logoutOutput{SetCookie: cookie(ctx, "", -1)}, nil
	})
	register(s, huma.Operation{
		OperationID: "change-password", Tags: []string{"session"},
		Summary:       "Change one's own password and end one's other sessions; 403 if the present one is wrong",
		DefaultStatus: http.StatusNoContent, Errors: []int{http.StatusTooManyRequests},
	}, s.changePassword)
}

func (s *Server) sessionOf(p auth.Principal) sessionBody {
	body := sessionBody{Demo: s.o.Demo, ID: p.ID, User: p.Name, Role: p.Role, Sites: p.Scope.Names()}
	if p.Session {
		at := p.Expires.UTC().Truncate(time.Millisecond)
		body.Expires = &at
	}
	return body
}

// cookie returns the session's cookie. A visit that begins at another page, such as the identity provider's, sends it
// (SameSite=Lax); a request of another page that changes something is refused by its origin.
func cookie(ctx context.Context, value string, maxAge int) http.Cookie {
	return http.Cookie{
		Name: auth.CookieName, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: remoteFrom(ctx).https, SameSite: http.SameSiteLaxMode,
	}
}

func (s *Server) logIn(ctx context.Context, in *loginInput) (*sessionOutput, error) {
	value, p, err := s.o.Auth.LoginWithCode(ctx, in.Body.User, in.Body.Password, in.Body.Code, remoteFrom(ctx).address)
	switch {
	case errors.Is(err, auth.ErrDenied):
		return nil, &problem.Error{Status: http.StatusUnauthorized}
	case err != nil:
		return nil, err
	}
	return &sessionOutput{SetCookie: cookie(ctx, value, int(auth.SessionLife.Seconds())), Body: s.sessionOf(p)}, nil
}

func (s *Server) changePassword(ctx context.Context, in *ownPasswordInput) (*struct{}, error) {
	return nil, passwordWrong(s.o.Auth.ChangePassword(ctx, who(ctx), in.Body.Current, in.Body.Next, remoteFrom(ctx).address))
}

// passwordWrong makes a refusal of ErrDenied, which must not look as if the session had ended.
func passwordWrong(err error) error {
	if errors.Is(err, auth.ErrDenied) {
		return problem.New("password_wrong")
	}
	return err
}
