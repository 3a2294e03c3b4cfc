package edges

import (
	"fmt"
	"strings"
	"testing"

	"gridpost/devices"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
)

// TestPlans: the queries of each request and each page use indexes, with as many rows as a town has.
func TestPlans(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		const edges, each = 200, 25
		update(t, d, func(tx *db.Tx) error {
			for i := range edges {
				name := fmt.Sprint("edge-", i)
				if _, err := tx.Exec(`INSERT INTO edges(name, site, created_at) VALUES (?, ?, 0)`, name, name); err != nil {
					return err
				}
				if _, err := tx.Exec(`INSERT INTO edge_certificates(serial, edge, issued_at, not_after) VALUES (?, ?, 0, 0)`, name, name); err != nil {
					return err
				}
				values, args := []string{}, []any{}
				commands, words := []string{}, []any{}
				for j := range each {
					values, args = append(values, "(?, ?, 'camera')"), append(args, name, fmt.Sprint("device-", j))
					commands, words = append(commands, "(?, ?, '', 0, 0)"), append(words, fmt.Sprint(i, "-", j), name)
				}
				if _, err := tx.Exec(`INSERT INTO devices(edge, name, kind) VALUES `+strings.Join(values, ", "), args...); err != nil {
					return err
				}
				if _, err := tx.Exec(`INSERT INTO commands(id, edge, body, issued_at, expires_at) VALUES `+strings.Join(commands, ", "), words...); err != nil {
					return err
				}
			}
			return nil
		})
		update(t, d, func(tx *db.Tx) error {
			_, err := tx.Exec("ANALYZE")
			return err
		})
		type query struct {
			text string
			args []any
		}
		q := map[string]query{
			"commands of an edge": {commandsQuery, []any{"edge-7", 0, 1, maxQueued}},
			"epoch": {`SELECT e.site, e.epoch, coalesce((SELECT p.pending FROM epochs p WHERE p.edge = e.name AND p.epoch = ?), '')
				FROM edges e WHERE e.name = ? AND e.revoked_at IS NULL`, []any{"a", "edge-7"}},
			"certificate":        {`SELECT c.first_used_at, e.revoked_at FROM edge_certificates c JOIN edges e ON e.name = c.edge WHERE c.serial = ? AND c.edge = ?`, []any{"edge-7", "edge-7"}},
			"devices of a batch": {`SELECT id, name, kind FROM devices WHERE edge = ?`, []any{"edge-7"}},
		}
		text, args := devicesQuery(scope.All(), DeviceQuery{Edge: "edge-7", Limit: 50})
		q["devices of an edge"] = query{text, args}
		text, args = devicesQuery(scope.All(), DeviceQuery{After: Key{"edge-7", "device-3"}, Kind: devices.Camera, Limit: 50})
		q["a page of devices"] = query{text, args}
		text, args = withinQuery(d.Engine(), scope.All(), 30, 120, 500)
		q["cameras near a place"] = query{text, args}
		for name, one := range q {
			got := strings.Join(dbtest.Plan(t, d, one.text, one.args...), "\n")
			for _, bad := range []string{"SCAN d ", "SCAN d\n", "SCAN devices", "SCAN commands", "SCAN c ", "Seq Scan on devices", "Seq Scan on commands"} {
				if strings.Contains(got+"\n", bad) {
					t.Errorf("%s:\n%s", name, got)
				}
			}
		}
	})
}
