package web

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/store/audit"
)

// readsOnRecord returns who has read which evidence, the newest first.
func readsOnRecord(t *testing.T, p *port) (out []string) {
	t.Helper()
	all, err := p.audit.List(t.Context(), audit.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Action == "evidence read" {
			out = append(out, e.Who+" "+e.Object+" "+e.Detail)
		}
	}
	return out
}

// TestEvidenceReadsAreOnRecord: each read by somebody, once in ten minutes; not one that was refused or found nothing.
func TestEvidenceReadsAreOnRecord(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	now := time.Now()
	p.server.reads.now = func() time.Time { return now }
	path := "/api/v1/evidence/" + incidentID + "/a.jpg"
	get := func(role auth.Role, path string, want int, header ...string) {
		t.Helper()
		if got := p.call(t, role, "GET", path, nil, header...); got.status != want {
			t.Errorf("%s %s: %d %s", role, path, got.status, got.body)
		}
	}
	get(auth.Monitor, path, http.StatusOK)
	get(auth.Monitor, path, http.StatusOK)
	get("", path, http.StatusUnauthorized)
	get(auth.Monitor, path+"x", http.StatusNotFound)
	get(auth.Dispatcher, path, http.StatusPartialContent, "Range", "bytes=0-1")
	want := []string{"token dispatcher " + incidentID + " a.jpg", "token monitor " + incidentID + " a.jpg"}
	if got := readsOnRecord(t, p); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q", got)
	}
	now = now.Add(11 * time.Minute)
	get(auth.Monitor, path, http.StatusOK)
	if got := readsOnRecord(t, p); len(got) != 3 {
		t.Errorf("%q", got)
	}
	// What cannot be recorded is not shown.
	p.update(t, func(tx *db.Tx) error {
		_, err := tx.Exec(`ALTER TABLE audit RENAME TO audit_gone`)
		return err
	})
	get(auth.Administrator, path, http.StatusInternalServerError)
	get(auth.Monitor, path, http.StatusOK) // is on record
}

func TestReadsThatAreRememberedAreBounded(t *testing.T) {
	r := reads{now: time.Now}
	for i := range 3 * maxReads {
		r.add(read{who: fmt.Sprint(i)})
		if len(r.seen) > maxReads {
			t.Fatalf("%d reads", len(r.seen))
		}
	}
	if !r.known(read{who: fmt.Sprint(3*maxReads - 1)}) || r.known(read{who: "0"}) {
		t.Error("the newest read must be known, and the oldest forgotten")
	}
}

// TestWhatMonitorsSeeOfEvidence: by the setting, and by the state of the incident.
func TestWhatMonitorsSeeOfEvidence(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	var edge, device string
	if err := p.db.Read(t.Context()).One(`SELECT edge, device FROM incidents WHERE id = ?`, incidentID)(&edge, &device); err != nil {
		t.Fatal(err)
	}
	path, list := "/api/v1/evidence/"+incidentID+"/a.jpg", "/api/v1/pictures?of="+edge+"/"+device
	check := func(setting MonitorEvidence, shown bool) {
		t.Helper()
		p.server.o.MonitorEvidence = setting
		want := http.StatusForbidden
		if shown {
			want = http.StatusOK
		}
		got := p.call(t, auth.Monitor, "GET", path, nil)
		if got.status != want || !shown && !strings.Contains(string(got.body), "evidence_not_for_monitors") {
			t.Errorf("%q: %d %s", setting, got.status, got.body)
		}
		if got := p.call(t, auth.Monitor, "GET", list, nil); got.status != http.StatusOK || strings.Contains(string(got.body), incidentID) != shown {
			t.Errorf("%q: pictures %s", setting, got.body)
		}
		if got := p.call(t, auth.Dispatcher, "GET", path, nil); got.status != http.StatusOK {
			t.Errorf("%q: a dispatcher gets %d", setting, got.status)
		}
	}
	for setting, shown := range map[MonitorEvidence]bool{"": true, MonitorsSeeAll: true, MonitorsSeeOpen: true, MonitorsSeeNone: false} {
		check(setting, shown)
	}
	p.update(t, func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE incidents SET state = 'closed' WHERE id = ?`, incidentID)
		return err
	})
	for setting, shown := range map[MonitorEvidence]bool{MonitorsSeeAll: true, MonitorsSeeOpen: false, MonitorsSeeNone: false} {
		check(setting, shown)
	}
}
