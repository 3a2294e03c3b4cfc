package alerts

import (
	"strings"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
)

// fill inserts alerts with one delivery for each of two targets, n of each: the first half of a target's is
// finished (a fifth of it dead), the other half is pending, of which every second one is held and every tenth was
// attempted.
func fill(t testing.TB, r *Repository, n int) (now time.Time) {
	t.Helper()
	now = time.Now()
	numbers := `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) `
	err := r.d.Update(t.Context(), "test", func(tx *db.Tx) error {
		if _, err := tx.Exec(numbers+`INSERT INTO alerts(seq, kind, incident, device, at, data)
			SELECT i, 'changed', 'incident ' || (i / 3), 'gate-7/yard', CAST(?2 AS BIGINT) + i, '{}' FROM n`, n, db.Millis(now)-int64(n)); err != nil {
			return err
		}
		for _, target := range []string{"one", "two"} {
			if _, err := tx.Exec(numbers+`INSERT INTO deliveries(id, target, seq, number, incident, attempts, queued_at, next_at, state, held, last_at)
				SELECT 'msg_' || i || ?2, ?2, i, i, 'incident ' || (i / 3), CASE WHEN i % 10 = 0 THEN 1 ELSE 0 END, CAST(?3 AS BIGINT) + i, CAST(?3 AS BIGINT) + i,
					CASE WHEN i > ?1 / 2 THEN 'pending' WHEN i % 5 = 0 THEN 'dead' ELSE 'delivered' END,
					CASE WHEN i > ?1 / 2 AND i % 2 = 0 THEN 1 ELSE 0 END, CAST(?3 AS BIGINT) + i FROM n`, n, target, db.Millis(now)-int64(n)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.d.Update(t.Context(), "test", func(tx *db.Tx) error {
		_, err := tx.Exec("ANALYZE")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return now
}

// TestPlans: no query of the queue, the list or the deletion reads a table or sorts it. Targets are few: reading all
// of them is right.
func TestPlans(t *testing.T) {
	each(t, func(t *testing.T, r *Repository) {
		addTarget(t, r, "one", "two")
		now := db.Millis(fill(t, r, 20_000))
		for name, q := range map[string]struct {
			text string
			args []any
		}{
			"due":         {dueQuery, []any{"one", now, 64}},
			"future":      {futureQuery, []any{"one", now, 64}},
			"earlier":     {earlierQuery, []any{"one", "incident 5000", 15_001, 20}},
			"next":        {nextQuery, []any{"one", now}},
			"old":         {oldQuery, []any{"one", now, batch}},
			"waiting":     {waitQuery, []any{"one", now, batch}},
			"list":        {webhookQuery + `ORDER BY w.created_at, w.id`, []any{MaxCount}},
			"deliveries":  {deliveriesQuery, []any{"one", now, 50}},
			"removed":     {removedQuery, []any{"one", batch}},
			"dropped":     {droppedQuery, []any{"one", 20_000, batch}},
			"disabled":    {disabledQuery, []any{"one", now, batch}},
			"finished":    {finishedQuery, []any{now, batch}},
			"alerts":      {alertsQuery, []any{batch, now, now}},
			"old alerts":  {alertsDeletion, []any{200}},
			"oldest":      {oldestQuery, nil},
			"held behind": {heldQuery, []any{"one", "incident 5000"}},
			"release":     {releaseQuery, []any{"one", "incident 5000"}},
		} {
			lines := dbtest.Plan(t, r.d, q.text, q.args...)
			for _, line := range lines {
				if strings.Contains(line, "webhooks") || strings.Contains(line, " w ") || strings.HasSuffix(line, " w") {
					continue
				}
				scans := strings.Contains(line, "Seq Scan") || strings.Contains(line, "SCAN deliveries") || strings.Contains(line, "SCAN alerts") ||
					strings.Contains(line, "SCAN d ") || strings.Contains(line, "SCAN a ") || strings.Contains(line, "SCAN b ")
				if scans && !strings.Contains(line, "INDEX") {
					t.Errorf("%s reads a table:\n%s", name, strings.Join(lines, "\n"))
					break
				}
			}
			if plan := strings.Join(lines, "\n"); name != "list" && (strings.Contains(plan, "TEMP B-TREE FOR ORDER BY") || strings.Contains(plan, "Sort Key")) {
				t.Errorf("%s sorts:\n%s", name, plan)
			}
		}
	})
}
