package audit_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/store/audit"
)

// TestFilters compares random filters, page by page, with a filter in memory over the whole log. The user of the name
// "now" was called "before"; a token has a name that is nobody's.
func TestFilters(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := audit.New(d)
		random := rand.New(rand.NewPCG(5, 7))
		exec(t, d, `INSERT INTO users(id, name, role, created_at) VALUES ('u-1', 'now', 'dispatcher', 1)`)
		exec(t, d, `INSERT INTO user_names(name, user_id) VALUES ('now', 'u-1'), ('before', 'u-1')`)
		people, actions, objects := []string{"now", "before", "wang", "token x"}, []string{"view", "log in"}, []string{"gate-7/yard", "i-1", ""}
		pick := func(from []string) string { return from[random.IntN(len(from))] }
		for range 60 {
			if err := r.Record(t.Context(), audit.Entry{Who: pick(people), Action: pick(actions), Object: pick(objects)}); err != nil {
				t.Fatal(err)
			}
		}
		everything, err := r.List(t.Context(), audit.Query{Limit: 1000})
		if err != nil || len(everything) != 60 {
			t.Fatalf("%d entries, %v", len(everything), err)
		}
		moment := func() time.Time {
			if random.IntN(2) == 0 {
				return time.Time{}
			}
			return everything[random.IntN(len(everything))].At
		}
		for range 80 {
			q := audit.Query{
				Who: pick(append(people, "")), Action: pick(append(actions, "")), Object: pick(objects), Since: moment(), Until: moment(), Limit: 1 + random.IntN(9),
			}
			want, got := []int64{}, []int64{}
			for _, e := range everything {
				same := e.Who == q.Who || (q.Who == "now" || q.Who == "before") && (e.Who == "now" || e.Who == "before")
				if (q.Who == "" || same) && (q.Action == "" || e.Action == q.Action) && (q.Object == "" || e.Object == q.Object) &&
					(q.Since.IsZero() || !e.At.Before(q.Since)) && (q.Until.IsZero() || e.At.Before(q.Until)) {
					want = append(want, e.ID)
				}
			}
			what := fmt.Sprintf("%+v", q)
			for {
				page, err := r.List(t.Context(), q)
				if err != nil || len(page) > q.Limit {
					t.Fatalf("%s: %d entries, %v", what, len(page), err)
				}
				for _, e := range page {
					got = append(got, e.ID)
				}
				if len(page) < q.Limit {
					break
				}
				last := page[len(page)-1]
				q.After = audit.Position{At: last.At, ID: last.ID}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
	})
}
