package replay

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/detection/wire"

	firmwareconfig "gridpost/firmware-config"
)

// walker is an object that goes from one place to another, or stands, while it is in front of the camera.
type walker struct {
	class          string
	from, to       float64 // seconds
	x0, y0, x1, y1 float64
}

// made plays a video that is made of objects, ten frames a second, and returns its lines without boxes.
func made(t *testing.T, rules string, start time.Time, seconds float64, all ...walker) string {
	t.Helper()
	text := "edge: a\ntime_zone: Asia/Shanghai\nschedules: [{name: night, week: [\"22:00-06:00\"]}]\n" +
		"cameras:\n  - name: gate\n    url: rtsp://h/x\n    rules: [{name: r, severity: minor, " + rules + "}]\n"
	doc, err := firmwareconfig.Parse("made.yml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p, err := newPlayer(Options{Document: doc, Camera: "gate", Start: start, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	for i := range int(seconds * 10) {
		s := float64(i) / 10
		f := detection.Frame{Session: 1, PTS: time.Duration(i) * 100 * time.Millisecond}
		for _, w := range all {
			if s < w.from || s > w.to {
				continue
			}
			part := (s - w.from) / (w.to - w.from)
			x, y := w.x0+part*(w.x1-w.x0), w.y0+part*(w.y1-w.y0)
			f.Detections = append(f.Detections, detection.Detection{Class: w.class, Score: 0.8, Box: detection.Box{X: x - 0.04, Y: y - 0.2, W: 0.08, H: 0.2}})
		}
		if err := p.result(wire.Result{Analysed: true, Frame: f}); err != nil {
			t.Fatal(err)
		}
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		line, _, _ = strings.Cut(line, `,"box"`)
		lines = append(lines, strings.NewReplacer(`{"event":"`, "", `","rule":"r","camera":"gate","t":`, " ", `,"class":`, " ", `"`, "", "}", "", "\n", "").Replace(line))
	}
	return strings.Join(lines, ", ")
}

// TestEveryKindOfRule plays a rule of each kind from its text to its lines, over objects that are made up.
func TestEveryKindOfRule(t *testing.T) {
	const area = "polygon: [[0.2, 0.4], [0.8, 0.4], [0.8, 1], [0.2, 1]]"
	for name, c := range map[string]struct {
		rule    string
		objects []walker
		want    string
	}{
		"loitering": {
			"kind: loitering, classes: [person], for: 10s, gap: 3s, " + area,
			[]walker{{"person", 1, 15, 0.5, 0.9, 0.5, 0.9}, {"person", 0, 8, 0.1, 0.6, 0.9, 0.6}},
			"opened 11.2 person, closed 18 person",
		},
		"wrong way": {
			"kind: wrong-way, allowed: [[0, 0.5], [1, 0.5]], " + area,
			[]walker{{"car", 0, 8, 0.1, 0.6, 0.9, 0.6}, {"car", 10, 18, 0.9, 0.9, 0.1, 0.9}},
			"opened 12 car, closed 19.1 car",
		},
		"crowd": {
			"kind: crowd, count: 2, for: 2s, " + area,
			[]walker{{"person", 0, 20, 0.3, 0.9, 0.3, 0.9}, {"person", 2, 20, 0.5, 0.9, 0.5, 0.9}, {"person", 5, 12, 0.7, 0.9, 0.7, 0.9}},
			"opened 7.2 , closed 16.5 ",
		},
		"stopped": {
			"kind: stopped, for: 5s, gap: 1s, " + area,
			[]walker{{"car", 1, 4, 0.1, 0.9, 0.5, 0.9}, {"car", 4.1, 12, 0.5, 0.9, 0.5, 0.9}, {"person", 0, 15, 0.3, 0.6, 0.3, 0.6}},
			"opened 9 car, closed 15 car",
		},
		"absence": {
			"kind: absence, for: 5s, " + area,
			[]walker{{"person", 0, 5, 0.5, 0.9, 0.5, 0.9}, {"person", 15, 22, 0.5, 0.9, 0.5, 0.9}},
			"opened 11.5 , closed 18.1 ",
		},
		"sighting": {
			"kind: sighting, classes: [smoke], clear: 4s",
			[]walker{{"smoke", 3, 10, 0.5, 0.5, 0.52, 0.5}},
			"opened 3.2 smoke, closed 14 smoke",
		},
	} {
		if got := made(t, c.rule, time.Time{}, 25, c.objects...); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A video has no time of day: all rules are active in it, unless it is said when it begins.
func TestSchedulesInAReplay(t *testing.T) {
	const rule = "kind: zone, for: 1s, schedule: night, polygon: [[0.2, 0.4], [0.8, 0.4], [0.8, 1], [0.2, 1]]"
	somebody := walker{"person", 0, 100, 0.5, 0.9, 0.5, 0.9}
	shanghai := time.FixedZone("", 8*3600)
	for start, want := range map[time.Time]string{
		{}: "opened 1 person",
		time.Date(2026, 11, 30, 12, 0, 0, 0, shanghai):   "",
		time.Date(2026, 11, 30, 21, 59, 50, 0, shanghai): "opened 10 person",
		time.Date(2026, 11, 30, 5, 59, 50, 0, shanghai):  "opened 1 person, closed 10 person",
	} {
		if got := made(t, rule, start, 20, somebody); got != want {
			t.Errorf("at %v: %s, want %s", start, fmt.Sprintf("%q", got), want)
		}
	}
}
