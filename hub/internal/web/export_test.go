package web

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/incidents"
)

// exportedRows reads a file of incidents, without the row of names.
func exportedRows(t *testing.T, body []byte) [][]string {
	t.Helper()
	text, found := strings.CutPrefix(string(body), "\ufeff")
	if !found {
		t.Error("the file has no byte order mark")
	}
	if strings.Count(text, "\n") != strings.Count(text, "\r\n") {
		t.Error("a line does not end with CR and LF")
	}
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) == 0 || rows[0][0] != "id" || len(rows[0]) != len(exportColumns) {
		t.Fatalf("%q", rows)
	}
	return rows[1:]
}

func column(name string) int {
	for i, c := range exportColumns {
		if c.name == name {
			return i
		}
	}
	panic(name)
}

func TestExport(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	const formula = `=HYPERLINK("http://x","y"), a "quoted" one`
	for _, title := range []string{formula, "水位 超过"} {
		if got := p.call(t, auth.Dispatcher, "POST", "/api/v1/reports", map[string]any{"title": title, "text": "smoke", "severity": "severe"}); got.status != http.StatusCreated {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	get := func(query string) [][]string {
		t.Helper()
		got := p.call(t, auth.Dispatcher, "GET", "/api/v1/incidents.csv?"+query, nil)
		if got.status != http.StatusOK || !strings.HasPrefix(got.header.Get("Content-Type"), "text/csv") || !strings.Contains(got.header.Get("Content-Disposition"), "attachment") {
			t.Fatalf("%s: %d %s %s", query, got.status, got.header, got.body)
		}
		return exportedRows(t, got.body)
	}
	all := get("")
	list, err := p.server.o.Incidents.List(t.Context(), incidents.Query{Scope: scope.All(), Limit: 100})
	if err != nil || len(all) != len(list) || len(all) < 3 {
		t.Fatalf("%d rows of %d incidents, %v", len(all), len(list), err)
	}
	for i, inc := range list {
		at, err := time.Parse(time.RFC3339Nano, all[i][column("occurred_at")])
		if all[i][0] != inc.ID || err != nil || !at.Equal(inc.OccurredAt) {
			t.Errorf("row %d: %q, %v", i, all[i], err)
		}
	}
	titles := []string{all[0][column("title")], all[1][column("title")]}
	if slices.Sort(titles); titles[0] != "'"+formula || !strings.HasPrefix(titles[1], "水位") {
		t.Errorf("%q", titles)
	}
	if rows := get("severity=severe&source=report&tz=Asia/Shanghai"); len(rows) != 2 || !strings.HasSuffix(rows[0][column("occurred_at")], "+08:00") {
		t.Errorf("%q", rows)
	}
	if rows := get("outcome=false_alarm"); len(rows) != 0 {
		t.Errorf("%q", rows)
	}
	for query, want := range map[string]int{"tz=Nowhere/City": 422, "severity=awful": 422, "sort=device&q=x": 422, "q=%21": 422, "outcome=awful": 422} {
		if got := p.call(t, auth.Dispatcher, "GET", "/api/v1/incidents.csv?"+query, nil); got.status != want {
			t.Errorf("%s: %d %s", query, got.status, got.body)
		}
	}
	if got := p.call(t, auth.Monitor, "GET", "/api/v1/incidents.csv", nil); got.status != http.StatusForbidden {
		t.Errorf("a monitor: %d", got.status)
	}
	entries, err := p.audit.List(t.Context(), audit.Query{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var details []string
	for _, e := range entries {
		if e.Action == "incident export" {
			details = append(details, e.Detail)
		}
	}
	if want := []string{"outcome=false_alarm", "severity=severe source=report", "all"}; !slices.Equal(details, want) {
		t.Errorf("%q", details)
	}
	p.update(t, func(tx *db.Tx) error {
		_, err := tx.Exec(`ALTER TABLE audit RENAME TO audit_gone`)
		return err
	})
	if got := p.call(t, auth.Dispatcher, "GET", "/api/v1/incidents.csv", nil); got.status != http.StatusInternalServerError || strings.Contains(string(got.body), list[0].ID) {
		t.Errorf("what cannot be recorded: %d %s", got.status, got.body)
	}
}

// TestExportIsBoundedAndWhole: pages follow one another without a gap, and the last row says when there are more.
func TestExportIsBoundedAndWhole(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	for n := range 10 {
		if got := p.call(t, auth.Dispatcher, "POST", "/api/v1/reports", map[string]any{"title": fmt.Sprint("report ", n)}); got.status != http.StatusCreated {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	q := incidents.Query{Scope: scope.All(), Source: incidents.FromReport, Limit: 3}
	for most, want := range map[int]int{100: 10, 10: 10, 9: 10, 4: 5} {
		next := p.server.incidentRows(q, time.UTC, most)
		var rows [][]string
		for last := false; !last; {
			var page [][]string
			var err error
			if page, last, err = next(t.Context()); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, page...)
		}
		seen := map[string]bool{}
		for _, row := range rows {
			seen[row[0]] = true
		}
		cut := strings.HasPrefix(rows[len(rows)-1][0], "more than")
		if len(rows) != want || len(seen) != want || cut != (most < 10) {
			t.Errorf("at most %d: %d rows, %v", most, len(rows), cut)
		}
	}
}

// TestCursorsOfSortedLists walks lists of every order by the API's cursors, and refuses the cursor of another order.
func TestCursorsOfSortedLists(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	for n := range 9 {
		severity := []string{"minor", "severe", "extreme"}[n%3]
		if got := p.call(t, auth.Dispatcher, "POST", "/api/v1/reports", map[string]any{"title": fmt.Sprint("report ", n), "severity": severity}); got.status != http.StatusCreated {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	type page struct {
		Incidents []struct{ ID string }
		Next      *string
	}
	read := func(query string) (out page) {
		t.Helper()
		got := p.call(t, auth.Monitor, "GET", "/api/v1/incidents?"+query, nil)
		if got.status != http.StatusOK {
			t.Fatalf("%s: %d %s", query, got.status, got.body)
		}
		got.decode(t, &out)
		return out
	}
	whole := len(read("limit=500").Incidents)
	cursors := map[string]string{}
	for _, sort := range []string{"occurred", "severity", "state", "device"} {
		for _, order := range []string{"asc", "desc"} {
			query := "limit=2&sort=" + sort + "&order=" + order
			var got []string
			next := ""
			for {
				one := read(query + "&next=" + url.QueryEscape(next))
				for _, inc := range one.Incidents {
					got = append(got, inc.ID)
				}
				if one.Next == nil {
					break
				}
				next = *one.Next
				cursors[sort] = next
			}
			want := read("limit=500&sort=" + sort + "&order=" + order)
			for i, inc := range want.Incidents {
				if len(got) != whole || inc.ID != got[i] {
					t.Fatalf("%s %s: %q", sort, order, got)
				}
			}
		}
	}
	for _, bad := range []string{"sort=device&next=" + cursors["occurred"], "next=" + cursors["device"], "sort=severity&next=" + cursors["device"]} {
		if got := p.call(t, auth.Monitor, "GET", "/api/v1/incidents?"+bad, nil); got.status == http.StatusOK {
			t.Errorf("%s: %d", bad, got.status)
		}
	}
}
