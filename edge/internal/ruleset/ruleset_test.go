package ruleset

import (
	"reflect"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules"

	firmwareconfig "gridpost/firmware-config"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSpecs(t *testing.T) {
	const text = `
edge: gate-7
cameras:
  - name: yard
    url: rtsp://10.0.0.11/main
    rules:
      - {name: yard, kind: zone, polygon: [[0.1,0.4],[0.9,0.4],[0.9,1]], classes: [person], min_size: 0.01, for: 1s, clear: 4s, severity: moderate}
      - {name: gate, kind: line, line: [[0.2,0.5],[0.8,0.5]], direction: down, severity: minor}
sensors:
  - name: river
    topic: sensors/river
    rules:
      - {name: flood, kind: above, value: 3.2, clear: 3.0, for: 10s, severity: severe}
      - {name: silent, kind: silence, for: 5m, severity: minor}
`
	doc, err := firmwareconfig.Parse("test.yml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	three := 3.0
	want := []rules.Spec{
		{
			Name: "yard", Kind: detection.Zone, Severity: detection.Moderate, Classes: []string{"person"}, MinSize: 0.01,
			Polygon: []detection.Point{{X: 0.1, Y: 0.4}, {X: 0.9, Y: 0.4}, {X: 0.9, Y: 1}}, For: time.Second, Clear: 4 * time.Second,
		},
		{
			Name: "gate", Kind: detection.Line, Severity: detection.Minor, Direction: detection.Down,
			Line: []detection.Point{{X: 0.2, Y: 0.5}, {X: 0.8, Y: 0.5}}, Clear: 3 * time.Second,
		},
		{Name: "flood", Kind: detection.Above, Severity: detection.Severe, Value: 3.2, ClearValue: &three, For: 10 * time.Second},
		{Name: "silent", Kind: detection.Silence, Severity: detection.Minor, For: 5 * time.Minute},
	}
	got := append(Specs(doc.Cameras[0].Rules), Specs(doc.Sensors[0].Rules)...)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	for _, s := range got {
		if err := s.Check(); err != nil {
			t.Errorf("the document was accepted, but %s is refused: %v", s.Name, err)
		}
	}
}
