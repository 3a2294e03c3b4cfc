package app

import (
	"testing"

	firmwareconfig "gridpost/firmware-config"
)

// The hub is told what each kind of rule watches for, and when.
func TestInventoryOfRules(t *testing.T) {
	const text = `
edge: a
time_zone: Asia/Shanghai
schedules: [{name: night, title: {zh: 夜间}, week: ["22:00-06:00"]}]
cameras:
  - name: yard
    url: rtsp://h/x
    rules:
      - {name: crowd, kind: crowd, severity: minor, polygon: [[0, 0], [1, 0], [1, 1]], count: 10, for: 30s, schedule: night}
      - {name: road, kind: wrong-way, severity: minor, polygon: [[0, 0], [1, 0], [1, 1]], allowed: [[0.9, 0.5], [0.1, 0.4]]}
      - {name: parking, kind: stopped, severity: minor, polygon: [[0, 0], [1, 0], [1, 1]], for: 5m}
`
	doc, err := firmwareconfig.Parse("site.yml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	rules := inventory(doc, "1").Devices[0].Rules
	if r := rules[0]; r.Value == nil || *r.Value != 10 || r.ForMS != 30_000 || r.Schedule != "night" || r.ScheduleTitle == nil || r.ScheduleTitle.Zh != "夜间" {
		t.Errorf("%+v", r)
	}
	if r := rules[1]; r.Direction != "left" || r.Schedule != "" || r.ScheduleTitle != nil {
		t.Errorf("%+v", r)
	}
	if r := rules[2]; len(r.Classes) != 4 || r.ForMS != 300_000 {
		t.Errorf("%+v", r)
	}
}
