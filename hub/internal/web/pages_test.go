package web

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/api/public"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/notify"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/alerts"
	"gridpost/hub/internal/store/telemetry"
)

// logIn adds a user and returns the header that stands for the user's session.
func (p *port) logIn(t *testing.T, name string, role auth.Role) []string {
	t.Helper()
	if _, err := p.auth.AddUser(t.Context(), "test", name, "long enough", role); err != nil {
		t.Fatal(err)
	}
	return p.logInAgain(t, name, "long enough")
}

func (p *port) logInAgain(t *testing.T, name, password string) []string {
	t.Helper()
	got := p.send(t, "POST", "/api/v1/session", map[string]string{"user": name, "password": password})
	if got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	cookie, _, _ := strings.Cut(got.header.Get("Set-Cookie"), ";")
	return []string{"Cookie", cookie}
}

func TestOwnPassword(t *testing.T) {
	p := newPort(t)
	here := p.logIn(t, "li", auth.Monitor)
	there := p.logInAgain(t, "li", "long enough")
	change := func(current, next string, header ...string) answer {
		return p.send(t, "PUT", "/api/v1/session/password", map[string]string{"current": current, "next": next}, header...)
	}
	if got := change("wrong one", "another one", here...); got.status != http.StatusForbidden {
		t.Errorf("with a wrong password: %d %s", got.status, got.body)
	}
	if got := change("long enough", "short", here...); got.status != http.StatusUnprocessableEntity {
		t.Errorf("to a short one: %d %s", got.status, got.body)
	}
	if got := change("long enough", "another one", here...); got.status != http.StatusNoContent {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := p.send(t, "GET", "/api/v1/session", nil, here...); got.status != http.StatusOK {
		t.Errorf("the session at which it was changed: %d", got.status)
	}
	bare(t, "the other session", p.send(t, "GET", "/api/v1/session", nil, there...), http.StatusUnauthorized)
	p.logInAgain(t, "li", "another one")
	if got := p.call(t, auth.Administrator, "PUT", "/api/v1/session/password", map[string]string{"current": "x", "next": "another one"}); got.status != http.StatusUnprocessableEntity {
		t.Errorf("of a token: %d", got.status)
	}
	last := answer{}
	for range 7 {
		last = change("guessed one", "another one", here...)
	}
	if last.status != http.StatusTooManyRequests || last.header.Get("Retry-After") == "" {
		t.Errorf("guessing on: %d %v", last.status, last.header)
	}
}

func TestRoster(t *testing.T) {
	p := newPort(t)
	names := func(header ...string) string {
		var out struct{ Roster []RosterEntry }
		p.send(t, "GET", "/api/v1/roster", nil, header...).decode(t, &out)
		all := []string{}
		for _, o := range out.Roster {
			text := o.User + " " + string(o.Role)
			if o.Online {
				text += " online"
			}
			if o.Online != (o.Seen != nil) || o.ID == "" {
				t.Errorf("%+v", o)
			}
			all = append(all, text)
		}
		return strings.Join(all, ", ")
	}
	li := p.logIn(t, "li", auth.Dispatcher)
	wang := p.logIn(t, "wang", auth.Administrator)
	if got := names("Authorization", "Bearer "+p.tokens[auth.Monitor]); got != "li dispatcher, wang administrator" {
		t.Errorf("%q: programs are not on the roster, and who logged in has no page open yet", got)
	}
	if got := names(li...); got != "li dispatcher online, wang administrator" {
		t.Errorf("%q", got)
	}
	if got := names(wang...); got != "li dispatcher online, wang administrator online" {
		t.Errorf("%q", got)
	}
	if got := p.send(t, "PUT", "/api/v1/users/li/role", map[string]string{"role": "monitor"}, wang...); got.status != http.StatusNoContent {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := p.send(t, "POST", "/api/v1/reports", map[string]string{"title": "x"}, li...); got.status != http.StatusForbidden {
		t.Errorf("a role must end at once: %d", got.status)
	}
	if got := p.send(t, "PUT", "/api/v1/users/li/disabled", map[string]bool{"disabled": true}, wang...); got.status != http.StatusNoContent {
		t.Errorf("%d %s", got.status, got.body)
	}
	bare(t, "one who is kept out", p.send(t, "GET", "/api/v1/session", nil, li...), http.StatusUnauthorized)
	bare(t, "one who is kept out logs in", p.send(t, "POST", "/api/v1/session", map[string]string{"user": "li", "password": "long enough"}), http.StatusUnauthorized)
	if got := names(wang...); got != "wang administrator online" {
		t.Errorf("%q", got)
	}
	if got := p.send(t, "PUT", "/api/v1/users/wang/disabled", map[string]bool{"disabled": true}, wang...); got.status != http.StatusConflict {
		t.Errorf("the last administrator: %d", got.status)
	}
	p.send(t, "DELETE", "/api/v1/session", nil, wang...)
	if got := p.server.presence.online(); len(got) != 0 {
		t.Errorf("after logging out: %+v", got)
	}
}

// TestRosterOfASite: a caller sees who shares one of the caller's sites, and nobody else.
func TestRosterOfASite(t *testing.T) {
	p := newPort(t)
	for name, sites := range map[string][]string{"of-all": nil, "of-gate": {"gate-7"}, "of-bridge": {"bridge"}, "of-both": {"bridge", "gate-7"}} {
		if _, err := p.auth.AddUserIn(t.Context(), "test", name, "long enough", auth.Dispatcher, scope.Of(sites)); err != nil {
			t.Fatal(err)
		}
	}
	for want, sites := range map[string][]string{"of-all of-both of-bridge of-gate": nil, "of-all of-both of-gate": {"gate-7"}, "of-all": {"elsewhere"}} {
		in := scope.Of(sites)
		text, _, err := p.auth.CreateToken(t.Context(), auth.NewToken{By: "test", Name: "x", Role: auth.Monitor, Scope: &in})
		if err != nil {
			t.Fatal(err)
		}
		var out struct{ Roster []RosterEntry }
		p.send(t, "GET", "/api/v1/roster", nil, "Authorization", "Bearer "+text).decode(t, &out)
		got := []string{}
		for _, o := range out.Roster {
			got = append(got, o.User)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("of %v: %q, want %q", sites, got, want)
		}
	}
}

func TestAddEdge(t *testing.T) {
	p := newPort(t)
	p.server.o.EnrolToken = func(name, secret string) string { return name + " " + secret }
	p.server.o.EdgeAddress = func() string { return "0.0.0.0:8443" }
	add := func(body map[string]any) answer { return p.call(t, auth.Administrator, "POST", "/api/v1/edges", body) }
	var made struct{ Name, Token, Listen string }
	got := add(map[string]any{"name": "gate-7"})
	got.decode(t, &made)
	if got.status != http.StatusCreated || made.Name != "gate-7" || len(made.Token) < 40 || made.Listen != "0.0.0.0:8443" {
		t.Errorf("%d %+v", got.status, made)
	}
	for want, body := range map[int]map[string]any{
		http.StatusConflict: {"name": "gate-7"}, http.StatusNotFound: {"name": "none", "again": true}, http.StatusUnprocessableEntity: {"name": "Gate 7"},
	} {
		if got := add(body); got.status != want {
			t.Errorf("%v: %d, want %d: %s", body, got.status, want, got.body)
		}
	}
	if got := add(map[string]any{"name": "gate-7", "again": true, "hours": 1}); got.status != http.StatusCreated {
		t.Errorf("a further token: %d %s", got.status, got.body)
	}
	if got := p.call(t, auth.Administrator, "DELETE", "/api/v1/edges/gate-7", nil); got.status != http.StatusNoContent {
		t.Errorf("%d %s", got.status, got.body)
	}
	if e, err := p.edges.Edge(t.Context(), scope.All(), "gate-7"); err != nil || e.State != "revoked" {
		t.Errorf("%+v, %v", e, err)
	}
	if got := p.call(t, auth.Administrator, "DELETE", "/api/v1/edges/none", nil); got.status != http.StatusNotFound {
		t.Errorf("%d", got.status)
	}
}

func TestWebhooksAreTestedAndSwitched(t *testing.T) {
	p := newPort(t)
	if got := p.call(t, auth.Administrator, "POST", "/api/v1/webhooks/none/test", nil); got.status != http.StatusNotFound {
		t.Errorf("%d", got.status)
	}
	if err := p.server.o.Alerts.Add(t.Context(), "test", alerts.Webhook{ID: "w", URL: "https://receiver.example/key", Secrets: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if got := p.call(t, auth.Administrator, "POST", "/api/v1/webhooks/w/test", nil); got.status != http.StatusServiceUnavailable {
		t.Errorf("%d", got.status)
	}
	asked := notify.Target{}
	p.server.o.TestWebhook = func(_ context.Context, to notify.Target, _ string) (notify.TestResult, error) {
		asked = to
		return notify.TestResult{Status: 500, Cause: problem.NewCause("delivery_status", "status", "500"), Took: 3 * time.Millisecond}, nil
	}
	if got := p.call(t, auth.Administrator, "PUT", "/api/v1/webhooks/w", map[string]bool{"enabled": false}); got.status != http.StatusNoContent {
		t.Errorf("%d %s", got.status, got.body)
	}
	got := p.call(t, auth.Administrator, "POST", "/api/v1/webhooks/w/test", nil)
	if got.status != http.StatusOK || !strings.Contains(string(got.body), `"took_ms":3`) || !strings.Contains(string(got.body), `"cause_code":"delivery_status"`) || asked.URL != "https://receiver.example/key" {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestCurvesAndPictures(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	now := time.Now()
	if _, err := p.server.o.Telemetry.Apply(context.WithoutCancel(t.Context()), telemetry.Batch{Edge: "gate-7", Epoch: "a", Events: []telemetry.Event{{Seq: 1, Readings: []telemetry.Reading{
		{Reading: devices.Reading{Device: "river", Time: now.Add(-time.Minute), Value: 2, Quality: devices.Good}}, {Reading: devices.Reading{Device: "river", Time: now, Value: 3, Quality: devices.Good}},
	}}}}); err != nil {
		t.Fatal(err)
	}
	var curves struct{ Series []public.Series }
	p.call(t, auth.Monitor, "GET", "/api/v1/series?of=gate-7/river,gate-7/none,x", nil).decode(t, &curves)
	if len(curves.Series) != 1 || len(curves.Series[0].At) != 2 || curves.Series[0].High[1] != 3 {
		t.Errorf("%+v", curves)
	}
	for _, query := range []string{
		"", "?of=", "?of=a/b&from=2020-01-01T00:00:00Z", "?of=a/b&from=2030-01-01T00:00:00Z&to=2029-01-01T00:00:00Z",
		"?of=a/b&points=1", "?of=" + strings.Repeat("a/b,", 60) + "a/b",
	} {
		if got := p.call(t, auth.Monitor, "GET", "/api/v1/series"+query, nil); got.status != http.StatusUnprocessableEntity {
			t.Errorf("%q: %d %s", query, got.status, got.body)
		}
	}
	var pictures struct{ Pictures []public.Picture }
	p.call(t, auth.Monitor, "GET", "/api/v1/pictures?of=gate-7/yard,gate-7/river", nil).decode(t, &pictures)
	if len(pictures.Pictures) != 1 || pictures.Pictures[0].Incident != incidentID {
		t.Errorf("%+v", pictures)
	}
}

func TestAReportSentTwiceIsOne(t *testing.T) {
	p := newPort(t)
	send := func(role auth.Role, key string) string {
		got := p.call(t, role, "POST", "/api/v1/reports", map[string]string{"title": "a tree"}, "Idempotency-Key", key)
		var inc public.Incident
		got.decode(t, &inc)
		if got.status != http.StatusCreated || inc.Title != "a tree" {
			t.Errorf("%d %s", got.status, got.body)
		}
		return inc.ID
	}
	first := send(auth.Dispatcher, "one")
	if send(auth.Dispatcher, "one") != first {
		t.Error("sent twice, it became two")
	}
	unnamed, again := send(auth.Dispatcher, ""), send(auth.Dispatcher, "")
	if send(auth.Dispatcher, "two") == first || send(auth.Administrator, "one") == first || unnamed == again {
		t.Error("different reports became one")
	}
}
