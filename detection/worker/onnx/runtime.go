package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Variable is the environment variable with the path of the runtime's shared library.
const Variable = "GRIDPOST_ONNXRUNTIME"

// FindRuntime returns the path of ONNX Runtime's shared library: from the environment variable, else
// beside the program, else in the system's library directories.
func FindRuntime() (string, error) {
	if path := os.Getenv(Variable); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("finding ONNX Runtime at the path in %s: %w", Variable, err)
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
	return "", errors.New("a model is configured, but ONNX Runtime (libonnxruntime.so) was not found: " +
		"run `make onnxruntime` to install it beside the worker, or set " + Variable + "; searched " + strings.Join(places, ", "))
}
