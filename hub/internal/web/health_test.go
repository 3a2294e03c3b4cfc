package web

import (
	"net/http"
	"testing"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/db"
)

// TestNotReadyWhileReadsFail: a hub that cannot read what each request needs is not ready, although the database
// answers.
func TestNotReadyWhileReadsFail(t *testing.T) {
	p := newPort(t)
	if got := p.call(t, "", "GET", "/readyz", nil); got.status != http.StatusOK {
		t.Fatalf("before: %d %s", got.status, got.body)
	}
	rename := func(from, to string) {
		t.Helper()
		err := p.db.Update(t.Context(), "test", func(tx *db.Tx) error {
			_, err := tx.Exec("ALTER TABLE " + from + " RENAME TO " + to)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"tokens", "feed"} {
		rename(table, "broken")
		if got := p.call(t, "", "GET", "/readyz", nil); got.status != http.StatusServiceUnavailable {
			t.Errorf("without %s: %d %s", table, got.status, got.body)
		}
		rename("broken", table)
		if got := p.call(t, auth.Monitor, "GET", "/readyz", nil); got.status != http.StatusOK {
			t.Errorf("with %s again: %d %s", table, got.status, got.body)
		}
	}
}
