package audit

import (
	"testing"

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
				INSERT INTO audit(id, at, who, user_id, action, object, detail, hash) SELECT i, i, 'li', '', 'test', '', '', ` + hash + ` FROM n`,
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
		dbtest.ByIndex(t, d, listQuery, 40_000, 100)
		dbtest.ByIndex(t, d, followQuery, 100, 50_000, batch)
		dbtest.ByIndex(t, d, `SELECT hash FROM audit WHERE id = ?`, 5)
		dbtest.ByIndex(t, d, `DELETE FROM audit WHERE id <= ?`, 100)
	})
}
