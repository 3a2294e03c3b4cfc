package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"gridpost/hub/internal/announce"
	"gridpost/hub/internal/auth"
)

// concrete puts names into a route's wildcards.
func concrete(route string) (method, path string) {
	method, path, _ = strings.Cut(route, " ")
	for _, wild := range []string{"{id}", "{name}", "{edge}", "{device}", "{incident}"} {
		path = strings.ReplaceAll(path, wild, "x")
	}
	return method, path
}

// bare says that a refusal tells nothing but its status.
func bare(t *testing.T, what string, got answer, want int) {
	t.Helper()
	if got.status != want {
		t.Errorf("%s: %d, want %d: %s", what, got.status, want, got.body)
		return
	}
	if got.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s: content type %q", what, got.header.Get("Content-Type"))
	}
	var body map[string]any
	if err := json.Unmarshal(got.body, &body); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	for key := range body {
		if key != "title" && key != "status" {
			t.Errorf("%s: the refusal has %s: %s", what, key, got.body)
		}
	}
}

// TestEveryRouteIsGuarded goes through the description, so that a new route cannot be forgotten.
func TestEveryRouteIsGuarded(t *testing.T) {
	p := newPort(t)
	free := map[string]bool{
		"GET /healthz": true, "GET /readyz": true, "POST /api/v1/session": true, "GET /api/v1/session/ways": true,
		"GET " + oidcPath: true, "GET " + callbackPath: true, "GET " + announce.SchemaPath: true,
	}
	guarded := 0
	for route, op := range p.routes(t) {
		method, path := concrete(route)
		if free[route] {
			if got := p.send(t, method, path, nil); got.status == http.StatusUnauthorized || got.status == http.StatusForbidden {
				t.Errorf("%s without credentials: %d", route, got.status)
			}
			continue
		}
		guarded++
		for name, header := range map[string][]string{
			"no credentials":                         nil,
			"a wrong token":                          {"Authorization", "Bearer gp_wrong"},
			"a wrong scheme":                         {"Authorization", "Basic eDp5"},
			"a wrong cookie":                         {"Cookie", auth.CookieName + "=x"},
			"a right cookie name and an empty token": {"Authorization", "Bearer ", "Cookie", auth.CookieName + "=x"},
		} {
			bare(t, route+" with "+name, p.send(t, method, path, nil, header...), http.StatusUnauthorized)
		}
		for i, role := range []auth.Role{auth.Dispatcher, auth.Administrator} {
			if strings.Contains(op.Description, "Needs the role "+string(role)) {
				below := []auth.Role{auth.Monitor, auth.Dispatcher}[i]
				bare(t, route+" as "+string(below), p.call(t, below, method, path, nil), http.StatusForbidden)
			}
		}
	}
	if guarded < 30 {
		t.Errorf("only %d guarded routes were found", guarded)
	}
	for _, path := range []string{"/api/v1/none", "/none", "/whip", "/debug/pprof/", "/docs", "/schemas/x.json", "/openapi.yaml"} {
		bare(t, path, p.send(t, "GET", path, nil), http.StatusUnauthorized)
		if got := p.call(t, auth.Administrator, "GET", path, nil); got.status != http.StatusNotFound {
			t.Errorf("%s as administrator: %d", path, got.status)
		}
	}
	if got := p.call(t, auth.Administrator, "PUT", "/api/v1/incidents", nil); got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") == "" {
		t.Errorf("PUT of a list: %d, Allow %q", got.status, got.header.Get("Allow"))
	}
}

func TestLeastRoles(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	for _, c := range []struct {
		role   auth.Role
		method string
		path   string
		want   int
	}{
		{auth.Monitor, "GET", "/api/v1/incidents", 200},
		{auth.Monitor, "GET", "/api/v1/evidence/" + incidentID + "/a.jpg", 200},
		{auth.Monitor, "POST", "/api/v1/incidents/" + incidentID + "/acknowledge", 403},
		{auth.Monitor, "POST", "/api/v1/reports", 403},
		{auth.Monitor, "POST", "/whep/gate-7/yard", 403},
		{auth.Dispatcher, "POST", "/whep/gate-7/yard", 201},
		{auth.Dispatcher, "POST", "/whep/gate-7/river", 404},
		{auth.Dispatcher, "POST", "/whep/gate-7/none", 404},
		{auth.Dispatcher, "POST", "/whep/gate-7/yard?incident=none", 404},
		{auth.Dispatcher, "POST", "/whip/gate-7/yard", 403},
		{auth.Administrator, "POST", "/whip/gate-7/yard", 201},
		{auth.Administrator, "POST", "/whip/Gate/yard", 404},
		{auth.Administrator, "POST", "/whip/gate-7/none", 404},
		{auth.Administrator, "POST", "/whip/gate-7/river", 404},
		{auth.Dispatcher, "GET", "/api/v1/users", 403},
		{auth.Dispatcher, "GET", "/api/v1/views", 403},
		{auth.Administrator, "GET", "/api/v1/views", 200},
	} {
		if got := p.call(t, c.role, c.method, c.path, nil); got.status != c.want {
			t.Errorf("%s %s as %s: %d, want %d", c.method, c.path, c.role, got.status, c.want)
		}
	}
	p.call(t, auth.Dispatcher, "POST", "/whep/gate-7/yard?incident="+incidentID+"&reason=a%0Alook", nil)
	if got := p.media.asked[len(p.media.asked)-1]; got != "whep gate-7 yard token dispatcher "+incidentID+" a look" {
		t.Errorf("the relay was asked for %q", got)
	}
}

