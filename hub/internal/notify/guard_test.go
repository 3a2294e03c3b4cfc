package notify

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"gridpost/hub/internal/problem"
)

func TestPublic(t *testing.T) {
	for _, s := range []string{"8.8.8.8", "1.1.1.1", "223.5.5.5", "2400:3200::1", "2a00:1450:4001:80b::200e", "::ffff:8.8.8.8"} {
		if !public(netip.MustParseAddr(s)) {
			t.Errorf("%s is public", s)
		}
	}
	for _, s := range []string{
		"127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "10.0.0.5", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
		"100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "fec0::1", "2001:db8::1", "2001::1", "2002:7f00:1::",
		"64:ff9b::7f00:1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "100::1",
	} {
		if public(netip.MustParseAddr(s)) {
			t.Errorf("%s is not public", s)
		}
	}
}

func TestCheckURL(t *testing.T) {
	for _, c := range []struct {
		url          string
		allow        bool
		wantFragment string
	}{
		{"https://receiver.example/alerts?key=1", false, ""},
		{"https://8.8.8.8:8443/", false, ""},
		{"http://10.0.0.5/alerts", true, ""},
		{"http://receiver.example/", false, "https://"},
		{"ftp://receiver.example/", true, "https://"},
		{"https://user:s3cret@receiver.example/", false, "without a user name"},
		{"https://receiver.example/#s3cret", false, "without #"},
		{"https://127.0.0.1/", false, "inside the network"},
		{"https://[::1]:8443/", false, "inside the network"},
		{"https://[::ffff:10.0.0.1]/", false, "inside the network"},
		{"https://169.254.169.254/latest/meta-data", false, "inside the network"},
		{"https:///alerts", false, "such as"},
		{"https:s3cret", false, "such as"},
		{"s3cret", false, "such as"},
		{"https://s3cret:pa/ss@receiver.example/", false, "such as"},
		{"https://receiver.example:99999/", false, "port"},
		{"https://receiver.example/" + strings.Repeat("s3cret", 400), false, "2000"},
	} {
		err := CheckURL(c.url, c.allow)
		switch {
		case c.wantFragment == "" && err != nil:
			t.Errorf("%s: %v", c.url, err)
		case c.wantFragment != "" && (err == nil || !strings.Contains(err.Error(), c.wantFragment)):
			t.Errorf("%s: %v, expected a word about %q", c.url, err, c.wantFragment)
		case err != nil && strings.Contains(err.Error(), "s3cret"):
			t.Errorf("%s: the error tells too much: %v", c.url, err)
		}
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"https://receiver.example/a", "https://127.0.0.1/", "https://[::1%25lo]/", "https://0x7f.1/", "https://2130706433/", "//x", "https://a@b:1#c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if CheckURL(s, false) != nil {
			return
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Hostname() == "" {
			t.Fatalf("accepted %q", s)
		}
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !public(ip) {
			t.Fatalf("accepted %q", s)
		}
	})
}

// nameServer answers every question for an address with 127.0.0.1, as somebody who wants to
// reach into the hub's network would.
func nameServer(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Header.Response, m.Additionals = true, nil
			if q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
					Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
				}}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(out, from) // a lost answer is asked for again
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// attemptAt makes one attempt over real sockets.
func attemptAt(t *testing.T, o Options, url string) Outcome {
	t.Helper()
	o.Queue, o.Logger, o.Timeout = newQueue(), slog.New(slog.DiscardHandler), 5*time.Second
	n := New(o)
	defer n.client.CloseIdleConnections()
	target := Target{ID: "a", URL: url, Secrets: []string{testSecret("a")}}
	out, ok := n.attempt(t.Context(), webhookChannel{n, target}, Delivery{ID: "msg_1", Target: "a", Alert: alert(1, "inc-1", Opened)}, nil)
	if !ok {
		t.Fatal("the attempt does not count")
	}
	return out
}

// counted is a server that counts what reaches it, connections included.
func counted(t *testing.T, tls bool, h http.HandlerFunc) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			n.Add(1)
		}
	}
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if tls {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return srv, &n
}

func TestGuardRefusesNamesThatPointInside(t *testing.T) {
	srv, n := counted(t, true, func(http.ResponseWriter, *http.Request) {})
	port := strings.TrimPrefix(srv.URL, "https://127.0.0.1:")
	for _, host := range []string{"localhost", "receiver.example", "127.0.0.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"} {
		o := Options{}
		if host == "receiver.example" {
			o.resolver = nameServer(t)
		}
		out := attemptAt(t, o, "https://"+host+":"+port+"/")
		if out.State != Pending || out.Status != 0 || !strings.Contains(out.Cause.Text, "inside the network") {
			t.Errorf("%s: %+v", host, out)
		}
	}
	if got := n.Load(); got != 0 {
		t.Errorf("%d connections reached the server inside the network", got)
	}
}

