package web

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/leases"
)

// table reads an export.
func table(t *testing.T, got answer) [][]string {
	t.Helper()
	text, marked := strings.CutPrefix(string(got.body), "\ufeff")
	if got.status != http.StatusOK || !marked || got.header.Get("Content-Type") != "text/csv; charset=utf-8" ||
		!strings.HasPrefix(got.header.Get("Content-Disposition"), `attachment; filename="gridpost-`) {
		t.Fatalf("%d %v %.200s", got.status, got.header, got.body)
	}
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestExports: the tables have what the lists have, by the same filters and beyond a page, no formula, and only the sites
// of who asks; and the log says who took them.
func TestExports(t *testing.T) {
	p := newPort(t)
	const entries = exportPage + 20
	for i := range entries {
		e := audit.Entry{Who: "li", Action: "log in failed", Object: "=1+1", Detail: fmt.Sprint(i)}
		if err := p.audit.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	for i, edge := range []string{"gate-7", "bridge", "gate-7"} {
		l := leases.Lease{ID: fmt.Sprint("view-", i), Edge: edge, Device: "yard", Who: "li", Reason: "@look", Began: began.Add(time.Duration(i) * time.Second), Until: began.Add(time.Hour)}
		if i == 0 {
			l.Incident = "i-1"
		}
		if err := p.leases.Begin(t.Context(), "run", l); err != nil {
			t.Fatal(err)
		}
	}
	rows := table(t, p.call(t, auth.Administrator, "GET", "/api/v1/audit.csv?who=li&action=log+in+failed", nil))
	if len(rows) != entries+1 || strings.Join(rows[0], " ") != "number at who user_id action object detail" {
		t.Fatalf("%d rows, %v", len(rows), rows[0])
	}
	for i, row := range rows[1:] {
		if row[2] != "li" || row[5] != "'=1+1" || row[6] != fmt.Sprint(entries-1-i) {
			t.Fatalf("row %d: %v", i, row)
		}
	}
	for query, want := range map[string]string{
		"": "view-2 view-1 view-0", "?incident=i-1": "view-0", "?no_incident=true": "view-2 view-1", "?edge=bridge&device=yard": "view-1", "?who=wang": "",
		"?until=" + began.Add(time.Second).UTC().Format(time.RFC3339Nano): "view-0",
	} {
		got := []string{}
		for _, row := range table(t, p.call(t, auth.Administrator, "GET", "/api/v1/views.csv"+query, nil))[1:] {
			got = append(got, row[len(row)-1])
			if row[9] != "'@look" {
				t.Errorf("%v", row)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
	in := scope.Sites("bridge")
	text, _, err := p.auth.CreateToken(t.Context(), auth.NewToken{By: "test", Name: "x", Role: auth.Administrator, Scope: &in})
	if err != nil {
		t.Fatal(err)
	}
	if rows := table(t, p.send(t, "GET", "/api/v1/views.csv", nil, "Authorization", "Bearer "+text)); len(rows) != 2 || rows[1][6] != "bridge" {
		t.Errorf("%v", rows)
	}
	for action, want := range map[string]int{"audit export": 1, "view export": 7} {
		if all, err := p.audit.List(t.Context(), audit.Query{Action: action, Limit: 100}); err != nil || len(all) != want {
			t.Errorf("%s: %d entries, want %d: %v", action, len(all), want, err)
		}
	}
}

// TestAuditHead: the state has the newest entry's number, time and hash.
func TestAuditHead(t *testing.T) {
	p := newPort(t)
	state, err := p.audit.State(t.Context())
	if err != nil || state.Last == 0 || len(state.Hash) != 32 || state.LastAt == nil || time.Since(*state.LastAt) > time.Minute {
		t.Errorf("%+v, %v", state, err)
	}
	all, err := p.audit.List(t.Context(), audit.Query{Limit: 1})
	if err != nil || all[0].ID != state.Last || !all[0].At.Equal(*state.LastAt) {
		t.Errorf("%+v, %+v, %v", all, state, err)
	}
}
