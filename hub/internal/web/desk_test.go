package web

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/api/public"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/nearby"
	"gridpost/hub/internal/store/leases"
)

func kinds(inc public.Incident) string {
	var all []string
	for _, e := range inc.Timeline {
		all = append(all, e.Kind)
	}
	return strings.Join(all, " ")
}

func TestTheLifeOfAnIncident(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	act := func(verb string, body any) (inc public.Incident, status int) {
		t.Helper()
		got := p.call(t, auth.Dispatcher, "POST", "/api/v1/incidents/"+incidentID+"/"+verb, body)
		if got.status == http.StatusOK {
			got.decode(t, &inc)
		}
		return inc, got.status
	}
	first, status := act("acknowledge", nil)
	if status != 200 || first.State != public.StateAcknowledged {
		t.Fatalf("%d %+v", status, first)
	}
	again, status := act("acknowledge", nil)
	if status != 200 || again.Version != first.Version || kinds(again) != "opened evidence acknowledged" {
		t.Errorf("acknowledged twice: %d, version %d and %d, %s", status, first.Version, again.Version, kinds(again))
	}
	if inc, status := act("assign", map[string]string{"assignee": "li"}); status != 200 || inc.Assignee != "li" {
		t.Errorf("assign: %d %+v", status, inc)
	}
	if inc, status := act("notes", map[string]string{"text": "on the way"}); status != 200 || inc.Timeline[len(inc.Timeline)-1].Text != "on the way" {
		t.Errorf("note: %d %+v", status, inc.Timeline)
	}
	if _, status := act("notes", map[string]string{"text": " "}); status != 422 {
		t.Errorf("an empty note: %d", status)
	}
	closed, status := act("close", map[string]string{"text": "nothing there"})
	if status != 200 || closed.State != public.StateClosed || closed.ClosedAt == nil || closed.Condition != "open" {
		t.Errorf("close: %d %+v", status, closed)
	}
	if again, status := act("close", nil); status != 200 || again.Version != closed.Version {
		t.Errorf("closed twice: %d, version %d", status, again.Version)
	}
	if _, status := act("assign", map[string]string{"assignee": "wang"}); status != http.StatusConflict {
		t.Errorf("assigning what is closed: %d", status)
	}
	if got := p.call(t, auth.Dispatcher, "POST", "/api/v1/incidents/none/acknowledge", nil); got.status != 404 {
		t.Errorf("an unknown incident: %d", got.status)
	}
	if state, err := p.audit.Verify(t.Context(), "test"); state.Broken != 0 || err != nil {
		t.Errorf("%+v, %v", state, err)
	}
}

