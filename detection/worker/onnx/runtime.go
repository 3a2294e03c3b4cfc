package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Variable is the name of the environment variable that says where the runtime's shared
// library is.
const Variable = "GRIDPOST_ONNXRUNTIME"

// FindRuntime returns the path of ONNX Runtime's shared library: what the environment
// variable names, else what lies beside the program, else what the system has.
func FindRuntime() (string, error) {
	if path := os.Getenv(Variable); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("finding ONNX Runtime where %s says: %w", Variable, err)
		}
		return path, nil
	}
	places := []string{"/usr/local/lib", "/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"}
	if program, err := os.Executable(); err == nil {
		places = slices.Insert(places, 0, filepath.Dir(program))
	}
	for _, dir := range places {
		found, err := filepath.Glob(filepath.Join(dir, "libonnxruntime.so*"))
		if err != nil {
			return "", fmt.Errorf("finding ONNX Runtime: %w", err)
		}
		if len(found) > 0 {
			slices.Sort(found)
			return found[0], nil
		}
	}
	return "", errors.New("a model is configured, but ONNX Runtime (libonnxruntime.so) is not there: " +
		"`make onnxruntime` puts it beside the worker, or set " + Variable + "; looked in " + strings.Join(places, ", "))
}
