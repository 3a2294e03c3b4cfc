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
	tailLines = 15               // lines of a child's log that are shown when the child exits unexpectedly
	tailBytes = 16 << 10
)

// child is a running program. It is stopped by stop, or by the kernel when this process dies (Linux).
type child struct {
	name     string
	cmd      *exec.Cmd
	log      string // path
	stopping atomic.Bool
	ended    chan struct{}
}

// start starts one of the programs. Its output goes to NAME.log in the data folder. If the program
// ends before stop is called, fail is called with its exit status and the end of its log.
func (s *demonstration) start(fail func(error), name string, args ...string) (*child, error) {
	c := &child{name: name, log: filepath.Join(s.Data, name+".log"), ended: make(chan struct{})}
	out, err := os.OpenFile(c.log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	c.cmd = exec.Command(filepath.Join(s.Programs, name), args...)
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.SysProcAttr = childAttributes()
	started := make(chan error, 1)
	go func() {
		defer close(c.ended)
		// Pdeathsig is sent when the thread that started the child ends, not only with the process
		// (prctl(2), PR_SET_PDEATHSIG). The locked goroutine keeps this thread until the child ends.
		runtime.LockOSThread()
		err := c.cmd.Start()
		_ = out.Close() // the child has its own descriptor
		started <- err
		if err != nil {
			return
		}
		err = c.cmd.Wait()
		if !c.stopping.Load() {
			fail(c.unexpectedExit(err))
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop sends SIGTERM to the child, kills it after stopGrace, and waits until it has ended.
func (c *child) stop() {
	c.stopping.Store(true)
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		_ = c.cmd.Process.Kill()
	}
	t := time.AfterFunc(stopGrace, func() { _ = c.cmd.Process.Kill() })
	<-c.ended
	t.Stop()
}

// unexpectedExit returns an error with the exit status of the child and the end of its log.
func (c *child) unexpectedExit(err error) error {
	how := "exit status 0"
	if err != nil {
		how = err.Error()
	}
	tail, err := tailOf(c.log)
	if err != nil {
		return fmt.Errorf("%s exited unexpectedly (%s), and its log cannot be read: %w", c.name, how, err)
	}
	return fmt.Errorf("%s exited unexpectedly (%s); the end of %s:\n%s", c.name, how, c.log, tail)
}

// tailOf returns the last tailLines lines of a file, indented, from at most its last tailBytes bytes.
func tailOf(path string) (string, error) {
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
	lines = lines[max(0, len(lines)-tailLines):]
	return "  " + strings.Join(strings.Split(string(bytes.Join(lines, []byte("\n"))), "\n"), "\n  "), nil
}
