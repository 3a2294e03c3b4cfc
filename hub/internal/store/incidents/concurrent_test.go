package incidents

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
)

// TestSumsAgree lets edges, people and retention change incidents at the same time. Afterwards the counters and
// the summaries of groups agree with the rows, and the change feed has each change once.
func TestSumsAgree(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Hooks{})
		const edges, each = 3, 12
		start := time.Now().Add(-time.Hour)
		ids := make(chan string, edges*each)
		var wg sync.WaitGroup
		for e := range edges {
			wg.Go(func() {
				edge := fmt.Sprintf("edge-%d", e)
				for i := range each {
					a := alertAt(t, start.Add(time.Duration(i)*time.Minute))
					a.Incident.Severity = []detection.Severity{detection.Minor, detection.Extreme}[rand.IntN(2)]
					batch(t, d, r, edge, a, a.next(), a.next().over(start.Add(time.Duration(i)*time.Minute+time.Second)))
					ids <- a.Incident.ID
				}
			})
		}
		var people sync.WaitGroup
		for range 3 {
			people.Go(func() {
				for id := range ids {
					for _, state := range []State{Acknowledged, Closed} {
						if _, err := r.Edit(t.Context(), Edit{Who: "li", ID: id, Scope: scope.All(), Apply: func(inc *Incident) (*Fact, error) {
							inc.State = state
							return &Fact{Kind: FactNoted}, nil
						}}); err != nil && !errors.Is(err, db.ErrNotFound) { // read again after retention deleted it
							t.Error(err)
						}
					}
					if _, _, err := r.DeleteIncidentsBefore(t.Context(), time.Now(), 1); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		close(ids)
		people.Wait()
		for name, query := range map[string]string{
			"counters": `SELECT count(*) FROM (SELECT site, state, severity, n FROM incident_counts WHERE n != 0
				EXCEPT SELECT site, state, severity, count(*) FROM incidents GROUP BY site, state, severity) x`,
			"groups": `SELECT count(*) FROM (SELECT id, open, acknowledged, closed, holding FROM group_summaries EXCEPT
				SELECT group_id, count(CASE WHEN state = 'open' THEN 1 END), count(CASE WHEN state = 'acknowledged' THEN 1 END),
					count(CASE WHEN state = 'closed' THEN 1 END), count(CASE WHEN condition = 'open' THEN 1 END) FROM incidents GROUP BY group_id) x`,
			"newest": `SELECT count(*) FROM group_summaries g WHERE NOT EXISTS (SELECT 1 FROM incidents i WHERE i.id = g.newest AND i.group_id = g.id)`,
			"left":   `SELECT count(*) FROM facts f WHERE NOT EXISTS (SELECT 1 FROM incidents i WHERE i.id = f.incident)`,
		} {
			if n := number64(t, d, query); n != 0 {
				t.Errorf("%s: %d rows disagree", name, n)
			}
		}
		entries, _, err := d.ChangesAfter(t.Context(), 0, 10*edges*each)
		if err != nil || len(entries) != 5*edges*each {
			t.Errorf("%d entries of the change feed for %d changes, %v", len(entries), 5*edges*each, err)
		}
	})
}

// batch applies alerts as ingest does: the edge's row, here its lock, comes first.
func batch(t *testing.T, d *db.DB, r *Repository, edge string, alerts ...Alert) {
	for _, part := range slices.Collect(slices.Chunk(alerts, 2)) {
		if err := d.Update(t.Context(), "test", func(tx *db.Tx) error {
			for _, a := range part {
				if err := r.ApplyAlert(tx, edge, edge, a); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}
