// Package rig starts Gridpost's programs as processes, with simulated devices, and reads the results
// from the hub as clients do: over HTTP, server-sent events and a browser.
//
// The tests of edge/e2e, the smoke run and the benchmarks use it. It uses only the interfaces that
// operators have: commands, files and the HTTP API. It must not import internal packages of edge or
// hub.
package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Programs is the folder of the programs edge, hub and worker.
type Programs string

// Path returns the path of one of the programs.
func (p Programs) Path(name string) string { return filepath.Join(string(p), name) }

// Check returns an error if a program is missing.
func (p Programs) Check() error {
	for _, name := range []string{"edge", "hub", "worker"} {
		if _, err := os.Stat(p.Path(name)); err != nil {
			return fmt.Errorf("looking for the program %s: %w; `make build` makes it", name, err)
		}
	}
	return nil
}

// Build builds the programs of the module at root into dir.
func Build(ctx context.Context, root, dir string) (Programs, error) {
	for _, b := range []struct{ name, pkg, cgo string }{
		{"edge", "./edge", "0"}, {"hub", "./hub", "0"}, {"worker", "./detection/worker", "1"},
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(dir, b.name), b.pkg)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED="+b.cgo)
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("building %s: %w: %s", b.name, err, out)
		}
	}
	return Programs(dir), nil
}

const lookEvery = 50 * time.Millisecond

// ErrNotYet is what a check returns while the condition does not hold yet.
var ErrNotYet = errors.New("not yet")

// Until calls check until it returns nil. An error that is not ErrNotYet ends it at once;
// after limit, or when ctx ends, it fails with the last one.
func Until(ctx context.Context, limit time.Duration, what string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrNotYet) && ctx.Err() == nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting %s for %s: %w", limit, what, err)
		}
	}
}
