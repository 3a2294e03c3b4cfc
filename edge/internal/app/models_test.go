package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gridpost/detection/onnxtest"
	"gridpost/edge/internal/status"
)

// needRuntime sets the path of ONNX Runtime, or skips the test.
func needRuntime(t *testing.T) {
	t.Helper()
	if os.Getenv("GRIDPOST_ONNXRUNTIME") != "" {
		return
	}
	found, err := filepath.Glob("../../../bin/libonnxruntime.so*")
	must(t, err)
	if len(found) == 0 {
		t.Skip("ONNX Runtime is not installed; run `make onnxruntime`")
	}
	library, err := filepath.Abs(found[0])
	must(t, err)
	t.Setenv("GRIDPOST_ONNXRUNTIME", library)
}

// TestObjectModel: objects that the model sees open incidents, the counters say so, and a document without
// the model ends its process and lets the cameras detect motion.
func TestObjectModel(t *testing.T) {
	needRuntime(t)
	model := filepath.Join(t.TempDir(), "car.onnx")
	must(t, os.WriteFile(model, onnxtest.Car(), 0o600))
	server := cameras(t, "one", "two")
	const rule = "{name: parked, kind: zone, polygon: [[0,0],[1,0],[1,1],[0,1]], for: 300ms, severity: minor, classes: [car]}"
	text := "edge: gate-7\ndetection: {model: " + model + ", budget: 20}\ncameras:\n" +
		"  - {name: one, url: \"" + server.URL("one") + "\", rules: [" + rule + "]}\n" +
		"  - {name: two, url: \"" + server.URL("two") + "\", rules: [" + rule + "]}\n"
	r := start(t, Options{Worker: worker(t), Files: site(t, text)})
	until(t, r, "a car at each camera", func(k kept) bool {
		seen := map[string]bool{}
		for _, inc := range k.incidents {
			seen[inc.Device] = seen[inc.Device] || inc.Class == "car"
		}
		return seen["one"] && seen["two"]
	})
	s := getStatus(t, r)
	if n := s.Counters; n["edge_model_budget"] != 20 || n["edge_model_looks_total"] < 2 || n["edge_looks_total"] < 2 || n["edge_model_restarts_total"] != 0 {
		t.Errorf("counters %v", n)
	}
	var changes Changes
	without := withHub(strings.Replace(text, "detection: {model: "+model+", budget: 20}\n", "", 1))
	must(t, status.Apply(t.Context(), r.dir, "new.yml", []byte(without), &changes))
	if got, want := changes.String(), "new.yml runs\ncamera one: updated\ncamera two: updated\n"; got != want {
		t.Errorf("changes %s, expected %s", got, want)
	}
	if n := getStatus(t, r).Counters; n["edge_model_budget"] != 0 || n["edge_model_looks_total"] < 2 {
		t.Errorf("counters without the model %v", n)
	}
}