func TestAllowedInside(t *testing.T) {
	r := &receiver{}
	srv, _ := counted(t, false, r.ServeHTTP)
	if out := attemptAt(t, Options{AllowPrivate: true}, srv.URL); out.State != Delivered || out.Status != http.StatusNoContent {
		t.Errorf("%+v", out)
	}
	g := r.requests()[0]
	if err := verify(testSecret("a"), g.header, g.body, g.at); err != nil {
		t.Error(err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	inside, n := counted(t, false, func(http.ResponseWriter, *http.Request) {})
	for _, code := range []int{301, 302, 303, 307, 308} {
		srv, _ := counted(t, false, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, inside.URL+"/login?token=s3cret", code)
		})
		out := attemptAt(t, Options{AllowPrivate: true}, srv.URL)
		if out.State != Pending || out.Status != code || out.Cause.Code != "delivery_redirect" ||
			out.Cause.Params["location"] != inside.URL || strings.Contains(out.Cause.Text, "s3cret") {
			t.Errorf("%d: %+v", code, out)
		}
	}
	if got := n.Load(); got != 0 {
		t.Errorf("%d redirects were followed", got)
	}
}

func TestNoProxyDialsForTheGuard(t *testing.T) {
	proxy, n := counted(t, false, func(http.ResponseWriter, *http.Request) {})
	t.Setenv("HTTPS_PROXY", proxy.URL)
	t.Setenv("HTTP_PROXY", proxy.URL)
	out := attemptAt(t, Options{resolver: nameServer(t)}, "https://receiver.example/")
	if n.Load() != 0 || !strings.Contains(out.Cause.Text, "inside the network") {
		t.Errorf("%d connections to the proxy, %+v", n.Load(), out)
	}
}

func TestCauses(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	selfSigned, _ := counted(t, true, func(http.ResponseWriter, *http.Request) {})
	endless, _ := counted(t, false, func(w http.ResponseWriter, _ *http.Request) {
		junk := make([]byte, 64<<10)
		for {
			if _, err := w.Write(junk); err != nil {
				return
			}
		}
	})
	for _, c := range []struct {
		url, cause string
		state      State
	}{
		{"http://" + refused + "/s3cret", "nothing answers at " + refused + " (connection refused)", Pending},
		{selfSigned.URL + "/s3cret", "the target's certificate is not accepted", Pending},
		{endless.URL, "", Delivered}, // the status is the answer, its body is cut
	} {
		out := attemptAt(t, Options{AllowPrivate: true}, c.url)
		if out.State != c.state || !strings.HasPrefix(out.Cause.Text, c.cause) || strings.Contains(out.Cause.Text, "s3cret") {
			t.Errorf("%s: %+v", c.url, out)
		}
	}
}

func TestSecrets(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		s := NewSecret()
		if err := CheckSecret(s); err != nil || seen[s] {
			t.Fatalf("%v, or the same secret twice", err)
		}
		seen[s] = true
	}
	for _, s := range []string{"", "whsec_", "whsec_c2hvcnQ=", "whsec_!", strings.TrimPrefix(NewSecret(), "whsec_"), NewSecret() + "x"} {
		if err := CheckSecret(s); !errors.Is(err, problem.New("target_secret_invalid")) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// TestKnownSignature holds the signer against a value made with OpenSSL:
// printf '%s' 'msg_1.1614265330.{"test": 1}' | openssl dgst -sha256 -hmac 'an octet string of 32 bytes long' -binary | base64
func TestKnownSignature(t *testing.T) {
	h := http.Header{}
	// The base64 of "an octet string of 32 bytes long".
	secret := "whsec_YW4gb2N0ZXQgc3RyaW5nIG9mIDMyIGJ5dGVzIGxvbmc="
	if err := sign(h, "msg_1", time.Unix(1614265330, 0), []byte(`{"test": 1}`), []string{secret}); err != nil {
		t.Fatal(err)
	}
	if got, want := h.Get("webhook-signature"), "v1,xSSiu/w8ncIZfDnVD7atT9mV7Bj9BAvNaMhZ62srx7E="; got != want {
		t.Errorf("signature %s, expected %s", got, want)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "120", "-5", "1e9", "99999999999999999999", "Wed, 21 Oct 2065 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 GMT"} {
		f.Add(s)
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, s string) {
		if d := parseRetryAfter(s, now); d < 0 || d > LongestPause {
			t.Errorf("%q: %s", s, d)
		}
	})
}
