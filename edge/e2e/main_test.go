// Package e2e tests the programs together, as processes, with real cameras, brokers and
// browsers around them. Parts of it that commands need as well are in rig.
package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/edge/e2e/rig"
	"gridpost/streams/simcam/footage"
)

// Where TestMain has put what all tests share.
const (
	programsKey = "GRIDPOST_BIN"     // folder of edge, hub and worker; built if not given
	footageKey  = "GRIDPOST_FOOTAGE" // folder of recordings; made if not given
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "gridpost-e2e-")
	if err != nil {
		return 1, fmt.Errorf("making a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if os.Getenv(programsKey) == "" {
		p, err := rig.Build(context.Background(), "../..", dir)
		if err != nil {
			return 1, err
		}
		if err := os.Setenv(programsKey, string(p)); err != nil {
			return 1, fmt.Errorf("sharing the programs: %w", err)
		}
	}
	if os.Getenv(footageKey) == "" {
		if err := os.Setenv(footageKey, filepath.Join(dir, "footage")); err != nil {
			return 1, fmt.Errorf("sharing the footage: %w", err)
		}
	}
	code = m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			return 1, err
		}
	}
	return code, nil
}

// programs returns the programs to test.
func programs(t *testing.T) rig.Programs {
	t.Helper()
	p, err := filepath.Abs(os.Getenv(programsKey))
	if err != nil {
		t.Fatal(err)
	}
	if err := rig.Programs(p).Check(); err != nil {
		t.Fatal(err)
	}
	return rig.Programs(p)
}

// pedestrians returns the recording that cameras play.
func pedestrians(t *testing.T) string {
	t.Helper()
	path, err := footage.Cached(t.Context(), footage.Pedestrians, os.Getenv(footageKey), footage.Format{}, nil)
	if err != nil {
		t.Fatalf("%v: `make test` installs ffmpeg and opencv-doc", err)
	}
	return path
}

// startHub starts a hub that ends with the test.
func startHub(t *testing.T) *rig.Hub {
	t.Helper()
	h, err := rig.StartHub(t.Context(), programs(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.Close()
		if err := h.Stop(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// startSite starts an edge, and its cameras, which end with the test.
func startSite(t *testing.T, h *rig.Hub, o rig.SiteOptions) *rig.Site {
	t.Helper()
	o.Dir = t.TempDir()
	s, err := rig.NewSite(t.Context(), h, o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Cameras != nil {
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Cameras.Run(ctx) }()
		t.Cleanup(func() {
			stop()
			if err := <-done; err != nil {
				t.Errorf("the cameras: %v", err)
			}
		})
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the edge's log ends with:\n%s", s.Tail())
		}
	})
	if err := h.Knows(t.Context(), o.Name, len(o.Cameras)+len(o.CameraURLs)+len(o.Sensors), time.Minute); err != nil {
		t.Fatal(err)
	}
	return s
}

// sensor returns a simulated sensor of the site.
func sensor(t *testing.T, s *rig.Site, name string) *rig.Sensor {
	t.Helper()
	p, err := s.Sensor(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// flood is a rule that opens an incident above 2 and closes it below 1.
func flood() rig.Map {
	return rig.Map{"name": "flood", "kind": "above", "value": 2, "clear": 1, "severity": "severe"}
}

// passing is a rule that the pedestrians meet every few seconds: somebody crosses the middle
// of the walkway.
func passing() rig.Map {
	return rig.Map{"name": "passing", "kind": "line", "line": [][2]float64{{0.34, 0.25}, {0.34, 0.65}}, "clear": "1s", "severity": "minor"}
}
