package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gridpost/hub/internal/auth"
)

func TestRemoteBehindATerminator(t *testing.T) {
	for name, c := range map[string]struct {
		from    string
		headers []string
		want    remote
	}{
		"direct":                       {"192.0.2.7:40000", nil, remote{address: "192.0.2.7:40000"}},
		"a stranger who claims things": {"192.0.2.7:40000", []string{"X-Forwarded-For", "203.0.113.9", "X-Forwarded-Proto", "https"}, remote{address: "192.0.2.7:40000"}},
		"a terminator here":            {"127.0.0.1:40000", []string{"X-Forwarded-For", "203.0.113.9", "X-Forwarded-Proto", "https"}, remote{"203.0.113.9", true}},
		"by IPv6":                      {"[::1]:40000", []string{"X-Forwarded-For", "2001:db8::9", "X-Forwarded-Proto", "https"}, remote{"2001:db8::9", true}},
		"a claim before it":            {"127.0.0.1:40000", []string{"X-Forwarded-For", "198.51.100.1, 203.0.113.9"}, remote{address: "203.0.113.9"}},
		"a claim in a line of its own": {"127.0.0.1:40000", []string{"X-Forwarded-For", "198.51.100.1", "X-Forwarded-For", "203.0.113.9"}, remote{address: "203.0.113.9"}},
		"no address":                   {"127.0.0.1:40000", []string{"X-Forwarded-For", "unknown"}, remote{address: "127.0.0.1:40000"}},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.from
		for i := 0; i < len(c.headers); i += 2 {
			r.Header.Add(c.headers[i], c.headers[i+1])
		}
		if got := remoteOf(r); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestCookieOverHTTPS: a browser that came by HTTPS keeps the session for HTTPS alone.
func TestCookieOverHTTPS(t *testing.T) {
	p := newPort(t)
	if _, err := p.auth.AddUser(t.Context(), "test", "li", "long enough", auth.Dispatcher); err != nil {
		t.Fatal(err)
	}
	in := map[string]string{"user": "li", "password": "long enough"}
	for proto, secure := range map[string]bool{"https": true, "http": false} {
		got := p.send(t, "POST", "/api/v1/session", in, "X-Forwarded-Proto", proto)
		if set := got.header.Get("Set-Cookie"); got.status != 200 || strings.Contains(set, "; Secure") != secure {
			t.Errorf("by %s: %d %q", proto, got.status, set)
		}
	}
}
