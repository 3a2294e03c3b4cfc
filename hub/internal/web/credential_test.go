package web

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/api/public"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/credential"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
)

const someRelay = "https://relay.example"

// liveAt asks where the yard is watched.
func (p *port) liveAt(t *testing.T, header ...string) public.LiveSource {
	t.Helper()
	got := p.send(t, "GET", "/api/v1/devices/gate-7/yard/live?reason=a+look", nil, header...)
	if got.status != http.StatusOK || got.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s, Cache-Control %q", got.status, got.body, got.header.Get("Cache-Control"))
	}
	var source public.LiveSource
	got.decode(t, &source)
	return source
}

func bearer(text string) []string { return []string{"Authorization", "Bearer " + text} }

func TestWhereACameraIsWatched(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	who := bearer(p.tokens[auth.Dispatcher])
	if got := p.liveAt(t, who...); got != (public.LiveSource{WHEP: "/whep/gate-7/yard?reason=a+look", FMP4: "/api/v1/live/gate-7/yard?reason=a+look"}) {
		t.Errorf("at the hub: %+v", got)
	}
	p.relays = map[string]string{"gate-7": someRelay}
	got := p.liveAt(t, who...)
	if got.WHEP != someRelay+"/whep/gate-7/yard?reason=a+look" || got.FMP4 != someRelay+"/api/v1/live/gate-7/yard?reason=a+look" || got.Credential == nil || got.Expires == nil {
		t.Fatalf("at a relay: %+v", got)
	}
	if left := time.Until(*got.Expires); left < time.Minute || left > 2*time.Minute {
		t.Errorf("the credential is valid for %s", left)
	}
	if got := p.send(t, "GET", "/api/v1/devices/gate-7/river/live", nil, who...); got.status != http.StatusNotFound {
		t.Errorf("of a sensor: %d", got.status)
	}
}

// TestCredentialsAreForTheirRoutesAndCamera walks the table of routes: a credential admits to the routes of its use, for
// its camera, and to nothing else.
func TestCredentialsAreForTheirRoutesAndCamera(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	p.inventory(t, api.Inventory{Version: "1", Devices: []api.Device{{Name: "yard", Kind: devices.Camera}, {Name: "hall", Kind: devices.Camera}}})
	serial := p.certificate(t)
	p.relays = map[string]string{"gate-7": someRelay}
	view := *p.liveAt(t, bearer(p.tokens[auth.Dispatcher])...).Credential
	publish, _ := p.credentials.Issue(credential.Claims{Use: credential.Publish, Edge: "gate-7", Device: "yard", Principal: "edge:gate-7", Certificate: serial})
	byUse := map[credential.Use]int{}
	for _, r := range routes() {
		byUse[r.by]++
		path := strings.NewReplacer("{id}", "x", "{name}", "x", "{edge}", "gate-7", "{device}", "yard", "{incident}", "x").Replace(r.path)
		path += "?reason=a+look"
		other := strings.Replace(path, "yard", "hall", 1)
		for use, text := range map[credential.Use]string{credential.View: view, credential.Publish: publish} {
			got := p.send(t, r.method, path, nil, bearer(text)...)
			switch {
			case r.need == "":
				if got.status == http.StatusForbidden {
					t.Errorf("%s with a credential for %s: %d", r.pattern(), use, got.status)
				}
			case r.by != use:
				bare(t, r.pattern()+" with a credential for "+string(use), got, http.StatusUnauthorized)
			case got.status != http.StatusCreated: // by the relay of the test
				t.Errorf("%s with a credential for it: %d %s", r.pattern(), got.status, got.body)
			default:
				bare(t, r.pattern()+" of another camera", p.send(t, r.method, other, nil, bearer(text)...), http.StatusForbidden)
			}
		}
	}
	if byUse[credential.View] != 8 || byUse[credential.Publish] != 7 {
		t.Errorf("routes by use: %v", byUse)
	}
	bare(t, "another stream", p.send(t, "POST", "/whip/gate-7/yard?stream=sub", nil, bearer(publish)...), http.StatusForbidden)
	if !slices.Contains(p.media.asked, "whip gate-7 yard") || !slices.Contains(p.media.asked, "whep gate-7 yard token dispatcher  a look") {
		t.Errorf("the relay was asked for %q", p.media.asked)
	}
}

