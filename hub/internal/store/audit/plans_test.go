package audit

import (
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
)

// TestPlans: no query of the audit log reads the whole table.
func TestPlans(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		hash := `x''`
		if d.Engine() == db.Postgres {
			hash = `''::bytea`
		}
		err := d.Update(t.Context(), "test", func(tx *db.Tx) error {
			for _, text := range []string{
				`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
				INSERT INTO audit(id, at, who, user_id, action, object, detail, hash) SELECT i, i, 'user-' || (i % 50), '', 'action-' || (i % 40), 'object-' || (i % 60), '', ` + hash + ` FROM n`,
				`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
				INSERT INTO users(id, name, role, created_at) SELECT 'id-' || i, 'user-' || i, 'monitor', i FROM n`,
				`INSERT INTO user_names(name, user_id) SELECT name, id FROM users`,
				`ANALYZE`,
			} {
				if _, err := tx.Exec(text); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		day := Query{Since: time.UnixMilli(20_000), Until: time.UnixMilli(30_000), Limit: 20}
		for _, q := range []Query{
			{Limit: 20},
			day,
			{Who: "user-7", Limit: 20},
			{Action: "action-7", Limit: 20},
			{Object: "object-7", Limit: 20},
			{Who: "user-7", Since: day.Since, Until: day.Until, Limit: 20},
		} {
			for _, q.After = range []Position{{}, {At: time.UnixMilli(40_000), ID: 40_000}} {
				text, args := q.text()
				dbtest.ByIndex(t, d, text, args...)
			}
		}
		// Of what is rare, all is read by an index and sorted.
		text, args := Query{Who: "user-7", Action: "action-7", Object: "object-7", Since: day.Since, Until: day.Until, Limit: 20}.text()
		dbtest.NoScan(t, d, text, args...)
		dbtest.ByIndex(t, d, namesQuery, "id-7", "user-7", maxNames)
		dbtest.ByIndex(t, d, followQuery, 100, 50_000, batch)
		dbtest.ByIndex(t, d, `SELECT hash FROM audit WHERE id = ?`, 5)
		dbtest.ByIndex(t, d, `DELETE FROM audit WHERE id <= ?`, 100)
	})
}
