package web

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/incidents"
)

// sample is a request that an allowed caller may send to a route.
type sample struct {
	path  string // with query; empty: the route's, with the names of the fixture in its wildcards
	body  any
	ready func(t *testing.T, p *port) // called before each request
	want  int                         // of an allowed request; 0: 2xx, 409, 412 or 422
	shows string                      // is in the answer to callers of the site, and to no others
}

// samples has a sample for each route that needs more than its path.
func samples() map[string]sample {
	user := func(t *testing.T, p *port) {
		t.Helper()
		if _, err := p.auth.AddUser(t.Context(), "test", "x", "long enough", auth.Monitor); err != nil && !errors.Is(err, db.ErrConflict) {
			t.Fatal(err)
		}
	}
	spare := func(t *testing.T, p *port) {
		t.Helper()
		if err := p.edges.Add(t.Context(), "test", "spare", []byte(rand.Text()), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	view := func(t *testing.T, p *port) {
		t.Helper()
		p.update(t, func(tx *db.Tx) error {
			_, err := tx.Exec(`INSERT INTO leases(id, edge, device, site, who, incident, reason, began_at, until, hub)
				VALUES ('open', 'gate-7', 'yard', 'gate-7', 'x', '', 'a look', 1, 2, 'run') ON CONFLICT(id) DO UPDATE SET ended_at = NULL`)
			return err
		})
	}
	mute := func(t *testing.T, p *port) {
		t.Helper()
		if _, err := p.incidents.Mute(t.Context(), incidents.MuteRequest{
			ID: "muted", Who: "x", Scope: scope.All(), Edge: "gate-7", Device: "yard", Rule: "yard", Reason: "rain", For: time.Hour,
		}); err != nil {
			t.Fatal(err)
		}
	}
	names := func(field string, v any) any { return map[string]any{field: v} }
	return map[string]sample{
		"log-in":           {body: map[string]string{"user": "x", "password": "x"}, want: http.StatusUnauthorized},
		"change-password":  {body: map[string]string{"current": "x", "next": "long enough"}},
		"begin-totp":       {body: map[string]string{"password": "x"}},
		"enable-totp":      {body: map[string]string{"code": "x"}},
		"disable-totp":     {body: map[string]string{"password": "x", "code": "x"}},
		"remove-totp":      {ready: user},
		"list-incidents":   {shows: incidentID},
		"export-incidents": {shows: incidentID},
		"list-devices":     {shows: "gate-7"},
		"list-edges":       {shows: "gate-7"},
		"list-pictures":    {path: "/api/v1/pictures?of=gate-7/yard", shows: incidentID},
		"list-series":      {path: "/api/v1/series?of=gate-7/river"},
		"nearby":           {path: "/api/v1/nearby?lat=30.92&lon=120.93", shows: "gate-7"},
		"report":           {body: names("title", "x")},
		"notes-incident":   {body: names("text", "x")},
		"assign-incident":  {body: names("assignee", "x")},
		"hold-incident":    {body: names("held", false)},
		"join-incident":    {body: names("into", "none"), want: http.StatusNotFound},
		"get-evidence":     {path: "/api/v1/evidence/" + incidentID + "/a.jpg"},
		"watch-clip":       {path: clipPath + "/views", body: map[string]string{}, ready: func(t *testing.T, p *port) { p.clip(t) }},
		"end-clip-view":    {path: clipPath + "/views/none", want: http.StatusNotFound},
		"add-edge":         {body: names("name", "new"), want: http.StatusServiceUnavailable},
		"list-gaps":        {path: "/api/v1/edges/gate-7/gaps"},
		"revoke-edge":      {path: "/api/v1/edges/spare", ready: spare},
		"add-user":         {body: map[string]string{"name": "y", "password": "long enough", "role": "monitor"}},
		"rename-user":      {body: names("name", "x"), ready: user},
		"set-password":     {body: names("password", "long enough"), ready: user},
		"set-role":         {body: names("role", "monitor"), ready: user},
		"set-sites":        {body: names("sites", []string{"gate-7"}), ready: user},
		"set-disabled":     {body: names("disabled", true), ready: user},
		"remove-user":      {ready: user},
		"create-token":     {body: map[string]string{"name": "y", "role": "monitor"}},
		"revoke-token":     {want: http.StatusNotFound},
		"list-mutes":       {ready: mute, shows: "gate-7"},
		"mute-rule":        {body: map[string]any{"edge": "gate-7", "device": "yard", "rule": "yard", "reason": "rain", "minutes": 5}},
		"end-mute":         {path: "/api/v1/mutes/muted", ready: mute},
		"end-view":         {path: "/api/v1/views/open", ready: view},
		"add-webhook":      {body: names("url", "https://receiver.example/alerts")},
		"switch-webhook":   {body: names("enabled", false), want: http.StatusNotFound},
		"remove-webhook":   {want: http.StatusNotFound},
		"list-deliveries":  {},
		"test-webhook":     {want: http.StatusNotFound},
		"whep-post":        {path: "/whep/gate-7/yard?reason=a+look", body: []byte("x")},
		"live":             {path: "/api/v1/live/gate-7/yard?reason=a+look"},
		"find-live":        {path: "/api/v1/devices/gate-7/yard/live"},
	}
}

// caller is a token of a role and a scope.
type caller struct {
	role  auth.Role
	scope scope.Scope
	text  string
}

// callers returns one caller for each role and scope: all sites, those of the fixture, and another one.
func callers(t *testing.T, p *port) (all []caller) {
	t.Helper()
	for _, role := range []auth.Role{auth.Monitor, auth.Dispatcher, auth.Administrator} {
		for i, in := range []scope.Scope{scope.All(), scope.Sites("gate-7", "spare"), scope.Sites("elsewhere")} {
			text, _, err := p.auth.CreateToken(t.Context(), auth.NewToken{By: "test", Name: fmt.Sprint(role, i), Role: role, Scope: &in})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, caller{role, in, text})
		}
	}
	return all
}

// TestRoutesRolesScopes walks the table of routes with every role and scope: allowed and refused.
func TestRoutesRolesScopes(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	for name, text := range map[string]string{"x.geojson": "{}", mapBase: "x"} {
		if err := os.MkdirAll(filepath.Join(p.dir, mapFolder), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p.dir, mapFolder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := callers(t, p)
	known := samples()
	seen := map[string]bool{}
	for _, r := range routes() {
		if seen[r.id] || seen[r.pattern()] {
			t.Errorf("%s, %s is in the table twice", r.id, r.pattern())
		}
		seen[r.id], seen[r.pattern()] = true, true
		s := known[r.id]
		delete(known, r.id)
		if s.path == "" {
			s.path = strings.NewReplacer("{id}", incidentID, "{name}", "x", "{edge}", "gate-7", "{device}", "yard", "{incident}", incidentID).Replace(r.path)
		}
		if r.need == "" {
			if got := p.status(t, r, s, ""); got.status == http.StatusForbidden || got.status == http.StatusUnauthorized && s.want != got.status {
				t.Errorf("%s without credentials: %d", r.pattern(), got.status)
			}
			continue
		}
		bare(t, r.pattern()+" without credentials", p.status(t, r, s, ""), http.StatusUnauthorized)
		for _, c := range all {
			p.walk(t, r, s, c)
		}
	}
	for id := range known {
		t.Errorf("there is a sample for %s, and no route", id)
	}
}

// walk sends a request as a caller and compares the answer with the table.
func (p *port) walk(t *testing.T, r route, s sample, c caller) {
	t.Helper()
	if s.ready != nil {
		s.ready(t, p)
	}
	got := p.status(t, r, s, c.text)
	what := fmt.Sprintf("%s as %s of %s", r.pattern(), c.role, c.scope)
	switch {
	case !c.role.Allows(r.need), r.reach == allSites && !c.scope.IsAll():
		bare(t, what, got, http.StatusForbidden)
	case r.reach == named && !c.scope.Allows("gate-7"):
		if got.status != http.StatusNotFound {
			t.Errorf("%s: %d, want 404: %s", what, got.status, got.body)
		}
	case s.want != 0:
		if got.status != s.want {
			t.Errorf("%s: %d, want %d: %s", what, got.status, s.want, got.body)
		}
	case got.status/100 != 2 && got.status != http.StatusConflict && got.status != http.StatusPreconditionFailed && got.status != http.StatusUnprocessableEntity:
		t.Errorf("%s: %d %s", what, got.status, got.body)
	case s.shows != "" && bytes.Contains(got.body, []byte(s.shows)) != c.scope.Allows("gate-7"):
		t.Errorf("%s: the answer is %s", what, got.body)
	case r.reach == filtered && !c.scope.Allows("gate-7") && bytes.Contains(got.body, []byte("gate-7")):
		t.Errorf("%s: the answer shows another site: %s", what, got.body)
	}
}

// status sends a sample. Of the live stream, which does not end, it reads the greeting only.
func (p *port) status(t *testing.T, r route, s sample, token string) answer {
	t.Helper()
	var header []string
	if token != "" {
		header = []string{"Authorization", "Bearer " + token}
	}
	if r.id != "stream" {
		return p.send(t, r.method, s.path, s.body, header...)
	}
	req, err := http.NewRequestWithContext(t.Context(), r.method, p.URL+s.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set(header[0], header[1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // broken off on purpose
	out := answer{status: res.StatusCode, header: res.Header}
	if res.StatusCode != http.StatusOK {
		out.body, err = io.ReadAll(res.Body)
	} else {
		out.body = make([]byte, 1)
		_, err = io.ReadFull(res.Body, out.body)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestNothingBesideTheTable: a handler that is not in the table is not reached, and the server is not built with one
// or without one of the table.
func TestNothingBesideTheTable(t *testing.T) {
	p := newPort(t)
	p.server.mux.HandleFunc("GET /api/v1/beside", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	bare(t, "beside the table", p.call(t, auth.Administrator, "GET", "/api/v1/beside", nil), http.StatusForbidden)
	bare(t, "beside the table, without credentials", p.send(t, "GET", "/api/v1/beside", nil), http.StatusUnauthorized)
	plan := newPlan()
	for _, r := range routes() {
		plan.take(r.id)
	}
	if err := plan.check(); err != nil {
		t.Error(err)
	}
	plan.take("beside")
	if err := plan.check(); err == nil {
		t.Error("an operation that is not in the table is taken")
	}
	if err := newPlan().check(); err == nil {
		t.Error("routes without handlers are taken")
	}
}

// TestStreamKeepsToTheScope: a live stream has the changes of the caller's sites, and none of others.
func TestStreamKeepsToTheScope(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	start, err := p.db.LastChange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, site := range []string{"gate-7", "elsewhere", "gate-7"} {
		p.update(t, func(tx *db.Tx) error {
			return p.incidents.ApplyAlert(tx, "gate-7", site, incidents.Alert{Title: "at " + site, Occurred: now, Changed: now, Incident: detection.Incident{
				ID: "0190f000-0000-7000-8000-00000000000" + strconv.Itoa(len(site)), Device: "yard", Rule: site, Kind: detection.Zone,
				Severity: detection.Moderate, State: detection.Open, Opened: now, Updated: now, Version: 1, Class: detection.Motion, Count: 1,
			}})
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for site, other := range map[string]string{"gate-7": "elsewhere", "elsewhere": "gate-7"} {
		in := scope.Sites(site)
		text, _, err := p.auth.CreateToken(t.Context(), auth.NewToken{By: "test", Name: site, Role: auth.Administrator, Scope: &in})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.listen(ctx, t, text, strconv.FormatInt(start, 10), func(l line) bool {
			if !strings.Contains(l.data, "at "+site) || strings.Contains(l.data, "at "+other) {
				t.Errorf("the stream of %s has %s", site, l.data)
			}
			return false
		}); err != nil {
			t.Error(err)
		}
	}
}
