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

// grace is how long a worker may take to end by itself once its socket is closed.
const grace = 2 * time.Second

// process is a running worker.
type process struct {
	cmd   *exec.Cmd
	conn  *wire.Conn
	words *tail
	done  chan struct{} // closed after the process has been waited for
}

// start runs binary with one end of a socket pair as file 3, in a process group of its own.
func start(binary string) (*process, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	words := &tail{}
	cmd := exec.Command(binary) // the operator names the program; stop ends it, group and all
	cmd.Env = environment()
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stdout = words
	cmd.Stderr = words
	cmd.WaitDelay = grace // a descendant that keeps stderr open must not keep us
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
	p := &process{cmd: cmd, conn: wire.NewConn(ours), words: words, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // what it says is in ProcessState
	}()
	return p, nil
}

// environment is all that a worker sees of ours: no passwords of cameras.
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

// stop ends the process and its group, and waits for it. With kind set it may end by itself
// first. It may be called again.
func (p *process) stop(kind bool) {
	_ = p.conn.Close() // the worker ends when its socket does
	if kind {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-p.done:
		case <-timer.C:
		}
	}
	select {
	case <-p.done: // and its number may be another's by now
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // no error matters: it is gone or it goes
		<-p.done
	}
}

// fate says in words how the process ended. It may be called after done only.
func (p *process) fate() string {
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
	if said := p.words.last(); said != "" {
		how += ", saying: " + said
	}
	return how
}

// absolute makes the paths in cfg independent of the directory that a process runs in.
func absolute(cfg wire.Config) (wire.Config, error) {
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

// configure sends cfg and waits for the worker to be ready. The deadline is the caller's: it
// stops the process.
func (p *process) configure(cfg wire.Config) (wire.Ready, error) {
	cfg, err := absolute(cfg)
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
		return wire.Ready{}, errors.New(printable(m.Error))
	}
	return wire.Ready{}, fmt.Errorf("%T instead of Ready: %w", msg, wire.ErrMalformed)
}

// within runs f and stops the process hard when ctx ends before f has.
func (p *process) within(ctx context.Context, f func() error) error {
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

// tail keeps the last words that a process wrote. A worker's native libraries may write
// without end, so only so much is kept.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if len(t.buf) > tailSize {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-tailSize:]...)
	}
	return len(b), nil
}

// last returns what was written last, on one line and printable; of a Go or C++ program that
// died in words, the words.
func (t *tail) last() string {
	t.mu.Lock()
	text := string(bytes.TrimSpace(t.buf))
	t.mu.Unlock()
	const most = 3 // lines
	split := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })
	}
	for _, mark := range []string{"panic: ", "fatal error: ", "terminate called"} {
		if i := strings.Index(text, mark); i >= 0 {
			lines := split(text[i:])
			return printable(strings.Join(lines[:min(most, len(lines))], " / "))
		}
	}
	lines := split(text)
	return printable(strings.Join(lines[max(0, len(lines)-most):], " / "))
}

// printable makes a text of the worker's fit for a log and a screen.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, s)
	const most = 400
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
