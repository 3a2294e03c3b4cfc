package dbtest

import (
	"strings"
	"testing"

	"gridpost/hub/internal/db"
)

// Plan returns the lines of a query's plan. The tables need rows as in use, and ANALYZE.
func Plan(t testing.TB, d *db.DB, text string, args ...any) []string {
	t.Helper()
	return PlanIn(t, d.Engine(), d.Read(t.Context()), text, args...)
}

// PlanIn is Plan as a transaction sees it, with its settings.
func PlanIn(t testing.TB, e db.Engine, r db.Reader, text string, args ...any) []string {
	t.Helper()
	explain := "EXPLAIN QUERY PLAN "
	if e == db.Postgres {
		explain = "EXPLAIN "
	}
	lines, err := db.Collect(func(scan func(...any) error) (line string, err error) {
		if e == db.Postgres {
			err = scan(&line)
			return line, err
		}
		var id, parent, unused int
		err = scan(&id, &parent, &unused, &line)
		return line, err
	})(r.Rows(explain+text, args...))
	if err != nil {
		t.Fatalf("the plan of %s: %v", text, err)
	}
	return lines
}

// ByIndex fails the test when a query reads a whole table, or sorts rows that an index could give in
// order.
func ByIndex(t testing.TB, d *db.DB, text string, args ...any) {
	t.Helper()
	lines := Plan(t, d, text, args...)
	for _, line := range lines {
		scans := strings.Contains(line, "Seq Scan") || strings.Contains(line, "SCAN ") && !strings.Contains(line, "INDEX")
		sorts := strings.Contains(line, "TEMP B-TREE FOR ORDER BY") || strings.Contains(line, "Sort Key")
		if scans || sorts {
			t.Errorf("%s\n%s", text, strings.Join(lines, "\n"))
			return
		}
	}
}
