package incidents

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
)

// ordered is the order of a list as plainly as it can be written. It compares what comes first as less.
func (q Query) ordered(a, b Incident) int {
	newest := cmp.Or(b.OccurredAt.Compare(a.OccurredAt), cmp.Compare(b.Number, a.Number))
	n := 0
	switch q.Sort {
	case ByTime:
		n = -newest
	case BySeverity:
		n = cmp.Compare(rank(a.Severity), rank(b.Severity))
	case ByState:
		n = cmp.Compare(slices.Index(allStates, a.State), slices.Index(allStates, b.State))
	case ByDevice:
		n = cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Edge, b.Edge), cmp.Compare(a.Device, b.Device), newest)
	}
	if !q.Ascending {
		n = -n
	}
	return cmp.Or(n, newest)
}

// sortedQueries are lists that are sorted otherwise than by time, with filters that find few, many and none.
func sortedQueries(now time.Time) map[string]Query {
	all := map[string]Query{}
	for name, q := range map[string]Query{
		"all":               {},
		"closed":            {State: Closed},
		"unclosed":          {State: Unclosed},
		"open":              {State: Open},
		"site":              {Site: "edge-3"},
		"edge":              {Edge: "edge-7"},
		"device":            {Edge: "edge-7", Device: "cam-2"},
		"reports":           {Source: FromReport},
		"severity":          {Severities: []detection.Severity{detection.Severe}},
		"severities":        {Severities: []detection.Severity{detection.Severe, detection.Extreme}},
		"outcome":           {Outcome: FalseAlarm},
		"assignee":          {Assignee: "li"},
		"a day":             {Since: now.Add(-200 * 24 * time.Hour), Until: now.Add(-199 * 24 * time.Hour)},
		"half of the time":  {Until: now.Add(-150 * 24 * time.Hour)},
		"two sites":         {Scope: scope.Sites("edge-3", "edge-12")},
		"site out of scope": {Scope: scope.Sites("edge-3", "edge-12"), Site: "edge-4"},
		"edge of two sites": {Scope: scope.Sites("edge-3", "edge-12"), Edge: "edge-12"},
		"words":             {Text: "crossed line"},
	} {
		for _, sort := range []Sort{BySeverity, ByState, ByDevice} {
			if sort == ByDevice && q.Text != "" {
				continue
			}
			for _, ascending := range []bool{false, true} {
				one := q
				one.Sort, one.Ascending = sort, ascending
				if len(one.Scope.Names()) == 0 {
					one.Scope = scope.All()
				}
				all[fmt.Sprintf("%s by %s %v", name, sort, ascending)] = one
			}
		}
	}
	return all
}

// TestSortedLists reads whole lists by pages of random sizes and compares them with a plain sort.
func TestSortedLists(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Hooks{})
		seed(t, d, seededIncidents)
		everything, err := r.List(t.Context(), Query{Scope: scope.All(), Limit: seededIncidents})
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(1, 2))
		for name, q := range sortedQueries(time.Now()) {
			var want, got []string
			sorted := slices.Clone(everything)
			slices.SortFunc(sorted, q.ordered)
			for _, inc := range sorted {
				if q.accepts(inc) && q.Scope.Allows(inc.Site) {
					want = append(want, inc.ID)
				}
			}
			for {
				q.Limit = 100 + random.IntN(900)
				page, err := r.List(t.Context(), q)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				for _, inc := range page {
					got = append(got, inc.ID)
					q.After = PositionOf(inc)
				}
				if len(page) < q.Limit {
					break
				}
			}
			if !slices.Equal(got, want) || len(want) == 0 && !strings.HasPrefix(name, "site out of scope") {
				t.Errorf("%s: %d incidents, want %d, or another order", name, len(got), len(want))
			}
		}
		if _, err := r.List(t.Context(), Query{Scope: scope.All(), Text: "crossed", Sort: ByDevice, Limit: 1}); !errors.Is(err, ErrNotSorted) {
			t.Errorf("a search by device: %v", err)
		}
	})
}

// TestPlansOfSortedLists: a list that is sorted by device walks an index, and sorts only what the full-text
// index has found to be few. Lists by severity and state are lists by time.
func TestPlansOfSortedLists(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Hooks{})
		seed(t, d, seededIncidents)
		first, err := r.List(t.Context(), Query{Scope: scope.All(), Edge: "edge-3", Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		for name, q := range sortedQueries(time.Now()) {
			q.Limit = 100
			for _, after := range []Position{{}, PositionOf(first[0])} {
				q.After = after
				if q.Sort != ByDevice {
					for _, part := range q.parts() {
						if part.Sort != ByTime || part.Ascending {
							t.Errorf("%s: a part is sorted by %q", name, part.Sort)
						}
					}
					continue
				}
				for _, part := range q.deviceParts() {
					text, args := r.deviceQuery(part, q.Limit)
					lines := explain(t, d, text, args)
					if bad := strings.Contains(lines, "Seq Scan on") || d.Engine() == db.SQLite && strings.Contains(lines, "TEMP B-TREE"); bad {
						t.Errorf("%s: %s\n%s", name, text, lines)
					}
				}
			}
		}
		if d.Engine() == db.SQLite {
			text, args := r.fewDeviceQuery(Query{Scope: scope.All(), Rule: "rule-3", Sort: ByDevice, After: PositionOf(first[0]), Limit: 100}, "xr")
			if lines := explain(t, d, text, args); !strings.Contains(lines, "VIRTUAL TABLE") {
				t.Errorf("%s\n%s", text, lines)
			}
		}
	})
}

func explain(t *testing.T, d *db.DB, text string, args []any) string {
	t.Helper()
	var lines []string
	if err := d.Update(t.Context(), "explain", func(tx *db.Tx) error {
		if d.Engine() == db.Postgres { // so few rows can be read faster without an index; at a million they cannot
			if _, err := tx.Exec(`SET LOCAL enable_seqscan = off`); err != nil {
				return err
			}
		}
		lines = dbtest.PlanIn(t, d.Engine(), tx.Reader, text, args...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}
