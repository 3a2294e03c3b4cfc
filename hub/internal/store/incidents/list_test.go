package incidents

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
)

// queries are lists with each filter, alone and together.
func queries(now time.Time) map[string]Query {
	return map[string]Query{
		"all":                   {},
		"open":                  {State: Open},
		"acknowledged":          {State: Acknowledged},
		"closed":                {State: Closed},
		"unclosed":              {State: Unclosed},
		"unclosed extreme":      {State: Unclosed, Severities: []detection.Severity{detection.Extreme}},
		"unclosed of an edge":   {State: Unclosed, Edge: "edge-7"},
		"open of a device":      {State: Open, Edge: "edge-7", Device: "cam-2"},
		"condition open":        {Condition: detection.Open},
		"condition closed":      {Condition: detection.Closed},
		"edge":                  {Edge: "edge-7"},
		"device":                {Edge: "edge-7", Device: "cam-2"},
		"device and rule":       {Edge: "edge-7", Device: "cam-2", Rule: "rule-3"},
		"rule":                  {Rule: "rare"},
		"kind":                  {Kind: "silence"},
		"severity":              {Severities: []detection.Severity{detection.Extreme}},
		"edge and severity":     {Edge: "edge-7", Severities: []detection.Severity{detection.Extreme}},
		"site":                  {Site: "edge-3"},
		"source report":         {Source: FromReport},
		"source edge":           {Source: FromEdge},
		"assignee":              {Assignee: "li"},
		"outcome":               {Outcome: FalseAlarm},
		"rare outcome":          {Outcome: HandedOn},
		"outcome of an edge":    {Outcome: FalseAlarm, Edge: "edge-7"},
		"outcome of a site":     {Outcome: FalseAlarm, Site: "edge-7"},
		"kind of an edge":       {Kind: "line", Edge: "edge-7"},
		"search of an outcome":  {Text: "crossed", Outcome: HandedOn},
		"severities":            {Severities: []detection.Severity{detection.Severe, detection.Extreme}},
		"all severities":        {Severities: allSeverities},
		"oldest first":          {Ascending: true},
		"oldest of a day":       {Since: now.Add(-200 * 24 * time.Hour), Until: now.Add(-199 * 24 * time.Hour), Ascending: true},
		"oldest of a search":    {Text: "crossed", Ascending: true},
		"oldest of a device":    {Edge: "edge-7", Device: "cam-2", Ascending: true},
		"group":                 {Group: "00000000-0000-7000-8000-000000000005"},
		"since":                 {Since: now.Add(-10 * 24 * time.Hour)},
		"a day":                 {Since: now.Add(-200 * 24 * time.Hour), Until: now.Add(-199 * 24 * time.Hour)},
		"everything together":   {State: Closed, Edge: "edge-7", Device: "cam-2", Rule: "rule-3", Kind: "line", Severities: []detection.Severity{detection.Minor}, Site: "edge-7", Source: FromEdge, Until: now},
		"IDs":                   {IDs: []string{"00000000-0000-7000-8000-000000000007", "00000000-0000-7000-8000-000000000003", "none"}},
		"search":                {Text: "crossed"},
		"search Chinese":        {Text: "水位"},
		"search and filters":    {Text: "crossed line", Edge: "edge-7", State: Open},
		"search in a day":       {Text: "crossed", Since: now.Add(-200 * 24 * time.Hour), Until: now.Add(-199 * 24 * time.Hour)},
		"search nothing":        {Text: "crossed elsewhere"},
		"search of an assignee": {Text: "crossed", Assignee: "li"},
	}
}

// accepts is a filter as plainly as it can be written.
func (q Query) accepts(inc Incident) bool {
	text := strings.Join([]string{inc.Title, inc.Rule, inc.Device, inc.Edge, inc.Kind, inc.Assignee}, " ")
	for _, word := range strings.Fields(q.Text) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	if q.IDs != nil && !slices.Contains(q.IDs, inc.ID) {
		return false
	}
	same := func(want, got string) bool { return want == "" || want == got }
	return (same(string(q.State), string(inc.State)) || q.State == Unclosed && inc.State != Closed) && same(string(q.Condition), string(inc.Condition)) &&
		same(q.Edge, inc.Edge) && same(q.Device, inc.Device) && same(q.Rule, inc.Rule) && same(q.Kind, inc.Kind) && (q.Severities == nil || slices.Contains(q.Severities, inc.Severity)) && same(string(q.Outcome), string(inc.Outcome)) &&
		same(q.Site, inc.Site) && same(string(q.Source), string(inc.Source)) && same(q.Assignee, inc.Assignee) && same(q.Group, inc.Group) &&
		(q.Since.IsZero() || !inc.OccurredAt.Before(q.Since)) && (q.Until.IsZero() || inc.OccurredAt.Before(q.Until))
}

