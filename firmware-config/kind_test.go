package firmwareconfig_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules"
	"gridpost/detection/rules/param"
	"gridpost/devices"

	firmwareconfig "gridpost/firmware-config"
)

// jumpKind is a kind of rule that exists only in this test: it opens an incident when a reading
// differs from the one before by more than step, and closes it when the next one differs by less
// than calm.
func jumpKind() rules.Kind {
	return rules.Kind{
		Name:    "jump",
		Devices: []devices.Kind{devices.Sensor},
		Terms:   func() rules.Terms { return &jumpTerms{calm: 0.5} },
	}
}

type jumpTerms struct{ step, calm float64 }

func (t *jumpTerms) Params() []param.Param {
	return []param.Param{
		param.Required("step", param.Number(&t.step, 0, 1000)),
		param.Optional("calm", param.Number(&t.calm, 0, 1000)),
	}
}

func (t *jumpTerms) Check() error {
	if t.calm > t.step {
		return &param.Error{Key: "calm", Expected: fmt.Sprintf("a number not above step (%g)", t.step)}
	}
	return nil
}

func (t *jumpTerms) Describe() rules.Description { return rules.Description{Value: &t.step} }

func (t *jumpTerms) Judge(o rules.Opener) rules.Judge { return &jump{jumpTerms: *t, opener: o} }

type jump struct {
	jumpTerms
	opener rules.Opener
	last   *float64
	open   *rules.OpenIncident
}

func (j *jump) Open() []detection.Incident {
	if j.open == nil {
		return nil
	}
	return []detection.Incident{j.open.Alert()}
}

func (j *jump) Restore(inc detection.Incident) bool {
	if j.open != nil {
		return false
	}
	j.open = &rules.OpenIncident{Incident: inc}
	return true
}

func (j *jump) Reading(r rules.Arrival) []detection.Incident {
	last := j.last
	j.last = &r.Value
	if last == nil {
		return nil
	}
	switch change := math.Abs(r.Value - *last); {
	case j.open == nil && change > j.step:
		j.open = j.opener.Open(r.Measured, r.Time)
		j.open.Incident.Value, j.open.Incident.Unit = &r.Value, r.Unit
		return []detection.Incident{j.open.Alert()}
	case j.open != nil && change < j.calm:
		inc := j.open.Close(r.Time)
		j.open = nil
		return []detection.Incident{inc}
	}
	return nil
}

const jumpDocument = `edge: a
sensors:
  - name: river
    topic: t
    rules:
      - {name: surge, kind: jump, step: 2, calm: 0.1, severity: severe}
      - {name: flood, kind: above, value: 3.2, clear: 3.0, severity: minor}
`

// TestANewKindOfRule takes a kind that the program does not have from YAML to an incident: all that
// it needs is a type and a line in a registry.
func TestANewKindOfRule(t *testing.T) {
	kinds := append(rules.Standard(), jumpKind())
	doc, err := firmwareconfig.ParseWith(kinds, "site.yml", []byte(jumpDocument), noEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	engine, err := rules.NewEngine("river", doc.Sensors[0].Rules, func() string { n++; return fmt.Sprint(n) })
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var got []string
	for i, v := range []float64{1, 1.5, 3.9, 3.1, 2.99, 2.95, 2.96} {
		for _, inc := range engine.Reading(devices.Reading{Device: "river", Time: start.Add(time.Duration(i) * time.Second), Value: v}, start) {
			got = append(got, fmt.Sprintf("%d %s %s %s", i, inc.Rule, inc.State, inc.Severity))
		}
	}
	want := "2 surge open severe, 2 flood open minor, 4 flood closed minor, 5 surge closed severe"
	if text := strings.Join(got, ", "); text != want {
		t.Errorf("incidents %s, want %s", text, want)
	}
}

func TestProblemsOfANewKindNameLineAndKey(t *testing.T) {
	kinds := append(rules.Standard(), jumpKind())
	for change, want := range map[[2]string]string{
		{"calm: 0.1", "calm: 3"}:            `site.yml:6: sensors[0].rules[0].calm: expected a number not above step (2), found "3"`,
		{"calm: 0.1", "polygon: 3"}:         `site.yml:6: sensors[0].rules[0].polygon: expected one of the keys calm, cool_down, kind, name, schedule, severity, step, title, found the unknown key "polygon"`,
		{"step: 2, ", ""}:                   `site.yml:6: sensors[0].rules[0].step: expected a value, found nothing`,
		{"step: 2", "step: far"}:            `site.yml:6: sensors[0].rules[0].step: expected a number from 0 to 1000, found "far"`,
		{"kind: jump", "kind: zone"}:        `site.yml:6: sensors[0].rules[0].kind: expected one of above, below, silence, jump for a sensor, found "zone"`,
		{"kind: jump", "kind: leap"}:        `site.yml:6: sensors[0].rules[0].kind: expected one of zone, line, loitering, wrong-way, crowd, stopped, absence, left, removed, sighting, above, below, silence, health, jump, found "leap"`,
		{", calm: 0.1", ""}:                 "",
		{"kind: jump", `kind: "${K}"`}:      "",
		{"step: 2, calm: 0.1", "step: 0.2"}: `site.yml:6: sensors[0].rules[0].calm: expected a number not above step (0.2), found nothing`,
	} {
		text := strings.Replace(jumpDocument, change[0], change[1], 1)
		_, err := firmwareconfig.ParseWith(kinds, "site.yml", []byte(text), func(name string) (string, bool) { return "jump", name == "K" })
		got := ""
		if err != nil {
			got, _, _ = strings.Cut(err.Error(), "\n")
		}
		if got != want {
			t.Errorf("%q instead of %q:\n%s\nwant\n%s", change[1], change[0], got, want)
		}
	}
	if _, err := firmwareconfig.Parse("site.yml", []byte(jumpDocument), noEnvironment); err == nil {
		t.Error("the program has taken up the kind of the test")
	}
}

func noEnvironment(string) (string, bool) { return "", false }
