package app

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDashboardNamesMetricsThatExist reads the queries of the dashboard: each metric of the hub in them is a row of the
// table, a histogram is used by its series, and a label that is grouped by is one of the metric's.
func TestDashboardNamesMetricsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../dashboards/gridpost-hub.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			ID      int
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	rows := map[string]metric{}
	for _, row := range metricTable() {
		rows[row.name] = row
	}
	used, ids := map[string]bool{}, map[int]bool{}
	names := regexp.MustCompile(metricPrefix + `([a-z0-9_]+)`)
	by := regexp.MustCompile(`by \(([a-z_, ]+)\)`)
	for _, p := range board.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the ID %d", p.ID)
		}
		ids[p.ID] = true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			for _, m := range names.FindAllStringSubmatch(target.Expr, -1) {
				name, suffix := m[1], ""
				row, ok := rows[name]
				for _, s := range []string{"_bucket", "_sum", "_count"} {
					if base, cut := strings.CutSuffix(name, s); cut && !ok {
						row, suffix = rows[base], s
					}
				}
				if row.name == "" || (row.kind == histogram) != (suffix != "") {
					t.Errorf("panel %q uses %s, which does not exist: %s", p.Title, m[0], target.Expr)
					continue
				}
				used[row.name] = true
				for _, group := range by.FindAllStringSubmatch(target.Expr, -1) {
					for _, label := range strings.Split(group[1], ", ") {
						if !strings.Contains(","+strings.Join(row.labels, ",")+",le,", ","+label+",") {
							t.Errorf("panel %q groups %s by %s, which is not its label", p.Title, m[0], label)
						}
					}
				}
			}
		}
	}
	if len(used) < len(rows)/2 {
		t.Errorf("the dashboard uses %d of %d metrics", len(used), len(rows))
	}
}