// TestListsAndPlans compares each list with a plain filter, page by page, and looks at how the engine
// finds its rows.
func TestListsAndPlans(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Hooks{})
		seed(t, d, seededIncidents)
		now := time.Now()
		everything, err := r.List(t.Context(), Query{Scope: scope.All(), Limit: seededIncidents})
		if err != nil || len(everything) != seededIncidents {
			t.Fatalf("%d incidents, %v", len(everything), err)
		}
		for name, q := range queries(now) {
			q.Scope, q.Limit = scope.All(), 100
			var want, got []string
			sorted := slices.Clone(everything) // newest first; arrival is the same order here
			if q.Ascending {
				slices.Reverse(sorted)
			}
			for _, inc := range sorted {
				if q.accepts(inc) && len(want) < 250 {
					want = append(want, inc.ID)
				}
			}
			for len(got) < 250 {
				page, err := r.List(t.Context(), q)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				for _, inc := range page {
					got = append(got, inc.ID)
					if inc.Edge != "" && (inc.Number-1)%3 == 0 && len(inc.Evidence) != 1 {
						t.Errorf("%s: incident %d has %d files", name, inc.Number, len(inc.Evidence))
					}
					q.After = Position{At: inc.OccurredAt, Number: inc.Number}
				}
				if len(page) < q.Limit {
					break
				}
			}
			if got = got[:min(len(got), 250)]; !slices.Equal(got, want) {
				t.Errorf("%s: %d incidents, want %d", name, len(got), len(want))
			}
			text, args, err := r.walkQuery(d.Read(t.Context()), q)
			if q.Text != "" {
				text, args, err = r.searchQuery(d.Read(t.Context()), q)
			}
			if err != nil {
				t.Fatal(err)
			}
			checkPlan(t, d, name, text, args)
			if q.Text != "" && d.Engine() == db.Postgres {
				if text, args, err = r.newestQuery(q); err != nil {
					t.Fatal(err)
				}
				checkPlan(t, d, name+" among the newest", text, args)
			}
		}
		for name, plan := range r.plans(t, now) {
			checkPlan(t, d, name, plan.text, plan.args)
		}
		crowded(t, d, r)
		if d.Engine() == db.SQLite {
			text, args := r.fewQuery(Query{Rule: "rule-3", Severities: []detection.Severity{detection.Severe}, Limit: 100}, "xr AND xv")
			checkPlan(t, d, "few", text, args)
		}
		if counts, err := r.Counts(t.Context(), scope.All()); err != nil || total(counts) != seededIncidents {
			t.Errorf("%v, %v", counts, err)
		}
		before := d.Queries()
		if _, err := r.List(t.Context(), Query{Scope: scope.All(), Limit: 500}); err != nil {
			t.Fatal(err)
		}
		if n := d.Queries() - before; n > 3 {
			t.Errorf("a page of 500 incidents takes %d queries", n)
		}
	})
}

