package dbtest

import (
	"slices"
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
	check(t, d, []string{"Seq Scan", "TEMP B-TREE FOR ORDER BY", "Sort Key"}, text, args...)
}

// NoScan fails the test when a query reads a whole table. It may sort what an index finds.
func NoScan(t testing.TB, d *db.DB, text string, args ...any) {
	t.Helper()
	check(t, d, []string{"Seq Scan"}, text, args...)
}

// check fails the test when the plan of a query has one of the signs, or is a scan without an index on SQLite.
func check(t testing.TB, d *db.DB, signs []string, text string, args ...any) {
	t.Helper()
	lines := Plan(t, d, text, args...)
	for _, line := range lines {
		scans := strings.Contains(line, "SCAN ") && !strings.Contains(line, "INDEX")
		if scans || slices.ContainsFunc(signs, func(sign string) bool { return strings.Contains(line, sign) }) {
			t.Errorf("%s\n%s", text, strings.Join(lines, "\n"))
			return
		}
	}
}
