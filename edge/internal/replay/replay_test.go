package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	firmwareconfig "gridpost/firmware-config"

	"go.uber.org/goleak"
)

const (
	cars        = "../../../../shared/data/car-detection.mp4"
	pedestrians = "/usr/share/doc/opencv-doc/examples/data/vtest.avi"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if dir, err := builtIn(); err == nil {
			_ = os.RemoveAll(dir) // the temporary folder; nothing depends on it
		}
		os.Exit(code)
	}))
}

// builtIn builds the worker once, into a folder of its own.
var builtIn = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "replay-worker-")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "worker"), "gridpost/detection/worker").CombinedOutput() // fixed words
	if err != nil {
		return dir, fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
})

func worker(t *testing.T) string {
	t.Helper()
	dir, err := builtIn()
	if err != nil {
		t.Fatalf("building the worker (it needs Debian's libopencv-dev and FFmpeg libraries, which make test installs): %v", err)
	}
	return filepath.Join(dir, "worker")
}

// document returns a document with one camera, gate, and the rules given in YAML's flow form.
func document(t *testing.T, rate float64, rules ...string) *firmwareconfig.Document {
	t.Helper()
	text := fmt.Sprintf("edge: test\ndetection: {rate: %g}\ncameras:\n  - name: gate\n    url: rtsp://10.0.0.11/main\n    rules:\n", rate)
	for _, r := range rules {
		text += "      - {" + r + "}\n"
	}
	doc, err := firmwareconfig.Parse("test.yml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// play returns the lines of a replay, checked for what must hold of any.
func play(t *testing.T, doc *firmwareconfig.Document, video string) ([]line, string) {
	t.Helper()
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Document: doc, Camera: "gate", Video: video, Out: &out, Worker: worker(t)}); err != nil {
		t.Fatal(err)
	}
	var lines []line
	open := map[string]int{}
	for text := range strings.Lines(out.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		switch l.Event {
		case "opened":
			open[l.Rule]++
		case "closed":
			open[l.Rule]--
		}
		if l.Camera != "gate" || l.Box == nil || !l.Box.Valid() || l.Class != "motion" || open[l.Rule] < 0 ||
			(len(lines) > 0 && l.T < lines[len(lines)-1].T) {
			t.Errorf("line %s after %v", text, lines)
		}
		lines = append(lines, l)
	}
	return lines, out.String()
}

func TestCars(t *testing.T) {
	if _, err := os.Stat(cars); err != nil {
		t.Skip("the video car-detection.mp4 is not in ../shared/data beside the repository")
	}
	lines := map[string]string{
		"middle": "[[0, 0.5], [1, 0.5]]", "reverse": "[[1, 0.5], [0, 0.5]]",
		"y30": "[[0, 0.3], [1, 0.3]]", "y40": "[[0, 0.4], [1, 0.4]]", "y45": "[[0, 0.45], [1, 0.45]]",
		"y55": "[[0, 0.55], [1, 0.55]]", "y60": "[[0, 0.6], [1, 0.6]]", "y70": "[[0, 0.7], [1, 0.7]]",
		"falling": "[[0, 0.4], [1, 0.6]]", "rising": "[[0, 0.6], [1, 0.4]]", "steep": "[[0, 0.2], [1, 0.8]]",
	}
	var rules []string
	for name, l := range lines {
		for _, d := range []string{"up", "down", "any"} {
			rules = append(rules, fmt.Sprintf("name: %s-%s, kind: line, line: %s, direction: %s, severity: minor", name, d, l, d))
		}
	}
	rules = append(rules,
		"name: left-lane, kind: line, line: [[0, 0.5], [0.35, 0.5]], severity: minor",
		"name: right-lane, kind: line, line: [[0.4, 0.5], [1, 0.5]], severity: minor")
	up, down := [][2]float64{{4.5, 8.0}, {15.0, 18.7}}, [][2]float64{{14.5, 17.3}, {25.3, 27.7}}
	for _, rate := range []float64{5, 8, 10, 12.5, 25} {
		t.Run(fmt.Sprintf("%g", rate), func(t *testing.T) {
			got, _ := play(t, document(t, rate, rules...), cars)
			for name := range lines {
				expect(t, got, name+"-up", up)
				expect(t, got, name+"-down", down)
				expect(t, got, name+"-any", [][2]float64{up[0], down[0], up[1], down[1]})
			}
			// The lane on the left leads down, the one on the right up.
			expect(t, got, "left-lane", down)
			expect(t, got, "right-lane", up)
		})
	}
}

