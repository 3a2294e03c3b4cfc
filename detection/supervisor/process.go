package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gridpost/detection/wire"
)

// exitTimeout is how long a worker may take to exit after its socket was closed.
const exitTimeout = 2 * time.Second

// workerNice is the nice value of camera workers (setpriority(2)).
const workerNice = 5

// process is a running worker.
type process struct {
	cmd    *exec.Cmd
	conn   *wire.Conn
	stderr *outputTail
	killed bool          // by stop
	done   chan struct{} // closed after the process has been waited for
}

// start runs binary with one end of a socket pair as descriptor 3 and slots as those from 4 on, in a
// process group of its own.
func start(binary string, slots []*os.File, args ...string) (*process, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	if len(slots) > 0 {
		args = append([]string{"-slots", strconv.Itoa(len(slots))}, args...)
	}
	stderr := &outputTail{}
	cmd := exec.Command(binary, args...) // configured by the operator; stop ends its process group
	cmd.Env = environment()
	cmd.ExtraFiles = append([]*os.File{theirs}, slots...)
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
		return nil, errors.Join(err, ours.Close())
	}
	if !slices.Contains(args, inferArgument) {
		// The edge itself and the object model, which serve all cameras, go before the decoding of one. It is
		// no failure if the system does not allow it.
		_ = unix.Setpriority(unix.PRIO_PGRP, cmd.Process.Pid, workerNice)
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
	// OpenCV would load any OpenCL library that it finds.
	env := []string{"LC_ALL=C", "OPENCV_OPENCL_RUNTIME=disabled"}
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
		p.killed = true
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // an error means that it has exited
		<-p.done
	}
}

// absolutePaths makes the paths in cfg independent of the working directory.
func absolutePaths(cfg wire.Config) (wire.Config, error) {
	for _, path := range []*string{&cfg.Model, &cfg.Labels, &cfg.Video} {
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
		return wire.Ready{}, gaveUpError(sanitise(m.Error))
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
