package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gridpost/edge/internal/status"
)

// asProgram makes the test's own binary run as the program.
const asProgram = "GRIDPOST_TEST_RUN_MAIN"

// program returns the program as a command.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// running starts the program and waits for a line of its log.
func running(t *testing.T, line string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := program(t, args...)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended unless the test failed
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), line) {
			go func() {
				for lines.Scan() { //nolint:revive // so that the program never waits for a reader
				}
			}()
			return cmd
		}
	}
	t.Fatalf("the program ended before it logged %q", line)
	return nil
}

// TestRunReloadStatus runs the program itself: SIGHUP, edge apply, edge status, the files' modes and
// the end by SIGTERM.
func TestRunReloadStatus(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	config := document(t, "edge: gate-7\nsensors: [{name: river, topic: r}]\n")
	cmd := running(t, "the edge runs", "run", "--status", "127.0.0.1:0", "--config", config, "--data", data)

	get := func() (s status.Status) {
		t.Helper()
		out, err := program(t, "status", "--data", data).Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := get(); s.Edge != "gate-7" || len(s.Devices) != 1 || s.PID != cmd.Process.Pid {
		t.Errorf("status: %+v", s)
	}
	next := document(t, "edge: gate-7\nsensors: [{name: river, topic: r}, {name: lake, topic: l}]\n")
	out, err := program(t, "apply", next, "--data", data).CombinedOutput()
	if want := next + " runs\nsensor lake: added\n"; err != nil || string(out) != want {
		t.Errorf("apply: %v, %q, expected %q", err, out, want)
	}
	bad := document(t, "edge: gate-7\nsensors: [{name: river}]\n")
	out, err = program(t, "apply", bad, "--data", data).CombinedOutput()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != 1 || !strings.HasPrefix(string(out), "edge: "+bad+":2: sensors[0].topic: ") {
		t.Errorf("apply of a bad document: %v, %q", err, out)
	}
	if err := os.WriteFile(config, []byte("edge: gate-7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); len(get().Devices) != 0; {
		if time.Since(began) > time.Minute {
			t.Fatal("SIGHUP reloads nothing")
		}
	}
	err = filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended by SIGTERM: %v", err)
	}
	err = program(t, "status", "--data", data).Run()
	if !errors.As(err, &ended) || ended.ExitCode() != 1 {
		t.Errorf("status without an edge: %v", err)
	}
}

// reading starts the program so that it reads a document that never comes, and returns where the
// document would be written.
func reading(t *testing.T) (*exec.Cmd, *os.File) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe.yml")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := program(t, "check", "--config", path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })   // it has ended unless the test failed
	pipe, err := os.OpenFile(path, os.O_WRONLY, 0) // returns when the program reads
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pipe.Close() }) // also closed by the test
	return cmd, pipe
}

// TestASecondSignalEndsAtOnce: the first one asks to stop, and the second one does not wait for
// anything.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	cmd, pipe := reading(t)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, err := pipe.WriteString("edge: a\n"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(pipe.Close(), cmd.Wait()); err != nil {
		t.Errorf("after one signal: %v", err)
	}

	cmd, _ = reading(t)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	signals := time.NewTicker(10 * time.Millisecond) // the second one may be taken for the first
	defer signals.Stop()
	for {
		select {
		case <-signals.C:
			if err := cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			continue
		case err := <-done:
			var ended *exec.ExitError
			if !errors.As(err, &ended) {
				t.Fatalf("it ended with %v", err)
			}
			if s, ok := ended.Sys().(syscall.WaitStatus); !ok || !s.Signaled() || s.Signal() != syscall.SIGINT {
				t.Errorf("it ended with %v", err)
			}
			return
		}
	}
}