// crowded: when nobody closes incidents, lists that another filter narrows do not pass over all of them.
func crowded(t *testing.T, d *db.DB, r *Repository) {
	t.Helper()
	if d.Engine() != db.SQLite {
		return
	}
	set := func(n int) {
		if err := d.Update(t.Context(), "test", func(tx *db.Tx) error {
			_, err := tx.Exec(`INSERT INTO incident_counts(site, state, severity, n) VALUES ('crowd', 'open', 'minor', ?)
				ON CONFLICT(site, state, severity) DO UPDATE SET n = incident_counts.n + excluded.n`, n)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		change int
		want   string
	}{{0, "incidents_unclosed"}, {small, "incidents_severity"}, {-small, "incidents_unclosed"}} {
		set(step.change)
		got, err := r.hint(d.Read(t.Context()), Query{State: Open, Severities: []detection.Severity{detection.Extreme}})
		if err != nil || got != " INDEXED BY "+step.want {
			t.Errorf("%+d unclosed incidents: %s, %v; want %s", step.change, got, err, step.want)
		}
	}
}

func total(counts []Count) (n int) {
	for _, c := range counts {
		n += c.N
	}
	return n
}

type plan struct {
	text string
	args []any
}

// plans are the other queries of hot paths.
func (r *Repository) plans(t *testing.T, now time.Time) map[string]plan {
	t.Helper()
	all := map[string]plan{
		"incident":     {`SELECT ` + columns + ` FROM incidents i WHERE i.id = ?`, []any{"x"}},
		"facts":        {`SELECT kind FROM facts WHERE incident = ? ORDER BY id`, []any{"x"}},
		"reports":      {`SELECT id FROM reports WHERE incident = ? ORDER BY recorded_at, id LIMIT 200`, []any{"x"}},
		"evidence":     {`SELECT ` + fileColumns + ` FROM evidence v WHERE v.incident ` + db.InList(r.db.Engine()) + ` ORDER BY v.incident, v.name`, []any{`["a","b"]`}},
		"open of edge": {`SELECT id FROM incidents WHERE edge = ? AND condition = 'open' ORDER BY id`, []any{"edge-7"}},
		"ended by hub": {`SELECT id FROM incidents WHERE edge = ? AND ended_by != '' ORDER BY id`, []any{"edge-7"}},
		"unplaced":     {`SELECT id FROM incidents WHERE edge = ? AND device = ? AND place IS NULL AND state != 'closed' ORDER BY id LIMIT 100`, []any{"edge-7", "cam-2"}},
		"picture": {`SELECT v.name FROM evidence v JOIN incidents i ON i.id = v.incident AND i.edge = v.edge
			WHERE v.edge = ? AND v.device = ? AND v.complete = 1 AND v.content_type IN ('image/jpeg', 'image/png') ORDER BY v.taken_at DESC LIMIT 1`, []any{"edge-7", "cam-2"}},
		"group before": {
			`SELECT id FROM incident_groups WHERE edge = ? AND device = ? AND rule = ? AND first_at <= ? ORDER BY first_at DESC LIMIT 1`,
			[]any{"edge-7", "cam-2", "rule-3", db.Millis(now)},
		},
		"expired": {
			`SELECT number FROM incidents WHERE state = 'closed' AND held = 0 AND updated_at < ? ORDER BY updated_at, number LIMIT 100`,
			[]any{db.Millis(now.Add(-299 * 24 * time.Hour))},
		},
		"backlog": {`SELECT number FROM incidents WHERE indexed = 0 ORDER BY number LIMIT 100`, nil},
	}
	for name, q := range map[string]Query{
		"groups": {}, "groups of an edge": {Edge: "edge-7"}, "groups of a device": {Edge: "edge-7", Device: "cam-2"},
		"unclosed groups": {State: Unclosed}, "groups of a site": {Site: "edge-3"},
		"closed groups": {State: Closed}, "closed groups of an edge": {State: Closed, Edge: "edge-7"}, "groups by ID": {State: Closed, IDs: []string{"a", "b"}},
	} {
		q.Scope, q.Limit = scope.All(), 100
		text, args := r.groupQuery(q, GroupPosition{At: now, ID: "x"})
		all[name] = plan{text, args}
	}
	return all
}

// checkPlan fails when a query reads a whole big table, or sorts one.
func checkPlan(t *testing.T, d *db.DB, name, text string, args []any) {
	t.Helper()
	var lines []string
	if err := d.Update(t.Context(), "explain", func(tx *db.Tx) error {
		if d.Engine() == db.Postgres {
			// So few rows can be read faster without an index; at a million they cannot.
			if _, err := tx.Exec(`SET LOCAL enable_seqscan = off`); err != nil {
				return err
			}
		}
		lines = dbtest.PlanIn(t, d.Engine(), tx.Reader, text, args...)
		return nil
	}); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	// These are few; they are sorted after they were found.
	sorts := []string{"IDs", "few", "condition open", "open of edge", "ended by hub", "unplaced", "groups by ID"}
	for _, line := range lines {
		bad := strings.Contains(line, "Seq Scan on") ||
			strings.Contains(line, "SCAN") && !strings.Contains(line, "USING INDEX") && !strings.Contains(line, "USING COVERING INDEX") && !strings.Contains(line, "VIRTUAL TABLE") ||
			strings.Contains(line, "TEMP B-TREE") && !slices.Contains(sorts, name)
		// Reading all incidents of the edge takes ten times as long where they are not in memory.
		bad = bad || d.Engine() == db.Postgres && name == "edge and severity" && strings.Contains(line, "incidents_edge ")
		// The newest closed incident of a group is the first one in that group's part of the index.
		bad = bad || strings.HasPrefix(name, "closed groups") && (strings.Contains(line, "SCAN i ") || strings.Contains(line, "incidents_occurred"))
		if bad {
			t.Errorf("%s: %s\n%s", name, text, strings.Join(lines, "\n"))
			return
		}
	}
}

// TestSearch finds what people write, whatever the script.
func TestSearch(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Hooks{})
		now := time.Now().Add(-time.Hour)
		a := alertAt(t, now)
		a.Title = "Motion in the yard"
		b := alertAt(t, now)
		b.Title, b.Incident.Device, b.Incident.Class = "西门水位超过警戒线 3.5m", "river", ""
		applyAll(t, d, r, "gate-7", a, b)
		if _, err := r.Edit(t.Context(), Edit{Who: "li", ID: a.Incident.ID, Scope: scope.All(), Apply: func(*Incident) (*Fact, error) {
			return &Fact{Kind: FactNoted, Text: "A fox — again! ＦＯＸ２ 狐"}, nil
		}}); err != nil {
			t.Fatal(err)
		}
		for text, want := range map[string]string{
			"motion": a.Incident.ID, "YARD motion": a.Incident.ID, "fox": a.Incident.ID, "fox2": a.Incident.ID, "狐": a.Incident.ID,
			"水位": b.Incident.ID, "警戒": b.Incident.ID, "西门水位": b.Incident.ID, "水": b.Incident.ID, "线": b.Incident.ID, "超过 river": b.Incident.ID, "3.5m": b.Incident.ID,
			"位水": "", "hound": "", "motion 水位": "", `"motion" OR (`: "", "'": "error", " ": "all", "gate-7": "all",
		} {
			all, err := r.List(t.Context(), Query{Scope: scope.All(), Text: text, Limit: 10})
			switch {
			case want == "error":
				if !errors.Is(err, ErrNoWords) {
					t.Errorf("%q: %v", text, err)
				}
			case err != nil:
				t.Errorf("%q: %v", text, err)
			case want == "all":
				if len(all) != 2 {
					t.Errorf("%q: %d incidents", text, len(all))
				}
			case want == "" && len(all) != 0, want != "" && (len(all) != 1 || all[0].ID != want):
				t.Errorf("%q: %d incidents", text, len(all))
			}
		}
		if all, err := r.List(t.Context(), Query{Scope: scope.Sites("gate-8"), Text: "motion", Limit: 10}); err != nil || len(all) != 0 {
			t.Errorf("outside of the scope: %d incidents, %v", len(all), err)
		}
		if all, err := r.List(t.Context(), Query{Scope: scope.Sites("gate-7"), Limit: 10}); err != nil || len(all) != 2 {
			t.Errorf("within the scope: %d incidents, %v", len(all), err)
		}
	})
}

