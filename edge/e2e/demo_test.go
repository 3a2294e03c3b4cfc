package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gridpost/edge/e2e/rig"
)

// demo is a demonstration that runs.
type demo struct {
	*rig.Process
	line string // the one that begins with "ready"
}

func startDemo(t *testing.T, data, listen string) demo {
	t.Helper()
	p, err := rig.Start(filepath.Join(t.TempDir(), "demo.log"), programs(t).Path("hub"), "demo", "--data", data, "--listen", listen, "--footage", os.Getenv(footageKey))
	if err != nil {
		t.Fatal(err)
	}
	d := demo{Process: p}
	t.Cleanup(d.Kill)
	err = rig.Until(t.Context(), 90*time.Second, "the demonstration", func(context.Context) error {
		select {
		case <-p.Ended():
			return fmt.Errorf("it ended: %s", p.Tail())
		default:
		}
		text, err := os.ReadFile(p.Log)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "ready ") {
				d.line = strings.TrimSpace(line)
				return nil
			}
		}
		return rig.ErrNotYet
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// descendants returns the processes below pid that belong to a demonstration.
func descendants(t *testing.T, pid int) (all []int) {
	t.Helper()
	for _, name := range []string{"hub", "edge", "worker"} {
		found, err := rig.Children(pid, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, child := range found {
			all = append(append(all, child), descendants(t, child)...)
		}
	}
	return all
}

func waitGone(t *testing.T, pids []int) {
	t.Helper()
	err := rig.Until(t.Context(), 30*time.Second, "the processes to end", func(context.Context) error {
		for _, pid := range pids {
			if err := syscall.Kill(pid, 0); err == nil {
				return fmt.Errorf("%w: %d runs", rig.ErrNotYet, pid)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A demonstration starts, ends cleanly on Ctrl-C, starts again with the same keys and data, and
// leaves no process behind when it is killed.
func TestDemonstration(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := l.Addr().String()
	taken, err := rig.Start(filepath.Join(t.TempDir(), "log"), programs(t).Path("hub"), "demo", "--data", data, "--listen", listen)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-taken.Ended():
	case <-time.After(30 * time.Second):
		t.Error("with the port taken it goes on")
	}
	if err := taken.Stop(); err == nil || !strings.Contains(err.Error(), listen+" is in use") {
		t.Errorf("with the port taken it said: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	first := startDemo(t, data, listen)
	below := descendants(t, first.PID())
	if len(below) != 6 {
		t.Errorf("%d processes run, not hub, edge and four workers", len(below))
	}
	if err := errors.Join(first.Signal(os.Interrupt), first.Stop()); err != nil {
		t.Errorf("ended by Ctrl-C: %v", err)
	}
	waitGone(t, below)

	began := time.Now()
	second := startDemo(t, data, listen)
	t.Logf("the second start took %v", time.Since(began).Round(time.Millisecond))
	if second.line != first.line {
		t.Errorf("the second start said %q, the first %q", second.line, first.line)
	}
	below = descendants(t, second.PID())
	second.Kill()
	waitGone(t, below)
}

// What must not work without credentials does not, on a hub as it is started.
func TestNothingIsToldWithoutCredentials(t *testing.T) {
	h := startHub(t)
	anonymous := rig.NewClient(h.URL, "")
	defer anonymous.Close()
	for path, want := range map[string]int{
		"/healthz": http.StatusOK, "/readyz": http.StatusOK, "/": http.StatusOK,
		"/api/v1/incidents": http.StatusUnauthorized, "/api/v1/devices": http.StatusUnauthorized, "/api/v1/nearby?lat=1&lon=1": http.StatusUnauthorized,
		"/api/v1/stream": http.StatusUnauthorized, "/openapi.json": http.StatusUnauthorized, "/metrics": http.StatusUnauthorized,
	} {
		status, body, err := anonymous.Do(t.Context(), http.MethodGet, path, nil)
		if err != nil || status != want {
			t.Errorf("%s answered %d, %v; want %d", path, status, err, want)
		}
		if status == http.StatusUnauthorized && bytes.Contains(body, []byte("token")) {
			t.Errorf("%s told a anonymous: %s", path, body)
		}
	}
	for _, path := range []string{"/whep/gate-7/yard", "/whip/gate-7/yard", "/api/v1/reports"} {
		if status, _, err := anonymous.Do(t.Context(), http.MethodPost, path, []byte("{}")); err != nil || status != http.StatusUnauthorized {
			t.Errorf("POST %s answered %d, %v", path, status, err)
		}
	}
}
