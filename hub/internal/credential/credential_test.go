package credential

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// clock is a clock that tests set.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func seed(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func claims() Claims {
	return Claims{Use: Publish, Edge: "gate-7", Device: "yard", Principal: "edge:gate-7", Certificate: "1f"}
}

func TestCredentials(t *testing.T) {
	c := &clock{at: time.Date(2026, 11, 30, 6, 0, 0, 0, time.UTC)}
	a := New(seed(1), c.now)
	text, expires := a.Issue(claims())
	if left := expires.Sub(c.at); left < time.Minute || left > 2*time.Minute {
		t.Errorf("it is valid for %s", left)
	}
	want := claims()
	want.Expires = expires.Unix()
	if got, err := New(seed(1), c.now).Begin(text, Publish); err != nil || got != want { // another hub
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if !want.Of("gate-7", "yard") || want.Of("gate-7", "hall") || want.Of("gate-8", "yard") {
		t.Error("it is not for the camera")
	}
	refused := func(what string, a *Authority, text string, use Use) {
		t.Helper()
		if got, err := a.Begin(text, use); !errors.Is(err, ErrInvalid) || got != (Claims{}) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	refused("another use", a, text, View)
	refused("another authority", New(seed(2), c.now), text, Publish)
	refused("nothing", a, "", Publish)
	refused("a token", a, "gp_"+strings.Repeat("x", 43), Publish)
	refused("too long", a, text+strings.Repeat("A", maxLength), Publish)
	for i := range text { // the strict encoding leaves one text for each credential
		changed := []byte(text)
		changed[i] ^= 1
		refused("changed", a, string(changed), Publish)
	}
	unsigned := encoding.EncodeToString([]byte(`{"alg":"none"}`)) + text[strings.IndexByte(text, '.'):]
	refused("another algorithm", a, unsigned, Publish)

	c.at = expires
	refused("expired", a, text, Publish)
	if _, err := a.Continue(text, Publish); err != nil {
		t.Errorf("a session that has begun: %v", err)
	}
	c.at = expires.Add(-Life - time.Second)
	refused("the clock was set back", a, text, Publish)
}

func TestFromRequest(t *testing.T) {
	text, _ := New(seed(1), nil).Issue(claims())
	for header, want := range map[string]string{"Bearer " + text: text, "bearer  " + text: text, "Basic " + text: "", text: "", "Bearer gp_x": "", "": ""} {
		r := &http.Request{Header: http.Header{"Authorization": {header}}}
		if got := FromRequest(r); got != want {
			t.Errorf("%q: %q", header, got)
		}
	}
}

// FuzzContinue: a text that was not issued is refused, whatever it is.
func FuzzContinue(f *testing.F) {
	a := New(seed(1), nil)
	text, _ := a.Issue(claims())
	other, _ := New(seed(2), nil).Issue(claims())
	body, err := json.Marshal(claims())
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"", header, header + ".", other, text + ".", header + encoding.EncodeToString(body) + "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := a.Continue(s, Publish); s != text && !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", s, err)
		}
	})
}