// expect checks that rule opened once within each of the times, in order, and never else.
func expect(t *testing.T, lines []line, rule string, within [][2]float64) {
	t.Helper()
	var opened []float64
	for _, l := range lines {
		if l.Rule == rule && l.Event == "opened" {
			opened = append(opened, l.T)
		}
	}
	ok := len(opened) == len(within)
	for i := 0; ok && i < len(opened); i++ {
		// The times given are when most of a car is in the frame; its last corner may leave a little later.
		ok = opened[i] >= within[i][0] && opened[i] <= within[i][1]+0.5
	}
	if !ok {
		t.Errorf("%s opened at %v, want one within each of %v", rule, opened, within)
	}
}

func TestCarsInAZone(t *testing.T) {
	if _, err := os.Stat(cars); err != nil {
		t.Skip("the video car-detection.mp4 is not in ../shared/data beside the repository")
	}
	doc := document(t, 10,
		"name: road, kind: zone, polygon: [[0, 0.2], [1, 0.2], [1, 1], [0, 1]], min_size: 0.02, for: 500ms, clear: 2s, severity: minor",
		"name: near, kind: zone, polygon: [[0, 0.6], [1, 0.6], [1, 1], [0, 1]], min_size: 0.05, for: 5s, clear: 1s, severity: minor")
	got, text := play(t, doc, cars)
	// The second and the third car are there together.
	expect(t, got, "road", [][2]float64{{4.5, 6}, {14.8, 16.5}, {25.5, 27}})
	expect(t, got, "near", nil) // nobody stays for five seconds
	closed := 0
	for _, l := range got {
		if l.Rule == "road" && l.Event == "closed" {
			closed++
			if l.T < 8.5 || l.T > 12 && l.T < 19 || l.T > 23 && l.T < 27 {
				t.Errorf("the road was clear at %g: %s", l.T, text)
			}
		}
	}
	if closed < 2 { // after the last car the video may end too soon
		t.Errorf("the road was never clear: %s", text)
	}
}

func TestPedestrians(t *testing.T) {
	if _, err := os.Stat(pedestrians); err != nil {
		t.Fatalf("the video vtest.avi of Debian's package opencv-doc is missing, which make test installs: %v", err)
	}
	doc := document(t, 10,
		"name: anywhere, kind: zone, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]], for: 1s, severity: minor",
		"name: corner, kind: zone, polygon: [[0, 0.6], [0.3, 0.6], [0.3, 1], [0, 1]], for: 1s, severity: minor",
		"name: lawn, kind: zone, polygon: [[0, 0], [0.3, 0], [0.3, 0.2], [0, 0.2]], for: 1s, severity: minor",
		"name: sky, kind: line, line: [[0.5, 0.02], [0.9, 0.02]], severity: minor")
	got, text := play(t, doc, pedestrians)
	for rule, within := range map[string][][2]float64{
		"anywhere": {{1, 4}},             // somebody is always there
		"corner":   {{55, 58}, {67, 70}}, // two walk through together, later another one
		"lawn":     {{9, 13}},            // one far away
		"sky":      nil,
	} {
		expect(t, got, rule, within)
	}
	if again, textAgain := play(t, doc, pedestrians); textAgain != text {
		t.Errorf("two replays differ: %v and %v", got, again)
	}
}

func TestErrors(t *testing.T) {
	zone := "name: z, kind: zone, polygon: [[0, 0], [1, 0], [0, 1]], severity: minor"
	none := filepath.Join(t.TempDir(), "none.mp4")
	for want, run := range map[string]func() error{
		`no camera "door", only gate`: func() error {
			return Run(t.Context(), Options{Document: document(t, 10, zone), Camera: "door", Video: none, Out: &bytes.Buffer{}, Worker: worker(t)})
		},
		"the document has no camera": func() error {
			return Run(t.Context(), Options{Document: &firmwareconfig.Document{}, Camera: "door", Video: none, Out: &bytes.Buffer{}, Worker: worker(t)})
		},
		"replaying " + none: func() error {
			return Run(t.Context(), Options{Document: document(t, 10, zone), Camera: "gate", Video: none, Out: &bytes.Buffer{}, Worker: worker(t)})
		},
		"replaying": func() error {
			return Run(t.Context(), Options{Document: document(t, 10, zone), Camera: "gate", Video: none, Out: &bytes.Buffer{}, Worker: filepath.Join(t.TempDir(), "worker")})
		},
	} {
		if err := run(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, Options{Document: document(t, 10, zone), Camera: "gate", Video: pedestrians, Out: &bytes.Buffer{}, Worker: worker(t)}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
