package demo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	stopGrace = 15 * time.Second // after SIGTERM; then the child is killed
	lastLines = 15               // of a child's log, shown when it ends by itself
	tailBytes = 16 << 10
)

// child is a program that runs until stop, or until this process dies.
type child struct {
	name     string
	cmd      *exec.Cmd
	log      string // path
	stopping atomic.Bool
	ended    chan struct{}
}

// start starts one of the programs. Its output goes to NAME.log in the data folder. If it
// ends before it is told to, fail is called with what it said last.
func (s *show) start(fail func(error), name string, args ...string) (*child, error) {
	c := &child{name: name, log: filepath.Join(s.Data, name+".log"), ended: make(chan struct{})}
	out, err := os.OpenFile(c.log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	c.cmd = exec.Command(filepath.Join(s.Programs, name), args...)
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.SysProcAttr = attributes()
	started := make(chan error, 1)
	go func() {
		defer close(c.ended)
		// The kernel's promise to end the child with its parent is about the thread that made it.
		// Staying locked, this goroutine keeps that thread until the child has ended.
		runtime.LockOSThread()
		err := c.cmd.Start()
		_ = out.Close() // the child has its own
		started <- err
		if err != nil {
			return
		}
		err = c.cmd.Wait()
		if !c.stopping.Load() {
			fail(c.died(err))
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop ends the child and waits for it.
func (c *child) stop() {
	c.stopping.Store(true)
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		_ = c.cmd.Process.Kill()
	}
	t := time.AfterFunc(stopGrace, func() { _ = c.cmd.Process.Kill() })
	<-c.ended
	t.Stop()
}

// died says how the child ended and what it said last.
func (c *child) died(err error) error {
	how := "it returned without an error"
	if err != nil {
		how = err.Error()
	}
	tail, err := lastOf(c.log)
	if err != nil {
		return fmt.Errorf("%s ended by itself (%s), and its log cannot be read: %w", c.name, how, err)
	}
	return fmt.Errorf("%s ended by itself (%s); the end of %s:\n%s", c.name, how, c.log, tail)
}

// lastOf returns the last lines of the file at path.
func lastOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("opening a log: %w", err)
	}
	defer func() { _ = f.Close() }()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return "", fmt.Errorf("reading a log: %w", err)
	}
	tail := make([]byte, min(size, tailBytes))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading a log: %w", err)
	}
	lines := bytes.Split(bytes.TrimSpace(tail), []byte("\n"))
	lines = lines[max(0, len(lines)-lastLines):]
	return "  " + strings.Join(strings.Split(string(bytes.Join(lines, []byte("\n"))), "\n"), "\n  "), nil
}
