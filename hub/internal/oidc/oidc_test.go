package oidc

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/scope"
)

// idp is an OpenID Connect provider: it confirms whoever comes with the claims that a test sets.
type idp struct {
	*httptest.Server
	key *rsa.PrivateKey

	mu     sync.Mutex
	claims map[string]any     // of the next ID token; override those that belong to the log-in
	codes  map[string]request // by code
}

// request is a log-in at the provider.
type request struct{ challenge, nonce, redirect string }

func newIDP(t *testing.T) *idp {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &idp{key: key, codes: map[string]request{}}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		was, ok := p.codes[r.FormValue("code")]
		delete(p.codes, r.FormValue("code"))
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		_, secret, _ := r.BasicAuth()
		if !ok || was.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) || was.redirect != r.FormValue("redirect_uri") || secret != "sesame" {
			answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
			return
		}
		token, err := p.sign(was.nonce)
		if err != nil {
			t.Error(err)
		}
		answer(w, http.StatusOK, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": token})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// sign returns an ID token. p.mu is held.
func (p *idp) sign(nonce string) (string, error) {
	claims := map[string]any{
		"iss": p.URL, "sub": "s-1", "aud": "hub", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "nonce": nonce,
		"preferred_username": "li", "groups": []string{"staff", "north"},
	}
	for k, v := range p.claims {
		claims[k] = v
	}
	text, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: p.key, KeyID: "k"}}, nil)
	if err != nil {
		return "", err
	}
	signed, err := s.Sign(text)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// visit does what a browser does at the provider: it returns the code and the state that the provider sends it back with.
func (p *idp) visit(t *testing.T, to string) (code, state string) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Path != "/authorize" || q.Get("response_type") != "code" || q.Get("client_id") != "hub" || q.Get("code_challenge_method") != "S256" {
		t.Errorf("the browser is sent to %s", to)
	}
	code = rand.Text()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[code] = request{q.Get("code_challenge"), q.Get("nonce"), q.Get("redirect_uri")}
	return code, q.Get("state")
}

func (p *idp) set(claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims = claims
}

func provider(p *idp) *Provider {
	c := Defaults()
	c.Issuer, c.ClientID = p.URL, "hub"
	c.Roles = []Mapping{{Value: "admins", Role: "administrator"}, {Value: "north", Role: "dispatcher", Sites: []string{"gate-7"}}}
	return New(Options{Config: c, Secret: "sesame", Client: p.Client(), Redirect: func() string { return "https://hub.example/callback" }})
}

func TestLogIn(t *testing.T) {
	p := newIDP(t)
	o := provider(p)
	log := func(claims map[string]any) (auth.Identity, error) {
		p.set(claims)
		secret := Secret()
		to, err := o.Begin(t.Context(), secret)
		if err != nil {
			t.Fatal(err)
		}
		code, state := p.visit(t, to)
		return o.Finish(t.Context(), secret, state, code)
	}
	want := auth.Identity{Subject: p.URL + " s-1", Name: "li", Role: auth.Dispatcher, Scope: scope.Sites("gate-7")}
	got, err := log(nil)
	if err != nil || got.Subject != want.Subject || got.Name != want.Name || got.Role != want.Role || !got.Scope.Equal(want.Scope) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if got, err := log(map[string]any{"groups": "admins"}); err != nil || got.Role != auth.Administrator || !got.Scope.IsAll() {
		t.Errorf("an administrator: %+v, %v", got, err)
	}
	for name, c := range map[string]struct {
		claims map[string]any
		code   string
	}{
		"no role":             {map[string]any{"groups": []string{"staff"}}, "oidc_role_missing"},
		"no groups":           {map[string]any{"groups": nil}, "oidc_role_missing"},
		"another client's":    {map[string]any{"aud": "other"}, "oidc_refused"},
		"another issuer's":    {map[string]any{"iss": "https://evil.example"}, "oidc_refused"},
		"expired":             {map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, "oidc_refused"},
		"another nonce":       {map[string]any{"nonce": "x"}, "oidc_refused"},
		"a name of a program": {map[string]any{"preferred_username": "token x"}, "name_characters"},
	} {
		if got, err := log(c.claims); !errors.Is(err, problem.New(c.code)) {
			t.Errorf("%s: %+v, %v; want %s", name, got, err, c.code)
		}
	}
}

// TestForgedLogIns: a code works once, and only in the browser that began the log-in.
func TestForgedLogIns(t *testing.T) {
	p := newIDP(t)
	o := provider(p)
	secret, other := Secret(), Secret()
	to, err := o.Begin(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	code, state := p.visit(t, to)
	refused := problem.New("oidc_refused")
	for name, c := range map[string][3]string{
		"no cookie":        {"", state, code},
		"another browser":  {other, state, code},
		"no state":         {secret, "", code},
		"an invented code": {secret, state, "x"},
	} {
		if _, err := o.Finish(t.Context(), c[0], c[1], c[2]); !errors.Is(err, refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// With the state of its own log-in, another browser lacks the verifier of the code.
	mine, err := o.Begin(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	_, own := p.visit(t, mine)
	if _, err := o.Finish(t.Context(), other, own, code); !errors.Is(err, refused) {
		t.Errorf("another's code: %v", err)
	}
	code, state = p.visit(t, to)
	if _, err := o.Finish(t.Context(), secret, state, code); err != nil {
		t.Error(err)
	}
	if _, err := o.Finish(t.Context(), secret, state, code); !errors.Is(err, refused) {
		t.Errorf("the code again: %v", err)
	}
}

// TestProviderComesLater: a provider that does not answer is a refusal, and is asked again at the next log-in.
func TestProviderComesLater(t *testing.T) {
	p := newIDP(t)
	o := provider(p)
	o.o.Client = &http.Client{Transport: &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return nil, errors.New("no route") }}}
	if _, err := o.Begin(t.Context(), Secret()); !errors.Is(err, problem.New("oidc_unavailable")) {
		t.Errorf("%v", err)
	}
	o.o.Client = p.Client()
	if _, err := o.Begin(t.Context(), Secret()); err != nil {
		t.Error(err)
	}
}
