package leases_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/leases"
)

// TestFilters compares random filters, page by page, with a filter in memory over all leases. Of each lease, its edge is
// its site.
func TestFilters(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := leases.New(d, shown)
		random := rand.New(rand.NewPCG(5, 7))
		exec(t, d, `INSERT INTO users(id, name, role, created_at) VALUES ('u-1', 'now', 'dispatcher', 1)`)
		exec(t, d, `INSERT INTO user_names(name, user_id) VALUES ('now', 'u-1'), ('before', 'u-1')`)
		people, edges, devices, incidents := []string{"now", "before", "wang", "token x"}, []string{"gate-7", "bridge"}, []string{"yard", "door"}, []string{"", "i-1", "i-2"}
		pick := func(from []string) string { return from[random.IntN(len(from))] }
		start := time.UnixMilli(1_700_000_000_000)
		for i := range 60 {
			l := leases.Lease{
				ID: fmt.Sprintf("id-%02d", i), Edge: pick(edges), Device: pick(devices), Who: pick(people), Incident: pick(incidents), Reason: "a look",
				Began: start.Add(time.Duration(random.IntN(30)) * time.Second), Until: start.Add(time.Hour),
			}
			if err := r.Begin(t.Context(), "here", l); err != nil {
				t.Fatal(err)
			}
		}
		everything, err := r.List(t.Context(), leases.Query{Scope: scope.All(), Limit: 1000})
		if err != nil || len(everything) != 60 {
			t.Fatalf("%d leases, %v", len(everything), err)
		}
		moment := func() time.Time {
			if random.IntN(2) == 0 {
				return time.Time{}
			}
			return everything[random.IntN(len(everything))].Began
		}
		scopes := []scope.Scope{scope.All(), scope.Sites("gate-7"), scope.Sites("gate-7", "bridge"), {}}
		for range 80 {
			q := leases.Query{
				Scope: scopes[random.IntN(len(scopes))], Who: pick(append(people, "")), Edge: pick(append(edges, "")), Device: pick(append(devices, "")),
				Incident: pick(incidents), NoIncident: random.IntN(4) == 0, Since: moment(), Until: moment(), Limit: 1 + random.IntN(9),
			}
			want, got := []string{}, []string{}
			for _, l := range everything {
				same := l.Who == q.Who || (q.Who == "now" || q.Who == "before") && (l.Who == "now" || l.Who == "before")
				if q.Scope.Allows(l.Site) && (q.Who == "" || same) && (q.Edge == "" || l.Edge == q.Edge) && (q.Device == "" || l.Device == q.Device) &&
					(q.Incident == "" || l.Incident == q.Incident) && (!q.NoIncident || l.Incident == "") &&
					(q.Since.IsZero() || !l.Began.Before(q.Since)) && (q.Until.IsZero() || l.Began.Before(q.Until)) {
					want = append(want, l.ID)
				}
			}
			what := fmt.Sprintf("%+v", q)
			for {
				page, err := r.List(t.Context(), q)
				if err != nil || len(page) > q.Limit {
					t.Fatalf("%s: %d leases, %v", what, len(page), err)
				}
				for _, l := range page {
					got = append(got, l.ID)
				}
				if len(page) < q.Limit {
					break
				}
				q.After = leases.Position{Began: page[len(page)-1].Began, ID: page[len(page)-1].ID}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
	})
}
