package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"gridpost/detection/wire"
)

// exitTimeout is how long a worker may take to exit after its socket was closed.
const exitTimeout = 2 * time.Second

// process is a running worker.
type process struct {
	cmd    *exec.Cmd
	conn   *wire.Conn
	stderr *outputTail
	done   chan struct{} // closed after the process has been waited for
}

// start runs binary with one end of a socket pair as descriptor 3, in a process group of its own.
func start(binary string) (*process, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	stderr := &outputTail{}
	cmd := exec.Command(binary) // configured by the operator; stop ends its process group
	cmd.Env = environment()
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stdout = stderr
	cmd.Stderr = stderr
	cmd.WaitDelay = exitTimeout // a descendant that keeps stderr open must not block Wait
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	closeErr := theirs.Close()
	if err = errors.Join(err, closeErr); err != nil {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait()
		}
		return nil, errors.Join(fmt.Errorf("starting the worker: %w", err), ours.Close())
	}
	p := &process{cmd: cmd, conn: wire.NewConn(ours), stderr: stderr, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // its result is in ProcessState
	}()
	return p, nil
}

// environment returns the worker's environment: nothing of the edge's own, which holds camera
// passwords, except where the libraries are.
func environment() []string {
	env := []string{"LC_ALL=C"}
	for _, name := range []string{"GRIDPOST_ONNXRUNTIME", "LD_LIBRARY_PATH"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func socketPair() (net.Conn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a socket pair: %w", err)
	}
	near, far := os.NewFile(uintptr(fds[0]), "worker"), os.NewFile(uintptr(fds[1]), "edge") // descriptors
	conn, err := net.FileConn(near)
	if err = errors.Join(err, near.Close()); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("using a socket pair: %w", err), far.Close())
	}
	return conn, far, nil
}

// stop ends the process and its group, and waits for it. If graceful is set, the process has
// exitTimeout to exit by itself. stop may be called again.
func (p *process) stop(graceful bool) {
	_ = p.conn.Close() // the worker ends when its socket does
	if graceful {
		timer := time.NewTimer(exitTimeout)
		defer timer.Stop()
		select {
		case <-p.done:
		case <-timer.C:
		}
	}
	select {
	case <-p.done: // its PID may have been reused
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // an error means that it has exited
		<-p.done
	}
}

// exitCause describes how the process ended. It may be called only after done is closed.
func (p *process) exitCause() string {
	how := "it ended"
	if state := p.cmd.ProcessState; state != nil {
		if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			how = fmt.Sprintf("it was ended by signal %d (%s)", status.Signal(), status.Signal())
			if status.Signal() == syscall.SIGABRT {
				how = "it aborted (signal 6), as native code does on input that it did not expect"
			}
		} else {
			how = fmt.Sprintf("it exited with status %d", state.ExitCode())
		}
	}
	if said := p.stderr.last(); said != "" {
		how += ", saying: " + said
	}
	return how
}

// absolutePaths makes the paths in cfg independent of the working directory.
func absolutePaths(cfg wire.Config) (wire.Config, error) {
	for _, path := range []*string{&cfg.Model, &cfg.Labels} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return cfg, fmt.Errorf("resolving %s: %w", *path, err)
		}
		*path = abs
	}
	return cfg, nil
}

// configure sends cfg and waits for the worker to be ready. The caller enforces
// the deadline by stopping the process.
func (p *process) configure(cfg wire.Config) (wire.Ready, error) {
	cfg, err := absolutePaths(cfg)
	if err != nil {
		return wire.Ready{}, err
	}
	if err := p.conn.Send(cfg); err != nil {
		return wire.Ready{}, err
	}
	msg, err := p.conn.Receive()
	if err != nil {
		return wire.Ready{}, err
	}
	switch m := msg.(type) {
	case wire.Ready:
		return m, nil
	case wire.End:
		return wire.Ready{}, errors.New(sanitise(m.Error))
	}
	return wire.Ready{}, fmt.Errorf("%T instead of Ready: %w", msg, wire.ErrMalformed)
}

// runWithin runs f and kills the process if ctx ends first.
func (p *process) runWithin(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		p.stop(false)
		<-done
		return ctx.Err()
	}
}

// outputTail keeps the last maxTail bytes that a process wrote: a worker's native libraries may write
// without end.
type outputTail struct {
	mu  sync.Mutex
	buf []byte
}

const maxTail = 4 << 10

func (t *outputTail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if len(t.buf) > maxTail {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-maxTail:]...)
	}
	return len(b), nil
}

// last returns the last lines on one line, sanitised; of a Go or C++ program that panicked or
// terminated, the message.
func (t *outputTail) last() string {
	t.mu.Lock()
	text := string(bytes.TrimSpace(t.buf))
	t.mu.Unlock()
	const maxLines = 3
	split := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })
	}
	for _, mark := range []string{"panic: ", "fatal error: ", "terminate called"} {
		if i := strings.Index(text, mark); i >= 0 {
			lines := split(text[i:])
			return sanitise(strings.Join(lines[:min(maxLines, len(lines))], " / "))
		}
	}
	lines := split(text)
	return sanitise(strings.Join(lines[max(0, len(lines)-maxLines):], " / "))
}

// sanitise removes control characters from a text of the worker's and bounds its length.
func sanitise(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, s)
	const maxText = 400 // bytes
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "..."
	}
	return s
}
