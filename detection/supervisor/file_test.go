package supervisor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/detection/wire"
)

const carsFile = "../../../shared/data/car-detection.mp4"

// run returns the results for a file.
func run(t *testing.T, cfg wire.Config, path string) []wire.Result {
	t.Helper()
	var out []wire.Result
	err := RunFile(context.Background(), made.worker, cfg, path, func(r wire.Result) error {
		out = append(out, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFileResultsAreReproducible(t *testing.T) {
	path := footage(t, "file.mp4", "-c:v", "libx264", "-preset", "ultrafast")
	first := run(t, wire.Config{Rate: 5}, path)
	if n := len(first); n < 29 || n > 30 {
		t.Errorf("6 s at 5 frames per second gave %d", n)
	}
	seen := 0
	for _, r := range first {
		if !r.Analysed || r.Error != "" || !r.Frame.Time.Equal(time.Unix(0, 0).Add(r.Frame.PTS)) {
			t.Errorf("result %+v", r)
		}
		seen += checkBox(t, r)
	}
	if seen < 15 {
		t.Errorf("the box was seen %d times", seen)
	}
	if second := run(t, wire.Config{Rate: 5}, path); !reflect.DeepEqual(first, second) {
		t.Error("the second run gave other results")
	}
}

func TestFilesThatCannotBeAnalysed(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text.mp4")
	if err := os.WriteFile(text, []byte("this is text"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := func(wire.Result) error { return nil }
	for path, want := range map[string]string{
		text:           "Invalid data",
		"/nowhere.mp4": "no such file",
	} {
		if err := RunFile(context.Background(), made.worker, wire.Config{}, path, none); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := RunFile(context.Background(), made.worker, wire.Config{Rate: -1}, text, none); err == nil || !strings.Contains(err.Error(), "rate") {
		t.Errorf("a rate below zero: %v", err)
	}
	path := footage(t, "file.mp4", "-c:v", "libx264", "-preset", "ultrafast")
	enough := errors.New("enough")
	failUnless(t, RunFile(context.Background(), made.worker, wire.Config{}, path, func(wire.Result) error { return enough }), enough)
	ctx, cancel := context.WithCancel(context.Background())
	err := RunFile(ctx, made.worker, wire.Config{}, path, func(wire.Result) error {
		cancel()
		return nil
	})
	failUnless(t, err, context.Canceled)
}

// covers reports whether a detection of r overlaps box by half.
func covers(r wire.Result, box detection.Box) bool {
	for _, d := range r.Frame.Detections {
		w := min(d.Box.X+d.Box.W, box.X+box.W) - max(d.Box.X, box.X)
		h := min(d.Box.Y+d.Box.H, box.Y+box.H) - max(d.Box.Y, box.Y)
		if w > 0 && h > 0 && w*h > 0.5*(d.Box.Area()+box.Area()-w*h) {
			return true
		}
	}
	return false
}

// Whole cars and nothing else: at these times each car is completely in the frame.
func TestMotionDetectsWholeCars(t *testing.T) {
	if _, err := os.Stat(carsFile); err != nil {
		t.Skip("../shared/data/car-detection.mp4 is missing")
	}
	cars := map[time.Duration][]detection.Box{
		6240 * time.Millisecond:  {{X: 0.34, Y: 0.21, W: 0.23, H: 0.70}},
		16640 * time.Millisecond: {{X: 0.10, Y: 0.21, W: 0.23, H: 0.77}, {X: 0.40, Y: 0.28, W: 0.22, H: 0.71}},
		26640 * time.Millisecond: {{X: 0.16, Y: 0.15, W: 0.25, H: 0.80}},
	}
	for _, r := range run(t, wire.Config{}, carsFile) {
		s := r.Frame.PTS.Seconds()
		empty := s < 4 || s > 10 && s < 14 || s > 20 && s < 25 || s > 28.5
		if empty && len(r.Frame.Detections) > 0 {
			t.Errorf("at %v on the empty road: %v", r.Frame.PTS, r.Frame.Detections)
		}
		for at, boxes := range cars {
			if r.Frame.PTS != at {
				continue
			}
			delete(cars, at)
			large := 0 // small boxes beside a car, while the camera adapts its exposure, are ignored
			for _, d := range r.Frame.Detections {
				if d.Box.Area() > 0.01 {
					large++
				}
			}
			if large != len(boxes) {
				t.Errorf("at %v: %v, want %v", at, r.Frame.Detections, boxes)
			}
			for _, b := range boxes {
				if !covers(r, b) {
					t.Errorf("at %v: %v, want %v", at, r.Frame.Detections, b)
				}
			}
		}
	}
	if len(cars) > 0 {
		t.Errorf("not analysed: %v", cars)
	}
}

func TestModelDetectsCars(t *testing.T) {
	model := "../../../shared/data/nanodet_m_320.onnx"
	for _, path := range []string{model, carsFile} {
		if _, err := os.Stat(path); err != nil {
			t.Skipf("%s is missing", path)
		}
	}
	if os.Getenv("GRIDPOST_ONNXRUNTIME") == "" {
		found, err := filepath.Glob("../../bin/libonnxruntime.so*")
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 {
			t.Skip("ONNX Runtime is not installed; run `make onnxruntime`")
		}
		library, err := filepath.Abs(found[0])
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("GRIDPOST_ONNXRUNTIME", library)
	}
	named, onCar, empty := 0, 0, 0
	for _, r := range run(t, wire.Config{Model: model, Rate: 5}, carsFile) {
		s := r.Frame.PTS.Seconds()
		if s < 4 && len(r.Frame.Detections) > 0 {
			empty++
		}
		if s > 6 && s < 6.5 && covers(r, detection.Box{X: 0.35, Y: 0.25, W: 0.22, H: 0.68}) {
			onCar++
		}
		for _, d := range r.Frame.Detections {
			if d.Class == "car" {
				named++
			}
		}
	}
	// From straight above, the model detects each car but rarely classifies it as one.
	if onCar < 2 || named == 0 || empty > 1 {
		t.Errorf("on the first car in %d frames, called a car %d times, %d on the empty road", onCar, named, empty)
	}
}
