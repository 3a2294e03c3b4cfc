package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/problem"
)

// OpenID is an OpenID Connect provider; see package oidc.
type OpenID interface {
	Name() string
	Begin(ctx context.Context, secret string) (url string, err error)
	Finish(ctx context.Context, secret, state, code string) (auth.Identity, error)
}

const (
	oidcPath     = "/api/v1/session/oidc"
	callbackPath = oidcPath + "/callback"
	oidcCookie   = "gridpost_oidc"
	oidcSeconds  = 600 // for a log-in at the provider
)

// CallbackPath is the path of the URL that the provider sends browsers back to.
const CallbackPath = callbackPath

type loginWaysOutput struct {
	Body struct {
		Provider *string `json:"provider" doc:"name of the OpenID Connect provider, at which log-in begins with a visit of /api/v1/session/oidc; null: there is none"`
	}
}

func (s *Server) registerOpenID() {
	register(s, huma.Operation{OperationID: "list-login-ways", Tags: []string{"session"}, Summary: "The ways to log in"},
		func(context.Context, *struct{}) (*loginWaysOutput, error) {
			out := &loginWaysOutput{}
			if s.o.OpenID != nil {
				name := s.o.OpenID.Name()
				out.Body.Provider = &name
			}
			return out, nil
		})
	s.handle("begin-oidc", "Begin to log in at the OpenID Connect provider: redirects the browser there", s.beginOpenID)
	s.handle("finish-oidc", "Where the provider sends the browser back: logs in and redirects to the console", s.finishOpenID)
}

func (s *Server) beginOpenID(w http.ResponseWriter, r *http.Request) {
	if s.o.OpenID == nil {
		problem.Write(w, http.StatusNotFound, "")
		return
	}
	secret := auth.Secret()
	to, err := s.o.OpenID.Begin(r.Context(), secret)
	if err != nil {
		s.refuseOpenID(w, r, err)
		return
	}
	http.SetCookie(w, s.openIDCookie(r, secret, oidcSeconds))
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// openIDCookie returns the cookie of a log-in, which goes to the callback only. It is sent when the provider's page
// leads back: that is what SameSite=Lax allows.
func (s *Server) openIDCookie(r *http.Request, secret string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: oidcCookie, Value: secret, Path: callbackPath, MaxAge: maxAge, HttpOnly: true, Secure: remoteFrom(r.Context()).https, SameSite: http.SameSiteLaxMode,
	}
}

func (s *Server) finishOpenID(w http.ResponseWriter, r *http.Request) {
	if s.o.OpenID == nil {
		problem.Write(w, http.StatusNotFound, "")
		return
	}
	secret := ""
	if c, err := r.Cookie(oidcCookie); err == nil {
		secret = c.Value
	}
	http.SetCookie(w, s.openIDCookie(r, "", -1))
	id, err := s.finish(r, secret)
	if err != nil {
		s.o.Auth.IdentityRefused("", remoteFrom(r.Context()).address, err)
		s.refuseOpenID(w, r, err)
		return
	}
	value, _, err := s.o.Auth.LoginIdentity(r.Context(), id, remoteFrom(r.Context()).address)
	if err != nil {
		s.refuseOpenID(w, r, err)
		return
	}
	session := cookie(r.Context(), value, int(auth.SessionLife.Seconds()))
	http.SetCookie(w, &session)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// finish returns who has logged in at the provider that the browser comes back from.
func (s *Server) finish(r *http.Request, secret string) (auth.Identity, error) {
	q := r.URL.Query()
	if reason := q.Get("error"); reason != "" {
		return auth.Identity{}, problem.New("oidc_refused", "reason", clip(reason, 80))
	}
	return s.o.OpenID.Finish(r.Context(), secret, q.Get("state"), q.Get("code"))
}

// refuseOpenID sends the browser back to the log-in page with the code of the refusal. The log has the whole reason.
func (s *Server) refuseOpenID(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, auth.ErrDenied) {
		err = problem.New("oidc_user_disabled")
	}
	var coded *problem.Error
	if !errors.As(s.problemOf(r.Context(), r.URL.Path, err), &coded) {
		coded = problem.New("internal")
	}
	s.o.Logger.Warn("log-in by the identity provider refused", "remote", remoteFrom(r.Context()).address, "error", err)
	http.Redirect(w, r, "/?refused="+url.QueryEscape(coded.Reason.Code), http.StatusSeeOther)
}