// FuzzTokens checks that what a text is indexed by and searched by agree, and that tokens need no quoting.
func FuzzTokens(f *testing.F) {
	for _, s := range []string{"", "motion in the yard", "西门水位 3.5m", "ＦＯＸ", "a\x00'\"&|*(", "\xff\xfe", "สวัสดี", "e\u0301"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		doc := map[string]bool{}
		for _, token := range tokens(text, true) {
			doc[token] = true
			if token == "" || strings.ContainsAny(token, "\x00'\"&|!:*()<> \\") {
				t.Errorf("token %q of %q", token, text)
			}
		}
		for _, token := range tokens(text, false) {
			if !doc[token] {
				t.Errorf("%q is searched by %q and not indexed by it", text, token)
			}
		}
	})
}

func TestPeriodTokens(t *testing.T) {
	at := time.Date(2026, 11, 30, 23, 30, 0, 0, time.UTC)
	for days, want := range map[int]int{0: 1, 1: 2, 40: 41, 41: 2, 365: 13} {
		got := periodTokens(at.AddDate(0, 0, -days), at)
		if len(got) != want || !slices.Contains(got, dayToken(at)) && !slices.Contains(got, monthToken(at)) {
			t.Errorf("%d days: %v", days, got)
		}
	}
	if got := periodTokens(at, at.Add(-time.Hour)); got != nil {
		t.Errorf("a period that ends before it begins: %v", got)
	}
	if got := periodTokens(time.Time{}, at); got != nil {
		t.Errorf("since ever: %d tokens", len(got))
	}
}

func TestMatchText(t *testing.T) {
	m := match{{"a"}, {"b", "c"}}
	if got := m.text(db.SQLite); got != `("a") AND ("b" OR "c")` {
		t.Error(got)
	}
	if got := m.text(db.Postgres); got != `('a') & ('b' | 'c')` {
		t.Error(got)
	}
	if long := tokens(strings.Repeat("x", 500), true); len(long) != 1 || len(long[0]) != maxToken {
		t.Error(fmt.Sprint(long))
	}
}
