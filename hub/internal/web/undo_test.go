package web

import (
	"net/http"
	"testing"

	"gridpost/hub/api"
	"gridpost/hub/internal/auth"
)

func TestUndo(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	do := func(method, verb string, want int) (inc api.Incident) {
		t.Helper()
		got := p.call(t, auth.Dispatcher, method, "/api/v1/incidents/"+incidentID+"/"+verb, nil)
		if got.status != want {
			t.Fatalf("%s %s: %d %s", method, verb, got.status, got.body)
		}
		if want == http.StatusOK {
			got.decode(t, &inc)
		}
		return inc
	}
	if inc := do("POST", "acknowledge", 200); inc.StateBy == "" {
		t.Errorf("acknowledged by nobody: %+v", inc)
	}
	if inc := do("DELETE", "acknowledge", 200); inc.State != api.StateOpen || inc.Assignee != "" || inc.StateBy != "" {
		t.Errorf("not taken back: %+v", inc)
	}
	if inc := do("DELETE", "acknowledge", 200); kinds(inc) != "opened evidence acknowledged unacknowledged" {
		t.Errorf("taken back twice: %s", kinds(inc))
	}
	if inc := do("POST", "close", 200); inc.StateBy == "" || inc.ClosedAt == nil {
		t.Errorf("closed by nobody: %+v", inc)
	}
	do("DELETE", "acknowledge", http.StatusConflict)
	inc := do("POST", "reopen", 200)
	if inc.State != api.StateAcknowledged || inc.ClosedAt != nil || inc.StateBy == "" {
		t.Errorf("not opened again: %+v", inc)
	}
	if again := do("POST", "reopen", 200); again.Version != inc.Version {
		t.Errorf("opened again twice: versions %d and %d", inc.Version, again.Version)
	}
	got := p.call(t, auth.Monitor, "POST", "/api/v1/incidents/"+incidentID+"/reopen", nil)
	if got.status != http.StatusForbidden {
		t.Errorf("a monitor: %d", got.status)
	}
}
