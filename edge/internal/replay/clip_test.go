package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	firmwareconfig "gridpost/firmware-config"
)

// clips is the folder of the clips with ground truth; truth.json says what each must show.
const clips = "../../../../shared/data/detection"

// truth is what one clip must show.
type truth struct {
	Clip  string       `json:"clip"`
	YML   string       `json:"yml"`
	Rule  string       `json:"rule"`  // the only one that is looked at; empty: all
	Truth [][2]float64 `json:"truth"` // from when to when somebody is there, seconds
	Late  float64      `json:"late"`  // seconds by which an incident may open later; 0: 9
}

// TestClips holds that each visit in the clips opens one incident in time, which stays open while it lasts.
func TestClips(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(clips, "truth.json"))
	if err != nil {
		t.Skip("the clips with ground truth are not in ../shared/data/detection beside the repository")
	}
	var all []truth
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		t.Run(c.Clip, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(clips, c.YML))
			if err != nil {
				t.Fatal(err)
			}
			doc, err := firmwareconfig.Parse(c.YML, text, func(string) (string, bool) { return "", false })
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := Run(t.Context(), Options{Document: doc, Camera: "cam", Video: filepath.Join(clips, c.Clip), Worker: worker(t), Out: &out}); err != nil {
				t.Fatal(err)
			}
			c.check(t, out.String())
		})
	}
}

// check compares the incidents of a replay with the truth.
func (c truth) check(t *testing.T, text string) {
	t.Helper()
	late := c.Late
	if late == 0 {
		late = 9
	}
	met := make([]bool, len(c.Truth))
	for row := range strings.Lines(text) {
		var l line
		if err := json.Unmarshal([]byte(row), &l); err != nil {
			t.Fatal(err)
		}
		if c.Rule != "" && l.Rule != c.Rule {
			continue
		}
		during := -1
		for i, v := range c.Truth {
			if l.T >= v[0]-0.3 && l.T <= v[1] {
				during = i
			}
		}
		switch {
		case l.Event == "closed":
			if during >= 0 && l.T > c.Truth[during][0] {
				t.Errorf("an incident closes at %g s, while somebody is there", l.T)
			}
		case during < 0 || met[during]:
			t.Errorf("an incident opens at %g s, when nobody comes: %s", l.T, row)
		default:
			met[during] = true
			if l.T > c.Truth[during][0]+late {
				t.Errorf("the incident of %g s opens at %g s", c.Truth[during][0], l.T)
			}
		}
	}
	for i, ok := range met {
		if !ok {
			t.Errorf("no incident opens for the visit of %g to %g s", c.Truth[i][0], c.Truth[i][1])
		}
	}
}

// TestCarsInBadPictures holds that the four cars cross once each at night, with noise, at five frames a second and in
// a small picture, and that nothing else does.
func TestCarsInBadPictures(t *testing.T) {
	if _, err := os.Stat(cars); err != nil {
		t.Skip("the video car-detection.mp4 is not in ../shared/data beside the repository")
	}
	rules := []string{
		"name: gate-up, kind: line, line: [[0, 0.5], [1, 0.5]], direction: up, severity: minor",
		"name: gate-down, kind: line, line: [[0, 0.5], [1, 0.5]], direction: down, severity: minor",
		"name: road, kind: zone, polygon: [[0, 0.02], [1, 0.02], [1, 0.98], [0, 0.98]], min_size: 0.01, for: 500ms, clear: 2s, severity: minor",
	}
	for _, c := range []struct {
		name, filter string
		rate         float64
	}{
		{"night", "lutyuv=y=16+(val-16)*0.35,noise=alls=6:allf=t", 10},
		{"noise", "noise=alls=24:allf=t", 10},
		{"small", "scale=320:180", 10},
		{"small, five frames a second", "scale=320:180", 5},
		{"night, five frames a second", "scale=640:-2,lutyuv=y=16+(val-16)*0.35,noise=alls=6:allf=t", 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			video := filtered(t, cars, c.filter)
			got, _ := play(t, document(t, c.rate, rules...), video)
			expect(t, got, "gate-up", [][2]float64{{4.5, 8.0}, {15.0, 18.7}})
			expect(t, got, "gate-down", [][2]float64{{14.5, 17.3}, {25.3, 27.7}})
			expect(t, got, "road", [][2]float64{{4.3, 6.5}, {14.3, 16.5}, {25.1, 27.3}})
		})
	}
}

// filtered returns a copy of a video that has passed one of FFmpeg's filters.
func filtered(t *testing.T, video, filter string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "filtered.mp4")
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-i", video, "-an", "-vf", filter,
		"-c:v", "libx264", "-preset", "ultrafast", "-crf", "20", "-threads", "1", out)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("making a video with FFmpeg, which make test installs: %v: %s", err, text)
	}
	return out
}

// TestCarsWithAModel holds that a model which does not know cars from above costs no crossing, and that what it takes
// for something else in two quiet minutes makes it no slower.
func TestCarsWithAModel(t *testing.T) {
	runtime := os.Getenv("GRIDPOST_ONNXRUNTIME")
	if runtime == "" {
		t.Skip("GRIDPOST_ONNXRUNTIME does not name ONNX Runtime's library, as make test does")
	}
	for _, model := range []string{"yolox_nano.onnx", "nanodet_m_320.onnx"} {
		t.Run(model, func(t *testing.T) {
			path := filepath.Join(filepath.Dir(cars), model)
			if _, err := os.Stat(path); err != nil {
				t.Skipf("%s is not in ../shared/data beside the repository", model)
			}
			doc := document(t, 5,
				"name: gate-up, kind: line, line: [[0, 0.5], [1, 0.5]], direction: up, classes: [car, truck, motion], severity: minor",
				"name: gate-down, kind: line, line: [[0, 0.5], [1, 0.5]], direction: down, classes: [car, truck, motion], severity: minor")
			doc.Detection.Model = path
			var out bytes.Buffer
			if err := Run(t.Context(), Options{Document: doc, Camera: "gate", Video: cars, Worker: withRuntime(t, runtime), Out: &out}); err != nil {
				t.Fatal(err)
			}
			var lines []line
			for row := range strings.Lines(out.String()) {
				var l line
				if err := json.Unmarshal([]byte(row), &l); err != nil {
					t.Fatal(err)
				}
				lines = append(lines, l)
			}
			expect(t, lines, "gate-up", [][2]float64{{4.5, 8.0}, {15.0, 18.7}})
			expect(t, lines, "gate-down", [][2]float64{{14.5, 17.3}, {25.3, 27.7}})
		})
	}
}

// withRuntime returns a worker that has ONNX Runtime's library beside it.
func withRuntime(t *testing.T, library string) string {
	t.Helper()
	program, err := os.Readlink(worker(t))
	if err != nil {
		program = worker(t)
	}
	link := filepath.Join(filepath.Dir(program), filepath.Base(library))
	if err := os.Symlink(library, link); err != nil && !os.IsExist(err) {
		t.Fatal(fmt.Errorf("putting ONNX Runtime beside the worker: %w", err))
	}
	return program
}
