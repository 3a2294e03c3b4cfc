// Package oidc logs users in by an OpenID Connect provider: authorization code flow with PKCE, state and nonce
// (OpenID Connect Core 1.0, RFC 7636).
//
// A log-in stores nothing at the hub: the browser holds one secret in a cookie, from which state, nonce and code
// verifier are derived. So any hub on one database can finish what another one began. The provider is
// discovered at the first log-in, so that a hub starts without it.
package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/names"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/scope"
)

// Bounds of what strangers can make the hub ask of the provider.
const (
	askLimit = 10 * time.Second // of one request to the provider
	maxAsked = 8                // log-ins that are being finished at the same time
)

// Options of a Provider.
type Options struct {
	Config   Config
	Secret   string        // of the client; empty: a public client
	Redirect func() string // URL of the callback, as the provider knows it
	Client   *http.Client  // nil: a client of its own
}

// Provider is an OpenID Connect provider. Its methods may be called from any goroutine.
type Provider struct {
	o      Options
	found  atomic.Pointer[oidc.Provider]
	flight singleflight.Group
	asking chan struct{}
}

// New returns a provider. It sends nothing.
func New(o Options) *Provider {
	if o.Client == nil {
		o.Client = &http.Client{Timeout: askLimit}
	}
	return &Provider{o: o, asking: make(chan struct{}, maxAsked)}
}

// Name returns what the log-in page calls the provider.
func (p *Provider) Name() string { return p.o.Config.Name }

// Secret returns the secret of a new log-in.
func Secret() string { return rand.Text() + rand.Text() }

// derive returns a value of a log-in. None discloses the secret or another value.
func derive(secret, what string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(what))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// discover returns the provider's description, which is asked for once.
func (p *Provider) discover(ctx context.Context) (*oidc.Provider, error) {
	if found := p.found.Load(); found != nil {
		return found, nil
	}
	v, err, _ := p.flight.Do("", func() (any, error) {
		// The description keeps the context for the provider's keys, which are asked for again when they change.
		found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.o.Client), p.o.Config.Issuer)
		if err != nil {
			return nil, err
		}
		p.found.Store(found)
		return found, nil
	})
	if err != nil {
		return nil, problem.New("oidc_unavailable").BecauseOf(err)
	}
	return v.(*oidc.Provider), nil
}

func (p *Provider) client(found *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.o.Config.ClientID, ClientSecret: p.o.Secret, Endpoint: found.Endpoint(), RedirectURL: p.o.Redirect(),
		Scopes: append([]string{oidc.ScopeOpenID, "profile"}, p.o.Config.Scopes...),
	}
}

// Begin returns where the browser goes to log in. It returns a *problem.Error when the provider does not answer.
func (p *Provider) Begin(ctx context.Context, secret string) (url string, err error) {
	found, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	return p.client(found).AuthCodeURL(derive(secret, "state"), oidc.Nonce(derive(secret, "nonce")),
		oauth2.S256ChallengeOption(derive(secret, "verifier"))), nil
}

// Finish returns who has logged in at the provider. secret is that of Begin; state and code are what the browser came back
// with. It returns a *problem.Error when the log-in is not this browser's, when the provider does not confirm it, or when
// no role belongs to the user.
func (p *Provider) Finish(ctx context.Context, secret, state, code string) (auth.Identity, error) {
	if secret == "" || subtle.ConstantTimeCompare([]byte(state), []byte(derive(secret, "state"))) != 1 {
		return auth.Identity{}, problem.New("oidc_refused", "reason", "the log-in was begun elsewhere or took too long")
	}
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	default:
		return auth.Identity{}, &auth.ThrottledError{After: time.Second}
	}
	found, err := p.discover(ctx)
	if err != nil {
		return auth.Identity{}, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.o.Client), 2*askLimit)
	defer cancel()
	token, err := p.client(found).Exchange(ctx, code, oauth2.VerifierOption(derive(secret, "verifier")))
	if err != nil {
		var refused *oauth2.RetrieveError
		if errors.As(err, &refused) && refused.ErrorCode != "" {
			return auth.Identity{}, problem.New("oidc_refused", "reason", refused.ErrorCode)
		}
		return auth.Identity{}, problem.New("oidc_unavailable").BecauseOf(err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := found.Verifier(&oidc.Config{ClientID: p.o.Config.ClientID}).Verify(ctx, raw)
	if err != nil {
		return auth.Identity{}, problem.New("oidc_refused", "reason", err.Error())
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(derive(secret, "nonce"))) != 1 {
		return auth.Identity{}, problem.New("oidc_refused", "reason", "the nonce is another log-in's")
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return auth.Identity{}, fmt.Errorf("reading an ID token: %w", err)
	}
	return p.o.Config.identity(id.Issuer, id.Subject, claims)
}

// identity reads who the user is, and the role, from the claims of an ID token.
func (c Config) identity(issuer, subject string, claims map[string]any) (auth.Identity, error) {
	name, _ := claims[c.NameClaim].(string)
	if err := names.CheckUser(name); err != nil {
		return auth.Identity{}, err
	}
	id := auth.Identity{Subject: issuer + " " + subject, Name: name}
	have := texts(claims[c.RolesClaim])
	for _, m := range c.Roles { // the first that fits
		if slices.Contains(have, m.Value) {
			id.Role, id.Scope = auth.Role(m.Role), scope.Of(m.Sites)
			return id, nil
		}
	}
	return auth.Identity{}, problem.New("oidc_role_missing", "name", name)
}

// texts returns a claim that is a text or an array of texts.
func texts(claim any) (all []string) {
	switch v := claim.(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			if text, ok := e.(string); ok {
				all = append(all, text)
			}
		}
	}
	return all
}
