package web

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gridpost/hub/api"
	"gridpost/hub/api/public"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/incidents"
	"gridpost/hub/internal/store/leases"
)

// clip gives the incident of the fixture a clip.
func (p *port) clip(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, "evidence", incidentID, "clip.mp4"), []byte("some video"), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ev := api.Evidence{
		Incident: incidentID, Name: "clip.mp4", ContentType: api.ClipType, Size: 10, SHA256: strings.Repeat("c", 64), Time: now,
		Clip: &api.Clip{From: now.Add(-10 * time.Second), To: now, Frames: 250, Codec: "avc1.64001f", Signed: true, Gaps: []api.ClipGap{{From: now.Add(-3 * time.Second), To: now.Add(-2 * time.Second)}}},
	}
	p.update(t, func(tx *db.Tx) error { return p.incidents.AnnounceEvidence(tx, "gate-7", ev, now) })
	if err := p.incidents.CompleteEvidence(t.Context(), "gate-7", incidents.Upload{Evidence: ev}); err != nil {
		t.Fatal(err)
	}
}

const clipPath = "/api/v1/evidence/" + incidentID + "/clip.mp4"

// TestClipsNeedAView: a clip is watched as live video is: by dispatchers, for a purpose, on record, and for a time.
func TestClipsNeedAView(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	p.clip(t)
	status := func(role auth.Role, method, path string, body any, want int, code string) answer {
		t.Helper()
		got := p.call(t, role, method, path, body)
		if got.status != want || !strings.Contains(string(got.body), code) {
			t.Errorf("%s %s %s: %d %s, expected %d %s", role, method, path, got.status, got.body, want, code)
		}
		return got
	}
	watch := func(role auth.Role, reason string) (v public.ClipView) {
		t.Helper()
		body := map[string]string{}
		if reason != "" {
			body["reason"] = reason
		}
		status(role, "POST", clipPath+"/views", body, http.StatusCreated, "").decode(t, &v)
		return v
	}
	status(auth.Monitor, "POST", clipPath+"/views", map[string]string{}, http.StatusForbidden, "")
	status(auth.Monitor, "GET", clipPath+"?view=x", nil, http.StatusForbidden, "clip_not_for_monitors")
	status(auth.Dispatcher, "GET", clipPath, nil, http.StatusForbidden, "clip_view_missing")
	status(auth.Dispatcher, "POST", "/api/v1/evidence/"+incidentID+"/a.jpg/views", map[string]string{}, http.StatusNotFound, "")

	v := watch(auth.Dispatcher, "")
	if got := status(auth.Dispatcher, "GET", v.URL, nil, http.StatusOK, "some video"); got.header.Get("Content-Type") != "video/mp4" || got.header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("%v", got.header)
	}
	if got := status(auth.Dispatcher, "GET", v.URL+"&download=1", nil, http.StatusOK, ""); !strings.Contains(got.header.Get("Content-Disposition"), incidentID+"-clip.mp4") {
		t.Errorf("%v", got.header)
	}
	status(auth.Administrator, "GET", v.URL, nil, http.StatusForbidden, "clip_view_missing") // somebody else's view
	status(auth.Administrator, "DELETE", clipPath+"/views/"+v.ID, nil, http.StatusNotFound, "")
	status(auth.Dispatcher, "DELETE", clipPath+"/views/"+v.ID, nil, http.StatusNoContent, "")

	all, err := p.leases.List(t.Context(), leases.Query{Scope: scope.All(), Limit: 10})
	if err != nil || len(all) != 1 || all[0].File != "clip.mp4" || all[0].Incident != incidentID || all[0].Device != "yard" || all[0].Who != "token dispatcher" {
		t.Errorf("on record: %+v, %v", all, err)
	}
	// One that an administrator ends, and one whose time is over.
	v = watch(auth.Dispatcher, "")
	status(auth.Administrator, "DELETE", "/api/v1/views/"+v.ID, nil, http.StatusNoContent, "")
	status(auth.Dispatcher, "GET", v.URL, nil, http.StatusForbidden, "clip_view_missing")
	v = watch(auth.Dispatcher, "")
	p.update(t, func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE leases SET until = ? WHERE id = ?`, db.Millis(time.Now().Add(-time.Second)), v.ID)
		return err
	})
	status(auth.Dispatcher, "GET", v.URL, nil, http.StatusForbidden, "clip_view_missing")

	// A closed incident says no longer what a view is for.
	status(auth.Dispatcher, "POST", "/api/v1/incidents/"+incidentID+"/close", map[string]string{"outcome": "dealt_with"}, http.StatusOK, "")
	status(auth.Dispatcher, "POST", clipPath+"/views", map[string]string{}, http.StatusBadRequest, "video_reason_missing")
	v = watch(auth.Dispatcher, "a complaint")
	status(auth.Dispatcher, "GET", v.URL, nil, http.StatusOK, "some video")

	var inc public.Incident
	status(auth.Monitor, "GET", "/api/v1/incidents/"+incidentID, nil, http.StatusOK, "").decode(t, &inc)
	if c := inc.Evidence[1].Clip; c == nil || c.Frames != 250 || !c.Signed || len(c.Gaps) != 1 || c.To.Sub(c.From) != 10*time.Second {
		t.Errorf("%+v", inc.Evidence)
	}
}
