package incidents

import (
	"strings"
	"testing"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
)

// TestPlansOfQuotas: what is asked for each announced file and each pass of retention reads an index only.
func TestPlansOfQuotas(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, db.Options{})
	for text, index := range map[string]string{
		pendingOfEdge: "USING COVERING INDEX evidence_of_edge (edge=? AND complete=?)",
		storedOfEdge:  "USING COVERING INDEX evidence_of_edge (edge=?)",
		abandoned:     "INDEX evidence_pending (recorded_at<?)",
	} {
		lines := dbtest.Plan(t, d, text, make([]any, strings.Count(text, "?"))...)
		if len(lines) != 1 || !strings.Contains(lines[0], index) {
			t.Errorf("%s: %q", text, lines)
		}
	}
}