func TestLargeBodies(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	large := strings.Repeat("x", maxInput)
	for path, body := range map[string]any{
		"/api/v1/session": map[string]string{"user": large},
		"/api/v1/reports": map[string]string{"title": large},
		"/api/v1/incidents/" + incidentID + "/notes": map[string]string{"text": large},
		"/api/v1/users":     map[string]string{"name": large},
		"/whip/gate-7/yard": bytes.Repeat([]byte("x"), maxOffer+1),
		"/whep/gate-7/yard": bytes.Repeat([]byte("x"), maxOffer+1),
	} {
		if got := p.call(t, auth.Administrator, "POST", path, body); got.status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

func TestLogInAndOut(t *testing.T) {
	p := newPort(t)
	if _, err := p.auth.AddUser(t.Context(), "test", "li", "long enough", auth.Dispatcher); err != nil {
		t.Fatal(err)
	}
	in := map[string]string{"user": "li", "password": "long enough"}
	bare(t, "a wrong password", p.send(t, "POST", "/api/v1/session", map[string]string{"user": "li", "password": "wrong one"}), http.StatusUnauthorized)
	bare(t, "from another site", p.send(t, "POST", "/api/v1/session", in, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden)
	got := p.send(t, "POST", "/api/v1/session", in)
	if got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	set := got.header.Get("Set-Cookie")
	for _, want := range []string{auth.CookieName + "=", "HttpOnly", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(set, want) {
			t.Errorf("cookie %q lacks %s", set, want)
		}
	}
	cookie, _, _ := strings.Cut(set, ";")
	var me sessionBody
	p.send(t, "GET", "/api/v1/session", nil, "Cookie", cookie).decode(t, &me)
	if me.User != "li" || me.Role != auth.Dispatcher || me.Expires == nil {
		t.Errorf("%+v", me)
	}
	bare(t, "a deed from another site", p.send(t, "POST", "/api/v1/reports", map[string]string{"title": "x"}, "Cookie", cookie, "Origin", "https://evil.example"), http.StatusForbidden)
	if got := p.send(t, "POST", "/api/v1/reports", map[string]string{"title": "x"}, "Cookie", cookie, "Origin", p.URL); got.status != http.StatusCreated {
		t.Errorf("a deed from the page itself: %d %s", got.status, got.body)
	}
	if got := p.send(t, "DELETE", "/api/v1/session", nil, "Cookie", cookie); got.status != http.StatusNoContent {
		t.Errorf("logging out: %d %s", got.status, got.body)
	}
	bare(t, "after logging out", p.send(t, "GET", "/api/v1/session", nil, "Cookie", cookie), http.StatusUnauthorized)
	for range 5 {
		p.send(t, "POST", "/api/v1/session", map[string]string{"user": "li", "password": "wrong one"})
	}
	if got := p.send(t, "POST", "/api/v1/session", in); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("after many failures: %d %v", got.status, got.header)
	}
}

func TestTheConsolesFiles(t *testing.T) {
	p := newPort(t)
	for path, kind := range map[string]string{"/": "text/html; charset=utf-8", "/app.js": "text/javascript; charset=utf-8"} {
		got := p.send(t, "GET", path, nil)
		if got.status != http.StatusOK || got.header.Get("Content-Type") != kind || got.header.Get("Content-Security-Policy") != "default-src 'self'" ||
			got.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
		if again := p.send(t, "GET", path, nil, "If-None-Match", got.header.Get("ETag")); again.status != http.StatusNotModified {
			t.Errorf("%s again: %d", path, again.status)
		}
	}
	got := p.call(t, auth.Monitor, "GET", "/api/v1/incidents", nil)
	if got.header.Get("Cache-Control") != "no-store" || !strings.Contains(got.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%v", got.header)
	}
}
