package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/api/public"
	"gridpost/hub/internal/access"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/credential"
	"gridpost/hub/internal/problem"
)

// admitCredential is admit for a request with a credential of package credential, which stands for a session, a token or
// a certificate: it admits where these would, now, and for its camera only, which camera checks.
func (s *Server) admitCredential(w http.ResponseWriter, r *http.Request, rule route, text string) *http.Request {
	if s.o.Credentials == nil || rule.by == "" {
		problem.Write(w, http.StatusUnauthorized, "")
		return nil
	}
	check := s.o.Credentials.Begin
	if strings.HasSuffix(rule.path, "/{id}") {
		check = s.o.Credentials.Continue
	}
	claims, err := check(text, rule.by)
	if err != nil {
		problem.Write(w, http.StatusUnauthorized, "")
		return nil
	}
	ctx := context.WithValue(r.Context(), keyClaims, claims)
	if claims.Use == credential.Publish {
		err = s.o.Access.Check(ctx, publicationOf(claims))
		var refused *problem.Error
		if errors.As(err, &refused) {
			problem.Write(w, http.StatusForbidden, "")
			return nil
		}
	} else {
		var p auth.Principal
		p, err = s.o.Auth.ByKey(ctx, claims.Principal, claims.Session)
		switch {
		case errors.Is(err, auth.ErrDenied):
			problem.Write(w, http.StatusUnauthorized, "")
			return nil
		case err == nil && !rule.allows(p):
			problem.Write(w, http.StatusForbidden, "")
			return nil
		}
		ctx = withPrincipal(ctx, p)
	}
	if err != nil {
		s.trouble(w, r, err)
		return nil
	}
	return r.WithContext(ctx)
}

// publicationOf returns the grant on which a publication by a credential stands.
func publicationOf(c credential.Claims) access.Grant {
	return access.OfEdge(c.Edge, c.Certificate, access.Publication)
}

// claimsOf returns the claims of the credential that admitted a request; ok is false if it was admitted otherwise.
func claimsOf(ctx context.Context) (c credential.Claims, ok bool) {
	c, ok = ctx.Value(keyClaims).(credential.Claims)
	return c, ok
}

// camera returns the camera that a request of live video names. When it returns false, it has answered that the
// credential of the request is for another one.
func camera(w http.ResponseWriter, r *http.Request) (edge, device string, ok bool) {
	edge, device = r.PathValue("edge"), r.PathValue("device")
	if c, by := claimsOf(r.Context()); by && !c.Of(edge, device) {
		problem.Write(w, http.StatusForbidden, "")
		return "", "", false
	}
	return edge, device, true
}

type liveInput struct {
	Edge   string `path:"edge" maxLength:"40"`
	Device string `path:"device" maxLength:"40"`

	Incident string `query:"incident" maxLength:"80" doc:"what the view is for; it is in the URLs of the answer"`
	Reason   string `query:"reason" maxLength:"200" doc:"the same, where there is no incident"`
}

type liveOutput struct{ Body public.LiveSource }

func (s *Server) registerLive() {
	register(s, huma.Operation{
		OperationID: "find-live", Tags: []string{"streams"}, Summary: "Where a camera is watched, and the credential for it", Errors: []int{http.StatusNotFound},
	}, s.findLive)
}

// findLive says where a camera is watched: at this hub, or at the relay to which its edge publishes.
func (s *Server) findLive(ctx context.Context, in *liveInput) (*liveOutput, error) {
	if err := s.findCamera(ctx, who(ctx).Scope, in.Edge, in.Device); err != nil {
		return nil, err
	}
	relay := ""
	if s.o.RelayOf != nil {
		relay = s.o.RelayOf(in.Edge)
	}
	purpose := ""
	for _, p := range []struct{ name, value string }{{"incident", in.Incident}, {"reason", in.Reason}} {
		if p.value != "" && purpose == "" {
			purpose = "?" + p.name + "=" + url.QueryEscape(p.value)
		}
	}
	camera := "/" + url.PathEscape(in.Edge) + "/" + url.PathEscape(in.Device) + purpose
	out := &liveOutput{Body: public.LiveSource{WHEP: relay + "/whep" + camera, FMP4: relay + "/api/v1/live" + camera}}
	if relay != "" && s.o.Credentials != nil {
		p := who(ctx)
		text, expires := s.o.Credentials.Issue(credential.Claims{
			Use: credential.View, Edge: in.Edge, Device: in.Device, Principal: p.Key(), Session: p.SessionKey(),
		})
		out.Body.Credential, out.Body.Expires = &text, &expires
	}
	return out, nil
}
