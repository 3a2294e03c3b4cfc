package leases

import (
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
)

// TestPlans: no query of leases reads the whole table.
func TestPlans(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		err := d.Update(t.Context(), "test", func(tx *db.Tx) error {
			for _, text := range []string{
				`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
				INSERT INTO leases(id, edge, device, site, who, incident, reason, began_at, until, ended_at, hub)
				SELECT 'id-' || i, 'edge-' || (i % 20), 'device-' || (i % 7), 'site-' || (i % 20), 'user-' || (i % 50), CASE WHEN i % 2 = 0 THEN '' ELSE 'incident-' || (i % 61) END, '', i, i, CASE WHEN i > 49990 THEN NULL ELSE i END, 'hub-' || (i % 2) FROM n`,
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
		for _, s := range []scope.Scope{scope.All(), scope.Sites("site-7")} {
			after := Position{Began: time.UnixMilli(40_000), ID: "x"}
			for _, q := range []Query{{}, {After: after}, {NoIncident: true, After: after}, {Since: time.UnixMilli(20_000), Until: time.UnixMilli(30_000)}} {
				q.Scope, q.Limit = s, 20
				text, args := q.text()
				dbtest.ByIndex(t, d, text, args...)
			}
			// Of what is rare, all may be read by an index and sorted.
			for _, q := range []Query{
				{Who: "user-7"},
				{Edge: "edge-7", Device: "device-3"},
				{Incident: "incident-7"},
				{NoIncident: true},
				{Who: "user-7", NoIncident: true, Since: time.UnixMilli(20_000), After: after},
			} {
				q.Scope, q.Limit = s, 20
				text, args := q.text()
				dbtest.NoScan(t, d, text, args...)
			}
		}
		for _, q := range []Query{{Who: "user-7"}, {Edge: "edge-7", Device: "device-3"}, {Incident: "incident-7"}, {NoIncident: true}} {
			q.Scope, q.Limit = scope.All(), 20
			text, args := q.text()
			dbtest.ByIndex(t, d, text, args...)
		}
		dbtest.ByIndex(t, d, `SELECT id FROM leases WHERE began_at < ? AND ended_at IS NOT NULL ORDER BY began_at LIMIT ?`, 1000, 100)
		dbtest.ByIndex(t, d, `SELECT hub FROM leases WHERE hub = ? AND ended_at IS NULL LIMIT ?`, "hub-1", 100)
		dbtest.ByIndex(t, d, `UPDATE leases SET ended_at = 1 WHERE id = ? AND ended_at IS NULL`, "id-1")
	})
}
