package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockKey names the file that a program built by BuildWithClock reads its clock's error from.
const clockKey = "GRIDPOST_TORTURE_CLOCK"

// shiftedClock is added to the standard library's package time. The file holds seconds as decimal
// text; it is read again ten times per second, so that the clock can jump while the program runs. Only the wall clock is shifted: timers and durations stay monotonic.
const shiftedClock = `package time

import (
	"sync/atomic"
	"syscall"
)

var tortureShift atomic.Int64

func init() {
	path, ok := syscall.Getenv("` + clockKey + `")
	if !ok {
		return
	}
	tortureRead(path)
	go func() {
		for {
			Sleep(100 * Millisecond)
			tortureRead(path)
		}
	}()
}

// tortureSeconds is called on the scheduler's stack too, so that it must not do more than this.
func tortureSeconds() int64 { return tortureShift.Load() }

func tortureRead(path string) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	var text [32]byte
	n, _ := syscall.Read(fd, text[:])
	_ = syscall.Close(fd)
	var seconds, sign int64 = 0, 1
	for _, c := range text[:max(n, 0)] {
		switch {
		case c == '-':
			sign = -1
		case c >= '0' && c <= '9':
			seconds = seconds*10 + int64(c-'0')
		}
	}
	tortureShift.Store(sign * seconds)
}
`

// BuildWithClock builds the package pkg of the module at root into dir, from the same sources as
// the product, with a standard library whose wall clock can be wrong: see ClockEnv. It is how a
// static program gets another time than its machine. Go's cache makes the second build fast.
func BuildWithClock(ctx context.Context, root, dir, pkg string) (program string, err error) {
	goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the standard library: %w", err)
	}
	source := filepath.Join(strings.TrimSpace(string(goroot)), "src", "time")
	text, err := os.ReadFile(filepath.Join(source, "time.go"))
	if err != nil {
		return "", fmt.Errorf("reading the standard library: %w", err)
	}
	head, body, ok := strings.Cut(string(text), "\nfunc Now() Time {")
	patched := strings.Replace(body, "sec += unixToInternal - minWall", "sec += tortureSeconds() + unixToInternal - minWall", 1)
	if !ok || patched == body {
		return "", errors.New("the standard library's time.Now is not as expected: adapt edge/e2e/faults/clock.go to this version of Go")
	}
	replaced := map[string]string{}
	for name, text := range map[string]string{"time.go": head + "\nfunc Now() Time {" + patched, "torture_clock.go": shiftedClock} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("writing a standard library with another clock: %w", err)
		}
		replaced[filepath.Join(source, name)] = path
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", fmt.Errorf("writing a standard library with another clock: %w", err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return "", fmt.Errorf("writing a standard library with another clock: %w", err)
	}
	program = filepath.Join(dir, "edge-clock")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-overlay", list, "-o", program, pkg)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s with another clock: %w: %s", pkg, err, out)
	}
	return program, nil
}

// setClock writes the error of a clock to a file.
func setClock(path string, by time.Duration) error {
	if err := os.WriteFile(path, []byte(strconv.FormatInt(int64(by/time.Second), 10)), 0o600); err != nil {
		return fmt.Errorf("changing a clock: %w", err)
	}
	return nil
}
