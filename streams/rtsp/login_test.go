package rtsp

import (
	"strings"
	"testing"
	"time"

	"gridpost/streams/rtsp/rtsptest"
)

// loginCases are logins that must be accepted. The scripted camera checks the answers as RFC 7616 demands.
func loginCases() map[string]*rtsptest.Auth {
	return map[string]*rtsptest.Auth{
		"RFC 2069":                   {},
		"RFC 2617":                   {Qop: "auth"},
		"MD5 named":                  {Algorithm: "MD5", Qop: "auth"},
		"MD5 named, without qop":     {Algorithm: "MD5"},
		"MD5-sess":                   {Algorithm: "MD5-sess", Qop: "auth"},
		"SHA-256":                    {Algorithm: "SHA-256", Qop: "auth"},
		"SHA-256 without qop":        {Algorithm: "SHA-256"},
		"SHA-256-sess":               {Algorithm: "SHA-256-sess", Qop: "auth"},
		"opaque":                     {Opaque: "a,b=c; d"},
		"opaque and qop":             {Opaque: "x", Qop: "auth"},
		"a realm with commas":        {Realm: "Login to 4K, room 7; x=y", Qop: "auth"},
		"a realm in GBK":             {Realm: "\xc9\xe3\xcf\xf1"},
		"Basic":                      {Algorithm: "Basic"},
		"Basic and digest":           {Challenges: []string{`Basic realm="camera"`, `Digest realm="camera", nonce="{nonce}"`}},
		"digest and Basic":           {Challenges: []string{`Digest realm="camera", nonce="{nonce}", stale="FALSE"`, `Basic realm="camera"`}},
		"two in one line":            {Challenges: []string{`Basic realm="camera", Digest realm="camera", nonce="{nonce}"`}},
		"MD5 and SHA-256":            {Algorithm: "SHA-256", Challenges: []string{`Digest realm="camera", nonce="{nonce}"`, `Digest realm="camera", nonce="{nonce}", algorithm=SHA-256`}},
		"SHA-256 and MD5":            {Algorithm: "SHA-256", Challenges: []string{`Digest realm="camera", nonce="{nonce}", algorithm="SHA-256"`, `Digest realm="camera", nonce="{nonce}"`}},
		"an unknown one and MD5":     {Challenges: []string{`Digest realm="camera", nonce="{nonce}", algorithm=SHA-999`, `Negotiate`, `Digest realm="camera", nonce="{nonce}"`}},
		"values without quotes":      {Qop: "auth", Challenges: []string{`Digest realm=camera, nonce={nonce}, qop=auth`}},
		"blanks everywhere":          {Qop: "auth", Challenges: []string{`Digest  realm = "camera" ,nonce  =  "{nonce}",  qop = "auth" , `}},
		"no blanks":                  {Qop: "auth", Challenges: []string{`Digest realm="camera",nonce="{nonce}",qop="auth"`}},
		"names in upper case":        {Qop: "auth", Challenges: []string{`DIGEST REALM="camera", NONCE="{nonce}", QOP="AUTH"`}},
		"two qualities":              {Qop: "auth", Challenges: []string{`Digest realm="camera", nonce="{nonce}", qop="auth-int,auth"`}},
		"an empty qop":               {Challenges: []string{`Digest realm="camera", nonce="{nonce}", qop=""`}},
		"an empty opaque":            {Challenges: []string{`Digest realm="camera", nonce="{nonce}", opaque=""`}},
		"a domain":                   {Challenges: []string{`Digest realm="camera", domain="::", nonce="{nonce}"`}},
		"an open quote":              {Realm: "camera", Challenges: []string{`Digest nonce="{nonce}", realm="camera`}},
		"a nonce for each request":   {Qop: "auth", Requests: 1},
		"a nonce for two requests":   {Requests: 2},
		"stale nonces":               {Qop: "auth", Requests: 2, Stale: true},
		"a realm for each request":   {Qop: "auth", Requests: 1, NewRealm: true},
		"a password with signs":      {Password: "p@:/?#[]%&=+ \"\\ä字"},
		"a password of one colon":    {Password: ":", Algorithm: "Basic"},
		"a user with a quote":        {User: `a"b\c`},
		"an empty password":          {Password: "\x00"}, // replaced below
		"an empty nonce":             {Challenges: []string{`Digest realm="camera", nonce=""`}, EmptyNonce: true},
		"a count that must not rise": {Qop: "auth", FirstCount: true, FixedNonce: "n"},
		"a challenge before each":    {Qop: "auth", Requests: 3, Stale: true, Opaque: "x"},
	}
}

func TestLogins(t *testing.T) {
	cameras := map[string]*rtsptest.Camera{}
	for name, auth := range loginCases() {
		if auth.User == "" {
			auth.User = "admin"
		}
		switch auth.Password {
		case "":
			auth.Password = "s3cret"
		case "\x00":
			auth.Password = ""
		}
		cameras[name] = &rtsptest.Camera{Auth: auth, Session: "42;timeout=2"}
	}
	playAll(t, cameras, Options{Transport: TCP})
}

