package web

import (
	"net/http"
	"testing"

	"gridpost/hub/api/public"
	"gridpost/hub/internal/auth"
)

// TestMuteRule mutes a rule over the API: its incident says so, and again that it is not when the mute is ended.
func TestMuteRule(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	body := func(reason string, minutes int) map[string]any {
		return map[string]any{"edge": "gate-7", "device": "yard", "rule": "yard", "reason": reason, "minutes": minutes}
	}
	for _, wrong := range []map[string]any{body("", 5), body("  ", 5), body("rain", 0), body("rain", 1441)} {
		if got := p.call(t, auth.Dispatcher, "POST", "/api/v1/mutes", wrong); got.status != http.StatusUnprocessableEntity {
			t.Errorf("%v: %d %s", wrong, got.status, got.body)
		}
	}
	got := p.call(t, auth.Dispatcher, "POST", "/api/v1/mutes", body(" rain ", 1440))
	if got.status != http.StatusCreated {
		t.Fatalf("%d %s", got.status, got.body)
	}
	var m public.Mute
	got.decode(t, &m)
	if m.Reason != "rain" || m.Who != "token dispatcher" || m.Until.Sub(m.Began).Hours() != 24 || m.Site != "gate-7" {
		t.Errorf("%+v", m)
	}
	read := func() (inc public.Incident) {
		t.Helper()
		p.call(t, auth.Monitor, "GET", "/api/v1/incidents/"+incidentID, nil).decode(t, &inc)
		return inc
	}
	if inc := read(); inc.MutedUntil == nil || !inc.MutedUntil.Equal(m.Until) || inc.State != public.StateOpen {
		t.Errorf("muted: %+v", inc)
	}
	if got := p.call(t, auth.Dispatcher, "DELETE", "/api/v1/mutes/"+m.ID, nil); got.status != http.StatusNoContent {
		t.Errorf("ending: %d %s", got.status, got.body)
	}
	if got := p.call(t, auth.Dispatcher, "DELETE", "/api/v1/mutes/"+m.ID, nil); got.status != http.StatusNotFound {
		t.Errorf("ending again: %d %s", got.status, got.body)
	}
	if inc := read(); inc.MutedUntil != nil {
		t.Errorf("ended: %+v", inc)
	}
}
