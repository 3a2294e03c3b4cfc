package dbtest_test

import (
	"testing"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
)

// TestEachGivesNewDatabases writes the same row into two databases of each engine.
func TestEachGivesNewDatabases(t *testing.T) {
	engines := map[db.Engine]int{}
	for range 2 {
		dbtest.Each(t, func(t *testing.T, d *db.DB) {
			engines[d.Engine()]++
			err := d.Update(t.Context(), "test", func(tx *db.Tx) error {
				_, err := tx.Exec(`INSERT INTO users(id, name, role, created_at) VALUES ('1', ?, '', 0)`, "li")
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	if engines[db.SQLite] != 2 || engines[db.Postgres] != 2 {
		t.Errorf("databases: %v", engines)
	}
}
