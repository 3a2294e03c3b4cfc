package web

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"gridpost/hub/internal/auth"
)

// TestCrossOrigin: a page of a configured origin may use a token, and its preflights need no credentials; its cookies,
// and pages of other origins, are refused.
func TestCrossOrigin(t *testing.T) {
	p := newPort(t)
	p.server.o.Origins = []string{"https://maps.example"}
	const friend, stranger = "https://maps.example", "https://evil.example"
	send := func(method, path, origin string, headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		r.Header.Set("Origin", origin)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		w := httptest.NewRecorder()
		p.server.Handler().ServeHTTP(w, r)
		return w
	}
	preflight := func(origin string) *httptest.ResponseRecorder {
		return send(http.MethodOptions, "/whep/hall/door", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type")
	}
	got := preflight(friend)
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": friend, "Access-Control-Allow-Methods": corsMethods, "Access-Control-Allow-Headers": corsAllowed,
		"Access-Control-Allow-Credentials": "", "Vary": "Origin",
	} {
		if got.Header().Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Header().Get(name), want)
		}
	}
	if got.Code != http.StatusNoContent {
		t.Errorf("a preflight of a configured origin: %d", got.Code)
	}
	if got := preflight(stranger); got.Code < 400 || got.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a preflight of another origin: %d %v", got.Code, got.Header())
	}
	cross := func(origin, header, value string) *httptest.ResponseRecorder {
		return send(http.MethodDelete, "/api/v1/users/none", origin, header, value)
	}
	token := "Bearer " + p.tokens[auth.Administrator]
	if got := cross(friend, "Authorization", token); got.Code != http.StatusNotFound || got.Header().Get("Access-Control-Allow-Origin") != friend {
		t.Errorf("a token from a configured origin: %d %v", got.Code, got.Header())
	}
	if got := cross(stranger, "Authorization", token); got.Code != http.StatusForbidden || got.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a token from another origin: %d %v", got.Code, got.Header())
	}
	if got := cross(friend, "Cookie", auth.CookieName+"=x"); got.Code != http.StatusForbidden {
		t.Errorf("a cookie from a configured origin: %d", got.Code)
	}
}
