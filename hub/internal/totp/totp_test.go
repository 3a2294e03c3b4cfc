package totp

import (
	"encoding/base32"
	"net/url"
	"testing"
	"time"
)

// TestVectors are those of RFC 6238, appendix B, for SHA-1: the last six of the eight digits there.
func TestVectors(t *testing.T) {
	secret := []byte("12345678901234567890")
	for at, eight := range map[int64]string{
		59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130",
	} {
		if got := Code(secret, Step(time.Unix(at, 0))); got != eight[2:] {
			t.Errorf("at %d: %s, want %s", at, got, eight[2:])
		}
	}
}

// TestCounterVectors are those of RFC 4226, appendix D.
func TestCounterVectors(t *testing.T) {
	secret := []byte("12345678901234567890")
	for step, want := range []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"} {
		if got := Code(secret, int64(step)); got != want {
			t.Errorf("%d: %s, want %s", step, got, want)
		}
	}
}

func TestMatch(t *testing.T) {
	secret, at := NewSecret(), time.Unix(1_800_000_000, 0)
	now := Step(at)
	for d := int64(-3); d <= 3; d++ {
		step, ok := Match(secret, Code(secret, now+d), at, 0)
		if want := d >= -1 && d <= 1; ok != want || ok && step != now+d {
			t.Errorf("the code of %d steps from now: step %d, %v", d, step, ok)
		}
		if _, ok := Match(secret, Code(secret, now+d), at, now+d); ok {
			t.Errorf("the code of %d steps from now matches again", d)
		}
	}
	if _, ok := Match(secret, Code(secret, now-1), at, now); ok {
		t.Error("a code from before the one that was used matches")
	}
	for _, bad := range []string{"", "12345", "1234567", Code(secret, now) + "0", "abcdef"} {
		if _, ok := Match(secret, bad, at, 0); ok {
			t.Errorf("%q matches", bad)
		}
	}
	if _, ok := Match(secret, Code(secret, 0), time.Unix(-100, 0), -1); !ok { // a clock before 1970 must not end the program
		t.Error("before the epoch")
	}
}

func TestURI(t *testing.T) {
	secret := NewSecret()
	u, err := url.Parse(URI("Gridpost", "王 a:b&c", secret))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/Gridpost:王 a:b&c" || q.Get("issuer") != "Gridpost" || q.Get("digits") != "6" || q.Get("period") != "30" || q.Get("algorithm") != "SHA1" {
		t.Errorf("%s", u)
	}
	if got, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(q.Get("secret")); err != nil || string(got) != string(secret) || len(got) != 20 {
		t.Errorf("%x, %v", got, err)
	}
}