// certificate gives gate-7 a certificate and returns its serial number.
func (p *port) certificate(t *testing.T) string {
	t.Helper()
	p.update(t, func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO edge_certificates(serial, edge, issued_at, not_after, first_used_at) VALUES ('1f', 'gate-7', 1, ?, 1)`, db.Millis(time.Now().Add(time.Hour)))
		return err
	})
	return "1f"
}

func TestCredentialsExpire(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	serial := p.certificate(t)
	p.relays = map[string]string{"gate-7": someRelay}
	view := *p.liveAt(t, bearer(p.tokens[auth.Dispatcher])...).Credential
	publish, _ := p.credentials.Issue(credential.Claims{Use: credential.Publish, Edge: "gate-7", Device: "yard", Principal: "edge:gate-7", Certificate: serial})
	p.ahead = credential.Life
	for text, path := range map[string]string{view: "/whep/gate-7/yard?reason=a+look", publish: "/whip/gate-7/yard"} {
		bare(t, path+" after the expiry", p.send(t, "POST", path, nil, bearer(text)...), http.StatusUnauthorized)
		path, _, _ = strings.Cut(path, "?")
		if got := p.send(t, "DELETE", path+"/x", nil, bearer(text)...); got.status != http.StatusCreated { // by the relay of the test
			t.Errorf("%s/x after the expiry: %d", path, got.status)
		}
	}
}

// TestCredentialsEndWithTheAccess: what a credential stands for is looked up at each request.
func TestCredentialsEndWithTheAccess(t *testing.T) {
	const watch = "/whep/gate-7/yard?reason=a+look"
	type subject struct {
		header []string // who asks where the camera is watched
		end    func(ctx context.Context, p *port) error
		want   int
	}
	session := func(t *testing.T, p *port, name string) []string {
		t.Helper()
		if _, err := p.auth.AddUser(t.Context(), "test", name, "seven green herons wade", auth.Dispatcher); err != nil {
			t.Fatal(err)
		}
		got := p.send(t, "POST", "/api/v1/session", map[string]string{"user": name, "password": "seven green herons wade"})
		cookie, _, _ := strings.Cut(got.header.Get("Set-Cookie"), ";")
		return []string{"Cookie", cookie}
	}
	for name, make := range map[string]func(*testing.T, *port) subject{
		"user disabled": func(t *testing.T, p *port) subject {
			return subject{session(t, p, "li"), func(ctx context.Context, p *port) error {
				return p.people.SetDisabled(ctx, "test", "li", true)
			}, http.StatusUnauthorized}
		},
		"user demoted": func(t *testing.T, p *port) subject {
			return subject{session(t, p, "li"), func(ctx context.Context, p *port) error {
				return p.people.SetRole(ctx, "test", "li", string(auth.Monitor))
			}, http.StatusForbidden}
		},
		"out of scope": func(t *testing.T, p *port) subject {
			return subject{session(t, p, "li"), func(ctx context.Context, p *port) error {
				return p.people.SetScope(ctx, "test", "li", scope.Sites("port"))
			}, http.StatusNotFound}
		},
		"logged out": func(t *testing.T, p *port) subject {
			header := session(t, p, "li")
			return subject{header, func(context.Context, *port) error {
				if got := p.send(t, "DELETE", "/api/v1/session", nil, header...); got.status != http.StatusNoContent {
					t.Errorf("logging out: %d", got.status)
				}
				return nil
			}, http.StatusUnauthorized}
		},
		"token revoked": func(t *testing.T, p *port) subject {
			text, token, err := p.auth.CreateToken(t.Context(), auth.NewToken{By: "test", Name: "robot", Role: auth.Dispatcher})
			if err != nil {
				t.Fatal(err)
			}
			return subject{bearer(text), func(ctx context.Context, p *port) error { return p.people.RevokeToken(ctx, "test", token.ID) }, http.StatusUnauthorized}
		},
		"edge revoked": func(*testing.T, *port) subject {
			return subject{nil, func(ctx context.Context, p *port) error { return p.edges.Revoke(ctx, "test", "gate-7") }, http.StatusForbidden}
		},
		"edge replaced": func(*testing.T, *port) subject {
			return subject{nil, func(_ context.Context, p *port) error {
				p.update(t, func(tx *db.Tx) error {
					_, err := tx.Exec(`DELETE FROM edge_certificates WHERE edge = 'gate-7'`)
					return err
				})
				return nil
			}, http.StatusForbidden}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPort(t)
			p.fill(t)
			serial := p.certificate(t)
			p.relays = map[string]string{"gate-7": someRelay}
			s := make(t, p)
			method, path := "POST", watch
			var text string
			if s.header != nil {
				text = *p.liveAt(t, s.header...).Credential
			} else {
				path = "/whip/gate-7/yard"
				text, _ = p.credentials.Issue(credential.Claims{Use: credential.Publish, Edge: "gate-7", Device: "yard", Principal: "edge:gate-7", Certificate: serial})
			}
			if got := p.send(t, method, path, nil, bearer(text)...); got.status != http.StatusCreated {
				t.Fatalf("before: %d %s", got.status, got.body)
			}
			if err := s.end(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			if got := p.send(t, method, path, nil, bearer(text)...); got.status != s.want {
				t.Errorf("after: %d %s, want %d", got.status, got.body, s.want)
			}
			if s.want == http.StatusNotFound {
				return // sessions are their beginner's own, and their leases end
			}
			session, _, _ := strings.Cut(path, "?")
			bare(t, "a session that has begun", p.send(t, "DELETE", session+"/x", nil, bearer(text)...), s.want)
		})
	}
}
