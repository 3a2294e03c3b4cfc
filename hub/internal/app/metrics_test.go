package app

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/people"
)

var update = flag.Bool("update", false, "write the table of metrics into README.md")

// tokenFor makes an API token for a role as another process does while a hub runs.
func tokenFor(t *testing.T, dir string, role auth.Role) string {
	t.Helper()
	st, err := db.Open(t.Context(), db.Options{Dir: dir, Schema: schema.Hub(), Name: "hub"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Open(t.Context(), st, audit.Options{}); err != nil {
		t.Fatal(err)
	}
	users, err := auth.New(auth.Options{People: people.New(st, people.Hooks{}), Params: auth.Params{Memory: 64, Time: 1, Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := users.CreateToken(t.Context(), auth.NewToken{By: "test", Name: "scrape", Role: role})
	if err := errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	return token
}

// TestEveryMetricOfTheTableIsScraped scrapes a running hub through its own port, reads the answer
// with Prometheus's parser and looks for each row of the table, and for metrics that are in no row.
func TestEveryMetricOfTheTableIsScraped(t *testing.T) {
	c := config(t)
	r, _ := start(t, c)
	if status, _ := get(t, "http://"+r.Listen+"/metrics", ""); status != 401 {
		t.Errorf("/metrics without a token: %d", status)
	}
	status, body := get(t, "http://"+r.Listen+"/metrics", tokenFor(t, c.Data, auth.Monitor))
	if status != 200 {
		t.Fatalf("/metrics: %d %s", status, body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("Prometheus cannot read the metrics: %v", err)
	}
	known := map[string]bool{metricPrefix + "build_info": true}
	for _, row := range metricTable() {
		name := metricPrefix + row.name
		known[name] = true
		f := families[name]
		if f == nil {
			t.Errorf("%s is in the table and not in /metrics", name)
			continue
		}
		if got := strings.ToLower(f.GetType().String()); got != string(row.kind) {
			t.Errorf("%s: type %s, want %s", name, got, row.kind)
		}
		if f.GetHelp() != row.help {
			t.Errorf("%s: help %q, want %q", name, f.GetHelp(), row.help)
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName())
			}
			if !slices.Equal(labels, slices.Sorted(slices.Values(row.labels))) {
				t.Errorf("%s: labels %q, want %q", name, labels, row.labels)
			}
		}
	}
	for name := range families {
		if strings.HasPrefix(name, metricPrefix) && !known[name] {
			t.Errorf("%s is in /metrics and in no row of the table", name)
		}
	}
}

// TestMetricNames: names and help follow Prometheus's conventions.
// See https://prometheus.io/docs/practices/naming/.
func TestMetricNames(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range metricTable() {
		if seen[row.name] {
			t.Errorf("%s: twice in the table", row.name)
		}
		seen[row.name] = true
		if !model.LegacyValidation.IsValidMetricName(metricPrefix + row.name) {
			t.Errorf("%s: not a name of a metric", row.name)
		}
		if (row.kind == counter) != strings.HasSuffix(row.name, "_total") {
			t.Errorf("%s: a %s; counters, and only they, end in _total", row.name, row.kind)
		}
		for _, unit := range []string{"_ms", "_millis", "_kb", "_mb", "_minutes", "_percent"} {
			if strings.Contains(row.name+"_", unit+"_") {
				t.Errorf("%s: has no base unit", row.name)
			}
		}
		if !strings.HasSuffix(row.help, ".") || strings.ContainsAny(row.help, "\n|") {
			t.Errorf("%s: help %q is not one sentence", row.name, row.help)
		}
		if (row.kind == histogram) != (len(row.buckets) > 0) || row.kind == histogram && row.read != nil || row.kind == gauge && row.read == nil {
			t.Errorf("%s: a histogram has buckets, a gauge is read", row.name)
		}
		if !slices.IsSorted(row.buckets) {
			t.Errorf("%s: buckets are not sorted", row.name)
		}
	}
}

// TestMetricsAreDocumented: README.md has the table of metrics. go test -update writes it.
func TestMetricsAreDocumented(t *testing.T) {
	const path, begin, end = "../../../README.md", "<!-- metrics -->\n", "<!-- /metrics -->\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	have, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no table between %s and %s", path, begin, end)
	}
	var want bytes.Buffer
	fmt.Fprint(&want, "| metric, after `"+metricPrefix+"` | type | labels | what |\n|---|---|---|---|\n")
	for _, row := range metricTable() {
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s |\n", row.name, row.kind, strings.Join(row.labels, ", "), row.help)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have != want.String() {
		t.Errorf("the table of metrics in README.md is not the one of the program; go test ./hub/internal/app -run %s -update writes it", t.Name())
	}
}