// TestLoginAtEveryRequest: a nonce is good for one request, so that each of OPTIONS, DESCRIBE, SETUP, PLAY and the
// keepalives is challenged. The session must go on.
func TestLoginAtEveryRequest(t *testing.T) {
	camera := &rtsptest.Camera{Session: "42;timeout=1", Auth: &rtsptest.Auth{User: "u", Password: "p", Qop: "auth", Requests: 1, Stale: true}}
	server := rtsptest.Start(t, map[string]*rtsptest.Camera{"/main": camera})
	w := watch(t, Options{URL: parsed(t, server.UserURL("/main", "u", "p")), Transport: TCP})
	w.accessUnits(2)
	for server.Count("/main", "OPTIONS") < 6 { // two at the start, two for each keepalive
		w.accessUnits(5)
	}
	w.stop()
	if st := w.source.Stats(); st.Attempts != 1 || server.Sessions() != 1 {
		t.Errorf("%d attempts, %d sessions; log:\n%s", st.Attempts, server.Sessions(), w.log)
	}
	if n := server.Count("/main", "TEARDOWN"); n != 2 {
		t.Errorf("%d TEARDOWNs, want one without and one with the new nonce", n)
	}
}

// TestWrongPasswordIsTriedSeldom: cameras lock accounts. The streams of a camera count together.
func TestWrongPasswordIsTriedSeldom(t *testing.T) {
	server := rtsptest.Start(t, map[string]*rtsptest.Camera{"/main": {Auth: &rtsptest.Auth{User: "u", Password: "right", Qop: "auth"}}})
	w := watch(t, Options{URL: parsed(t, server.UserURL("/main", "u", "wrong")), Transport: TCP, RetryMin: time.Millisecond, RetryMax: 2 * time.Millisecond})
	w.expect(false, "the camera refuses the user name or password")
	logins := func() (n int) {
		for _, r := range server.Requests("/main") {
			if r.Header.Get("Authorization") != "" {
				n++
			}
		}
		return n
	}
	for deadline := time.Now().Add(waitLimit); logins() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the login is not tried again")
		}
	}
	if wait := w.source.wire.LoginWait(); wait < 30*time.Second {
		t.Errorf("after two refusals the next login is tried in %v", wait)
	}
	w.stop()
	if n := logins(); n != 2 {
		t.Errorf("%d logins, want 2 in the first minute", n)
	}
	if strings.Contains(w.log.String(), "wrong") && strings.Contains(w.log.String(), "u:wrong") {
		t.Errorf("the log shows the password:\n%s", w.log)
	}
}

// TestCameraThatClosesAfterAChallenge: some cameras close the connection with the 401, or at the next request. The login
// must come with the first request then.
func TestCameraThatClosesAfterAChallenge(t *testing.T) {
	camera := &rtsptest.Camera{Auth: &rtsptest.Auth{User: "u", Password: "p", FixedNonce: "n"}}
	camera.Before = func(c *rtsptest.Conn, r *rtsptest.Request) bool {
		if r.Header.Get("Authorization") == "" {
			c.Printf("RTSP/1.0 401 Unauthorized\r\nCSeq: %s\r\nWWW-Authenticate: Digest realm=\"camera\", nonce=\"n\"\r\nConnection: close\r\n\r\n", r.Header.Get("CSeq"))
			c.Close()
			return true
		}
		return false
	}
	server := rtsptest.Start(t, map[string]*rtsptest.Camera{"/main": camera})
	w := watch(t, Options{URL: parsed(t, server.UserURL("/main", "u", "p")), Transport: TCP})
	w.accessUnits(10)
	if st := w.source.Stats(); st.Attempts != 2 {
		t.Errorf("%d attempts; log:\n%s", st.Attempts, w.log)
	}
}

// TestProxyThatAsksForALogin: 407 is answered like 401, in its own header (RFC 7235, section 3.2).
func TestProxyThatAsksForALogin(t *testing.T) {
	s, _ := rtsptest.StartOne(t, &rtsptest.Camera{Before: func(c *rtsptest.Conn, r *rtsptest.Request) bool {
		if r.Header.Get("Proxy-Authorization") == "Basic dTpw" { // u:p
			return false
		}
		return c.Printf("RTSP/1.0 407 Proxy Authentication Required\r\nCSeq: %s\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n", r.Header.Get("CSeq"))
	}})
	w := watch(t, Options{URL: parsed(t, s.UserURL("/main", "u", "p")), Transport: TCP})
	w.accessUnits(3)
	w.stop()
	w = watch(t, Options{URL: parsed(t, s.UserURL("/main", "u", "wrong")), Transport: TCP})
	w.expect(false, "refuses the user name or password")
}
