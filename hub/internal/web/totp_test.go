package web

import (
	"encoding/base32"
	"net/http"
	"strings"
	"testing"
	"time"

	"gridpost/hub/api/public"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/totp"
)

// TestSecondFactorByHTTP enrols a user, logs in with codes, and turns the second factor off, by its owner and by an
// administrator.
func TestSecondFactorByHTTP(t *testing.T) {
	p := newPort(t)
	here := p.logIn(t, "li", auth.Monitor)
	there := p.logInAgain(t, "li", "long enough")
	want := func(what string, got answer, status int, code string) answer {
		t.Helper()
		if got.status != status || code != "" && !strings.Contains(string(got.body), `"code":"`+code+`"`) {
			t.Fatalf("%s: %d %s, want %d %s", what, got.status, got.body, status, code)
		}
		return got
	}
	own := func(method, suffix string, body any) answer {
		t.Helper()
		return p.send(t, method, totpPath+suffix, body, here...)
	}
	logIn := func(code string) answer {
		t.Helper()
		return p.send(t, "POST", "/api/v1/session", map[string]string{"user": "li", "password": "long enough", "code": code})
	}
	var state struct {
		Available bool       `json:"available"`
		On        *time.Time `json:"on_at"`
		Recovery  int        `json:"recovery_codes"`
	}
	own("GET", "", nil).decode(t, &state)
	if !state.Available || state.On != nil {
		t.Errorf("at first: %+v", state)
	}
	p.call(t, auth.Monitor, "GET", totpPath, nil).decode(t, &state)
	if state.Available {
		t.Error("a token can have a second factor")
	}
	want("confirming nothing", own("PUT", "", map[string]string{"code": "123456"}), http.StatusConflict, "totp_not_begun")
	want("a wrong password", own("POST", "", map[string]string{"password": "wrong one"}), http.StatusForbidden, "password_wrong")
	var made struct{ Secret, URI string }
	want("beginning", own("POST", "", map[string]string{"password": "long enough"}), http.StatusOK, "").decode(t, &made)
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(made.Secret)
	if err != nil || !strings.HasPrefix(made.URI, "otpauth://totp/Gridpost:li?") {
		t.Fatalf("%+v, %v", made, err)
	}
	// The present step, or the one after it when that is used: both are within the window, also when a step ends meanwhile.
	step := int64(0)
	code := func() string {
		step = max(step+1, totp.Step(time.Now()))
		return totp.Code(secret, step)
	}
	want("confirming with a wrong code", own("PUT", "", map[string]string{"code": "x"}), http.StatusForbidden, "totp_wrong")
	var codes struct {
		Recovery []string `json:"recovery_codes"`
	}
	want("confirming", own("PUT", "", map[string]string{"code": code()}), http.StatusOK, "").decode(t, &codes)
	if len(codes.Recovery) != 10 {
		t.Errorf("%q", codes)
	}
	want("the session that turned it on", p.send(t, "GET", "/api/v1/session", nil, here...), http.StatusOK, "")
	want("another session", p.send(t, "GET", "/api/v1/session", nil, there...), http.StatusUnauthorized, "")
	want("a log-in without a code", logIn(""), http.StatusUnauthorized, "totp_required")
	want("a log-in with a wrong code", logIn("x"), http.StatusForbidden, "totp_wrong")
	used := code()
	want("a log-in with a code", logIn(used), http.StatusOK, "")
	want("the same code", logIn(used), http.StatusForbidden, "totp_wrong")
	want("a recovery code", logIn(codes.Recovery[0]), http.StatusOK, "")
	want("the same recovery code", logIn(codes.Recovery[0]), http.StatusForbidden, "totp_wrong")
	own("GET", "", nil).decode(t, &state)
	if state.On == nil || state.Recovery != 9 {
		t.Errorf("on: %+v", state)
	}
	var users struct{ Users []public.User }
	p.call(t, auth.Administrator, "GET", "/api/v1/users", nil).decode(t, &users)
	if len(users.Users) != 1 || users.Users[0].TOTP == nil {
		t.Errorf("%+v", users)
	}
	proof := func(password, code string) map[string]string {
		return map[string]string{"password": password, "code": code}
	}
	want("off by a wrong password", own("POST", "/disable", proof("wrong one", codes.Recovery[1])), http.StatusForbidden, "password_wrong")
	want("off by a wrong code", own("POST", "/disable", proof("long enough", "x")), http.StatusForbidden, "totp_wrong")
	want("off", own("POST", "/disable", proof("long enough", codes.Recovery[1])), http.StatusNoContent, "")
	want("off again", own("POST", "/disable", proof("long enough", codes.Recovery[2])), http.StatusConflict, "totp_off")
	want("a log-in without a code", logIn(""), http.StatusOK, "")

	want("beginning", own("POST", "", map[string]string{"password": "long enough"}), http.StatusOK, "").decode(t, &made)
	if secret, err = base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(made.Secret); err != nil {
		t.Fatal(err)
	}
	step = 0
	want("confirming", own("PUT", "", map[string]string{"code": code()}), http.StatusOK, "")
	remove := func() answer { return p.call(t, auth.Administrator, "DELETE", "/api/v1/users/li/totp", nil) }
	want("removed by an administrator", remove(), http.StatusNoContent, "")
	want("removed again", remove(), http.StatusConflict, "totp_off")
	want("a log-in without a code", logIn(""), http.StatusOK, "")
	var out struct{ Audit []public.AuditEntry }
	p.call(t, auth.Administrator, "GET", "/api/v1/audit", nil).decode(t, &out)
	if e := out.Audit[1]; e.Action != "user totp remove" || e.Object != "li" || e.Who != "token administrator" {
		t.Errorf("%+v", e)
	}
}