func TestAReportOpensAnIncident(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	got := p.call(t, auth.Dispatcher, "POST", "/api/v1/reports", map[string]any{
		"text": "A tree has fallen.\nBy the bridge.", "severity": "severe", "place": map[string]any{"lat": 30.9201, "lon": 120.93}, "caller": "Mr Li",
	})
	var inc public.Incident
	got.decode(t, &inc)
	if got.status != http.StatusCreated || got.header.Get("Location") != "/api/v1/incidents/"+inc.ID {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if inc.Title != "A tree has fallen." || inc.Source != public.SourceReport || inc.Severity != "severe" || inc.State != public.StateOpen || kinds(inc) != "reported" {
		t.Errorf("%+v", inc)
	}
	var near struct {
		Nearby []nearby.Ranked `json:"nearby"`
		Sees   bool            `json:"sees"`
		Reason string          `json:"reason"`
	}
	for _, path := range []string{"/api/v1/nearby?incident=" + inc.ID, "/api/v1/nearby?lat=30.9201&lon=120.93"} {
		p.call(t, auth.Monitor, "GET", path, nil).decode(t, &near)
		if len(near.Nearby) != 1 || !near.Sees || near.Nearby[0].Device != "yard" || near.Nearby[0].Reason == "" {
			t.Errorf("%s: %+v", path, near)
		}
	}
	p.call(t, auth.Monitor, "GET", "/api/v1/nearby?lat=0&lon=0", nil).decode(t, &near)
	if len(near.Nearby) != 0 || near.Sees || near.Reason == "" {
		t.Errorf("in the ocean: %+v", near)
	}
	for _, bad := range []string{"", "?lat=1", "?lat=91&lon=0", "?lat=x&lon=0", "?incident="} {
		if got := p.call(t, auth.Monitor, "GET", "/api/v1/nearby"+bad, nil); got.status != 422 {
			t.Errorf("nearby%s: %d", bad, got.status)
		}
	}
	for name, bad := range map[string]any{
		"nothing":       map[string]any{},
		"no severity":   map[string]any{"title": "x", "severity": "awful"},
		"off the Earth": map[string]any{"title": "x", "place": map[string]any{"lat": 91, "lon": 0}},
	} {
		if got := p.call(t, auth.Dispatcher, "POST", "/api/v1/reports", bad); got.status != 422 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}

// TestAPersonsReportIsTheirs: what a person reports they have in hand, what a program reports waits for somebody.
func TestAPersonsReportIsTheirs(t *testing.T) {
	p := newPort(t)
	report := func(header ...string) (inc public.Incident) {
		t.Helper()
		got := p.send(t, "POST", "/api/v1/reports", map[string]any{"title": "a tree"}, header...)
		if got.status != http.StatusCreated {
			t.Fatalf("%d %s", got.status, got.body)
		}
		got.decode(t, &inc)
		return inc
	}
	if inc := report(p.logIn(t, "li", auth.Dispatcher)...); inc.State != public.StateAcknowledged || inc.Assignee != "li" || inc.StateBy != "li" || kinds(inc) != "reported assigned" {
		t.Errorf("of a person: %+v", inc)
	}
	if inc := report("Authorization", "Bearer "+p.tokens[auth.Dispatcher]); inc.State != public.StateOpen || inc.Assignee != "" || kinds(inc) != "reported" {
		t.Errorf("of a program: %+v", inc)
	}
}

func TestListsGoOnWhereTheyEnded(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	for range 7 {
		p.call(t, auth.Dispatcher, "POST", "/api/v1/reports", map[string]any{"title": "x", "at": "2026-01-01T00:00:00Z"})
	}
	seen, next, pages := map[string]bool{}, "", 0
	for {
		var page struct {
			Incidents []public.Incident `json:"incidents"`
			Next      *string           `json:"next"`
		}
		p.call(t, auth.Monitor, "GET", "/api/v1/incidents?limit=3&next="+next, nil).decode(t, &page)
		for _, inc := range page.Incidents {
			if seen[inc.ID] {
				t.Errorf("%s came twice", inc.ID)
			}
			seen[inc.ID] = true
		}
		if pages++; page.Next == nil || pages > 5 {
			break
		}
		next = *page.Next
	}
	if len(seen) != 8 {
		t.Errorf("%d incidents on %d pages", len(seen), pages)
	}
	if got := p.call(t, auth.Monitor, "GET", "/api/v1/incidents?next=rubbish", nil); got.status != 422 {
		t.Errorf("a made-up next: %d", got.status)
	}
	var list struct {
		Devices []public.DeviceRecord `json:"devices"`
		Next    *string               `json:"next"`
	}
	p.call(t, auth.Monitor, "GET", "/api/v1/devices?limit=1", nil).decode(t, &list)
	if len(list.Devices) != 1 || list.Devices[0].Name != "river" || list.Next == nil {
		t.Fatalf("%+v", list)
	}
	p.call(t, auth.Monitor, "GET", "/api/v1/devices?limit=5&next="+*list.Next, nil).decode(t, &list)
	if len(list.Devices) != 1 || list.Devices[0].Name != "yard" || list.Next != nil || list.Devices[0].Place.Lat != 30.92 {
		t.Errorf("%+v", list)
	}
}

func TestEvidenceIsServedSafely(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	path := "/api/v1/evidence/" + incidentID + "/a.jpg"
	got := p.call(t, auth.Monitor, "GET", path, nil)
	if string(got.body) != "picture" || got.header.Get("Content-Type") != "image/jpeg" || !strings.Contains(got.header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("%d %v", got.status, got.header)
	}
	if got := p.call(t, auth.Monitor, "GET", path, nil, "Range", "bytes=1-3"); got.status != http.StatusPartialContent || string(got.body) != "ict" {
		t.Errorf("a range: %d %q", got.status, got.body)
	}
	for _, bad := range []string{"/b.jpg", "/..%2f..%2f..%2fhub.db", "/%2e%2e"} {
		if got := p.call(t, auth.Administrator, "GET", "/api/v1/evidence/"+incidentID+bad, nil); got.status == http.StatusOK {
			t.Errorf("%s: %d", bad, got.status)
		}
	}
}

func TestAdministration(t *testing.T) {
	p := newPort(t)
	user := map[string]string{"name": "li", "password": "long enough", "role": "administrator"}
	if got := p.call(t, auth.Administrator, "POST", "/api/v1/users", user); got.status != http.StatusCreated {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := p.call(t, auth.Administrator, "POST", "/api/v1/users", user); got.status != http.StatusConflict {
		t.Errorf("twice: %d", got.status)
	}
	list := p.call(t, auth.Administrator, "GET", "/api/v1/users", nil)
	if strings.Contains(string(list.body), "argon2") || !strings.Contains(string(list.body), `"li"`) {
		t.Errorf("%s", list.body)
	}
	if got := p.call(t, auth.Administrator, "DELETE", "/api/v1/users/li", nil); got.status != http.StatusConflict {
		t.Errorf("removing the last administrator: %d", got.status)
	}
	var made struct {
		ID    string `json:"id"`
		Token string `json:"token"`
	}
	p.call(t, auth.Administrator, "POST", "/api/v1/tokens", map[string]string{"name": "x", "role": "monitor"}).decode(t, &made)
	if got := p.send(t, "GET", "/api/v1/incidents", nil, "Authorization", "Bearer "+made.Token); got.status != http.StatusOK {
		t.Errorf("with the new token: %d", got.status)
	}
	if got := p.call(t, auth.Administrator, "DELETE", "/api/v1/tokens/"+made.ID, nil); got.status != http.StatusNoContent {
		t.Errorf("revoking it: %d", got.status)
	}
	if got := p.send(t, "GET", "/api/v1/incidents", nil, "Authorization", "Bearer "+made.Token); got.status != http.StatusUnauthorized {
		t.Errorf("with the revoked token: %d", got.status)
	}
	if got := p.call(t, auth.Administrator, "POST", "/api/v1/webhooks", map[string]string{"url": "ftp://x"}); got.status != 422 {
		t.Errorf("a webhook by FTP: %d", got.status)
	}
	var hook struct{ ID, Secret string }
	p.call(t, auth.Administrator, "POST", "/api/v1/webhooks", map[string]string{"url": "https://hooks.example/x"}).decode(t, &hook)
	if !strings.HasPrefix(hook.Secret, "whsec_") {
		t.Errorf("%+v", hook)
	}
	p.call(t, auth.Dispatcher, "POST", "/api/v1/reports", map[string]string{"title": "x"})
	got := p.call(t, auth.Administrator, "GET", "/api/v1/webhooks/"+hook.ID+"/deliveries", nil)
	if !strings.Contains(string(got.body), `"state":"pending"`) {
		t.Errorf("%s", got.body)
	}
	if body := p.call(t, auth.Administrator, "GET", "/api/v1/webhooks", nil).body; strings.Contains(string(body), hook.Secret) {
		t.Errorf("the secret is shown again: %s", body)
	}
	if got := p.call(t, auth.Administrator, "DELETE", "/api/v1/webhooks/"+hook.ID, nil); got.status != http.StatusNoContent {
		t.Errorf("%d %s", got.status, got.body)
	}
	keeper := leases.NewKeeper(p.leases, "here", slog.New(slog.DiscardHandler))
	id, err := keeper.Begin(t.Context(), leases.Lease{Edge: "gate-7", Device: "yard", Who: "li", Reason: "a look", Began: time.Now(), Until: time.Now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	keeper.End(id, devices.Cause{Text: "done"})
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := keeper.Run(stopped); err != nil { // stores what has ended
		t.Fatal(err)
	}
	if body := string(p.call(t, auth.Administrator, "GET", "/api/v1/views", nil).body); !strings.Contains(body, `"ended_why":"done"`) {
		t.Errorf("%s", body)
	}
}
