package alerts

import (
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/notify"
)

// TestDrainCostsTheSameForEachDelivery drains a backlog of 20,000 deliveries (5,000 on PostgreSQL, where each
// statement is a round trip) in rounds as a sender does, and counts
// the statements: the last quarter costs what the first one does. That none of them visits more rows than it
// returns is what TestPlans shows.
func TestDrainCostsTheSameForEachDelivery(t *testing.T) {
	const round = 64
	each(t, func(t *testing.T, r *Repository) {
		backlog := map[db.Engine]int{db.SQLite: 20_000, db.Postgres: 5_000}[r.d.Engine()]
		addTarget(t, r, "one", "two")
		fill(t, r, backlog)
		err := r.d.Update(t.Context(), "test", func(tx *db.Tx) error { // everything waits, in order
			_, err := tx.Exec(`UPDATE deliveries SET state = 'pending', attempts = 0,
				held = CASE WHEN seq % 3 = 0 OR seq = 1 THEN 0 ELSE 1 END WHERE target = 'one'`) // fill has three alerts of each incident
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		q, now := acquire(t, r, "one"), time.Now().Add(time.Hour)
		delivered, quarters := 0, []uint64{r.d.Queries()}
		for {
			all, _, next := due(t, q, now, round)
			if len(all) == 0 {
				if !next.IsZero() {
					t.Errorf("nothing is due, and the next at %s", next)
				}
				break
			}
			outcomes := make([]notify.Outcome, len(all))
			for i, d := range all {
				outcomes[i] = outcome(d, notify.Delivered, now, 0)
			}
			save(t, q, outcomes...)
			if delivered += len(all); delivered >= len(quarters)*backlog/4 {
				quarters = append(quarters, r.d.Queries())
			}
		}
		if delivered != backlog || len(quarters) != 5 {
			t.Fatalf("%d of %d were delivered", delivered, backlog)
		}
		first, last := quarters[1]-quarters[0], quarters[4]-quarters[3]
		if perDelivery := float64(last) / float64(backlog/4); perDelivery > 2.5 || last > first+first/10 {
			t.Errorf("%d statements for the first quarter, %d for the last (%.2f for each delivery)", first, last, perDelivery)
		}
		if n := rows(t, r, `SELECT count(*) FROM deliveries WHERE target = 'one' AND (state <> 'delivered' OR held <> 0)`); n != 0 {
			t.Errorf("%d deliveries are left", n)
		}
	})
}
