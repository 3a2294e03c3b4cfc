package web

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/scope"
)

// confirming is a provider that confirms the identity or the refusal that a test sets, for the secret that it was
// begun with.
type confirming struct {
	secret   string
	identity auth.Identity
	err      error
}

func (c *confirming) Name() string { return "City" }

func (c *confirming) Begin(_ context.Context, secret string) (string, error) {
	c.secret = secret
	return "https://idp.example/authorize", nil
}

func (c *confirming) Finish(_ context.Context, secret, state, code string) (auth.Identity, error) {
	if secret != c.secret || state != "s" || code != "c" {
		return auth.Identity{}, problem.New("oidc_refused")
	}
	return c.identity, c.err
}

func TestLogInAtTheProvider(t *testing.T) {
	p := newPort(t)
	if got := p.send(t, "GET", oidcPath, nil); got.status != http.StatusNotFound {
		t.Errorf("without a provider: %d", got.status)
	}
	idp := &confirming{identity: auth.Identity{Subject: "https://idp.example 1", Name: "li", Role: auth.Dispatcher, Scope: scope.Sites("gate-7")}}
	p.server.o.OpenID = idp
	logIn := func() (session string, got answer) {
		begun := p.send(t, "GET", oidcPath, nil)
		set := begun.header.Get("Set-Cookie")
		if begun.status != http.StatusSeeOther || begun.header.Get("Location") != "https://idp.example/authorize" ||
			!strings.Contains(set, "SameSite=Lax") || !strings.Contains(set, "HttpOnly") || !strings.Contains(set, "Path="+callbackPath) {
			t.Fatalf("%d %v", begun.status, begun.header)
		}
		own, _, _ := strings.Cut(set, ";")
		got = p.send(t, "GET", callbackPath+"?state=s&code=c", nil, "Cookie", own, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
		for _, set := range got.header.Values("Set-Cookie") {
			if strings.HasPrefix(set, auth.CookieName+"=") {
				session, _, _ = strings.Cut(set, ";")
			}
		}
		return session, got
	}
	var me sessionBody
	session, got := logIn()
	if got.status != http.StatusSeeOther || got.header.Get("Location") != "/" {
		t.Fatalf("%d %v", got.status, got.header)
	}
	p.send(t, "GET", "/api/v1/session", nil, "Cookie", session).decode(t, &me)
	if me.User != "li" || me.Role != auth.Dispatcher || len(me.Sites) != 1 || me.Sites[0] != "gate-7" {
		t.Errorf("%+v", me)
	}
	first := me.ID
	// The same subject is the same user, with the role that the provider says now.
	idp.identity.Name, idp.identity.Role, idp.identity.Scope = "li.wei", auth.Monitor, scope.All()
	session, _ = logIn()
	p.send(t, "GET", "/api/v1/session", nil, "Cookie", session).decode(t, &me)
	if me.ID != first || me.User != "li" || me.Role != auth.Monitor || me.Sites != nil {
		t.Errorf("%+v", me)
	}
	refused := func(what, code string) {
		t.Helper()
		if session, got := logIn(); session != "" || got.header.Get("Location") != "/?refused="+code {
			t.Errorf("%s: session %q, %v", what, session, got.header)
		}
	}
	if err := p.people.SetDisabled(t.Context(), "test", "li", true); err != nil {
		t.Fatal(err)
	}
	refused("a disabled user", "oidc_user_disabled")
	// Another subject does not become a user of that name.
	idp.identity.Subject, idp.identity.Name = "https://idp.example 2", "li"
	refused("another subject with the name of a user", "user_exists")
	idp.err = problem.New("oidc_role_missing")
	refused("a user without a role", "oidc_role_missing")
	if got := p.send(t, "GET", callbackPath+"?state=s&code=c", nil); got.header.Get("Location") != "/?refused=oidc_refused" {
		t.Errorf("without the cookie of the log-in: %v", got.header)
	}
	if got := p.send(t, "GET", callbackPath+"?error=access_denied", nil); got.header.Get("Location") != "/?refused=oidc_refused" {
		t.Errorf("refused by the provider: %v", got.header)
	}
}
