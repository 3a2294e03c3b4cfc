package supervisor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gridpost/detection/wire"
)

const sharedData = "../../../shared/data/"

// needFile returns the path of a file of the data for tests, or skips the test.
func needFile(t *testing.T, name string) string {
	t.Helper()
	if _, err := os.Stat(sharedData + name); err != nil {
		t.Skipf("%s%s is missing", sharedData, name)
	}
	return sharedData + name
}

func TestCheckModel(t *testing.T) {
	needRuntime(t)
	labels := needFile(t, "coco-labels.txt")
	for file, want := range map[string]string{"nanodet_m_320.onnx": "NanoDet", "yolox_nano.onnx": "YOLOX"} {
		m, err := CheckModel(t.Context(), made.worker, wire.Config{Model: needFile(t, file), Labels: labels, Threads: 1})
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if m.Head != want || len(m.Labels) != 80 || m.Labels[2] != "car" || len(m.Inputs) != 1 || m.Inference < m.Model.Runtime || m.Model.Runtime <= 0 || m.Memory < 8<<20 {
			t.Errorf("%s: %+v", file, m)
		}
	}
}

// A model that cannot be used, and a process that is no worker, are errors that say why.
func TestCheckModelSaysWhy(t *testing.T) {
	needRuntime(t)
	text := filepath.Join(t.TempDir(), "text.onnx")
	if err := os.WriteFile(text, []byte("this is text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ binary, model, want string }{
		"text":       {made.worker, text, "text.onnx cannot be used: it is not an ONNX file"},
		"no file":    {made.worker, "/nowhere.onnx", "no such file"},
		"no program": {"/nowhere/worker", text, "/nowhere/worker"},
		"aborts":     {script(t, "kill -ABRT $$"), text, "the worker aborted"},
		"lies":       {script(t, "printf '\\000\\000\\000\\002\\002{}' >&3; exec sleep 60"), text, "invalid description of the model"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if _, err := CheckModel(ctx, c.binary, wire.Config{Model: c.model}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		cancel()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := CheckModel(ctx, script(t, "exec sleep 60"), wire.Config{Model: text}); err == nil {
		t.Error("a check that was cancelled was successful")
	}
}
