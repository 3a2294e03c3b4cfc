package compat

import (
	"strings"
	"testing"
	"time"
)

// TestDigestOfTheStandards checks the examples of RFC 2617, section 3.5, and RFC 7616, section 3.9.1.
func TestDigestOfTheStandards(t *testing.T) {
	for _, test := range []struct{ header, user, password, uri, cnonce, want string }{
		{
			`Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"`,
			"Mufasa", "Circle Of Life", "/dir/index.html", "0a4f113b", "6629fae49393a05397450978507c4ef1",
		},
		{
			`Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`,
			"Mufasa", "Circle of Life", "/dir/index.html", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "8ca523f5e9506fed4657c9700eebdbec",
		},
		{
			`Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`,
			"Mufasa", "Circle of Life", "/dir/index.html", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
		},
	} {
		best, ok := strongest(parseChallenges([]string{test.header}))
		if !ok {
			t.Errorf("%s is not supported", test.header)
			continue
		}
		l := newLogin(best, test.user, test.password)
		l.cnonce = test.cnonce
		got := l.authorization("GET", test.uri, "")
		if !strings.Contains(got, `response="`+test.want+`"`) || !strings.Contains(got, "qop=auth, nc=00000001") || !strings.Contains(got, `opaque="`) {
			t.Errorf("%s is answered %s", test.header, got)
		}
		if again := l.authorization("GET", test.uri, ""); !strings.Contains(again, "nc=00000002") {
			t.Errorf("the second answer is %s", again)
		}
	}
}

func TestStrongestChallenge(t *testing.T) {
	for header, want := range map[string]string{
		`Basic realm="a", Digest realm="b", nonce="n"`:                                  "digest",
		`Digest nonce="n", algorithm=MD5, Digest nonce="n", algorithm=SHA-256`:          "digest SHA-256",
		`Digest nonce="n", algorithm=SHA-512-256, Digest nonce="n", algorithm=SHA-256`:  "digest SHA-512-256",
		`Digest nonce="n", algorithm=SHA-256-sess, Digest nonce="n", algorithm=SHA-256`: "digest SHA-256",
		`Digest nonce="n", algorithm=MD5-sess, Basic realm=x`:                           "digest MD5-sess",
		`Digest realm="no nonce", Basic realm=x`:                                        "basic",
		`Digest nonce=n, qop=foo, Basic realm=x`:                                        "basic",
		`realm="no scheme", nonce="n"`:                                                  "digest",
		`Bearer`:                                                                        "",
		``:                                                                              "",
		`Digest realm="a \" Basic b", nonce="n"`:                                        "digest",
		`Digest nonce="first", nonce="second"`:                                          "digest",
	} {
		best, ok := strongest(parseChallenges([]string{header}))
		got := ""
		if ok {
			got = best.name()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}

// FuzzChallenge holds that no WWW-Authenticate header can make a request that is not one.
func FuzzChallenge(f *testing.F) {
	f.Add(`Digest realm="a", nonce="b", qop="auth", opaque="c", algorithm=SHA-256`, "u", "p")
	f.Add(`Basic realm=x, Digest nonce=y, realm="open`, `u"\`, ":@/")
	f.Add(`=,="\`, "", "")
	f.Fuzz(func(t *testing.T, header, user, password string) {
		header = strings.Map(dropControl, header) // a header is a line
		user = strings.Map(dropControl, user)
		list := parseChallenges([]string{header, header})
		if len(list) > maxChallenges {
			t.Fatalf("%d challenges", len(list))
		}
		best, ok := strongest(list)
		if !ok {
			return
		}
		l := newLogin(best, user, password)
		if !l.same(best) {
			t.Error("a login does not know its challenge")
		}
		got := l.authorization("DESCRIBE", "rtsp://camera/main", "")
		if strings.ContainsAny(got, "\r\n\x00") || !strings.HasPrefix(got, "Basic ") && !strings.HasPrefix(got, "Digest ") {
			t.Errorf("%q is answered %q", header, got)
		}
		if password != "" && len(password) > 8 && !strings.Contains(header+user, password) && strings.Contains(got, password) {
			t.Errorf("the answer shows the password: %q", got)
		}
	})
}

func TestLoginsAreLimited(t *testing.T) {
	var l Logins
	key, other := newLoginKey("camera", "u", "wrong"), newLoginKey("camera", "u", "right")
	now := time.Now()
	try := func(key loginKey, after time.Duration) bool {
		_, _, ok := l.try(key, now.Add(after))
		return ok
	}
	for range 5 {
		if !try(key, 0) {
			t.Fatal("a login that was never refused is limited")
		}
	}
	l.refuse(key, false, now)
	if !try(key, time.Second) || try(key, 2*time.Second) || try(key, 59*time.Second) {
		t.Error("not two attempts in the first minute")
	}
	if until := l.wait(key, now.Add(2*time.Second)); !until.Equal(now.Add(time.Minute)) {
		t.Errorf("waits until %v", until.Sub(now))
	}
	if !try(other, 2*time.Second) {
		t.Error("another password is limited")
	}
	// In any minute from now on there are two attempts.
	var times []time.Duration
	for at := 60 * time.Second; at < 600*time.Second; at += time.Second {
		if try(key, at) {
			times = append(times, at)
		}
	}
	for i := 2; i < len(times); i++ {
		if times[i]-times[i-2] < time.Minute {
			t.Errorf("three attempts in a minute: %v", times[i-2:i+1])
		}
	}
	if len(times) < 17 {
		t.Errorf("only %d attempts in nine minutes", len(times))
	}
	// Two streams that were refused at the same time are two attempts.
	l.accept(key)
	l.refuse(key, false, now)
	l.refuse(key, false, now)
	if try(key, time.Second) {
		t.Error("a third attempt in a minute")
	}
	l.accept(key)
	for range 3 {
		if !try(key, 600*time.Second) {
			t.Error("an accepted login is limited")
		}
	}
	for i := range maxLogins + 100 {
		l.refuse(newLoginKey(strings.Repeat("x", i), "u", "p"), false, now.Add(time.Duration(i)))
	}
	if len(l.refused) > maxLogins {
		t.Errorf("%d logins are remembered", len(l.refused))
	}
}
