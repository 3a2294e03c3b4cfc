package people

import (
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
)

// TestPlans: no query of people reads a whole table.
func TestPlans(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		const numbers = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) `
		err := d.Update(t.Context(), "test", func(tx *db.Tx) error {
			for _, text := range []string{
				numbers + `INSERT INTO users(id, name, role, created_at) SELECT 'id-' || i, 'user-' || i, 'monitor', i FROM n`,
				`INSERT INTO user_names(name, user_id) SELECT name, id FROM users`,
				`INSERT INTO identities(kind, subject, user_id, secret, created_at) SELECT 'password', id, id, 'x', 1 FROM users`,
				`INSERT INTO sessions(hash, user_id, created_at, expires_at) SELECT CAST(id AS ` + bytes(d) + `), id, created_at, created_at FROM users`,
				`INSERT INTO login_origins(user_id, origin, last_at) SELECT id, '192.0.2.7', created_at FROM users`,
				`INSERT INTO totp_secrets(user_id, secret) SELECT id, CAST(id AS ` + bytes(d) + `) FROM users`,
				`INSERT INTO recovery_codes(user_id, hash) SELECT id, CAST(id AS ` + bytes(d) + `) FROM users`,
				`INSERT INTO tokens(id, hash, name, role, created_at, created_by, created_by_id) SELECT id, CAST(id AS ` + bytes(d) + `), name, role, created_at, name, id FROM users`,
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
		now := db.Millis(time.Now())
		dbtest.ByIndex(t, d, usersQuery, "user-5", 100)
		dbtest.ByIndex(t, d, tokensQuery, 500, "id-500", 100)
		dbtest.ByIndex(t, d, loginQuery, password, "192.0.2.7", "user-5")
		dbtest.ByIndex(t, d, totpQuery, "id-5")
		dbtest.ByIndex(t, d, recoveryQuery, "id-5", []byte("x"))
		dbtest.ByIndex(t, d, sessionQuery, []byte("x"), now)
		dbtest.ByIndex(t, d, tokenQuery, now, []byte("x"))
		dbtest.ByIndex(t, d, usersByIDQuery(d.Engine()), `["id-5"]`)
		dbtest.ByIndex(t, d, tokensByIDQuery(d.Engine()), now, `["id-5"]`)
		dbtest.ByIndex(t, d, validSessionsQuery(d.Engine()), now, `["00ff"]`)
		dbtest.ByIndex(t, d, `SELECT id FROM tokens WHERE created_by_id = ? AND revoked_at IS NULL ORDER BY id`, "id-5")
		dbtest.ByIndex(t, d, `SELECT user_id FROM user_names WHERE name = ?`, "user-5")
		dbtest.ByIndex(t, d, `DELETE FROM sessions WHERE user_id = ? AND hash != ?`, "id-5", []byte("x"))
		dbtest.ByIndex(t, d, `SELECT hash FROM sessions WHERE expires_at < ? ORDER BY expires_at LIMIT ?`, 100, 10)
		dbtest.ByIndex(t, d, `SELECT user_id, origin FROM login_origins WHERE last_at < ? ORDER BY last_at LIMIT ?`, 100, 10)
	})
}

func bytes(d *db.DB) string {
	if d.Engine() == db.Postgres {
		return "BYTEA"
	}
	return "BLOB"
}
