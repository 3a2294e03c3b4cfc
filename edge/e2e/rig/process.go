package rig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const stopGrace = 15 * time.Second

// Process is a running program. Its output is appended to a file.
type Process struct {
	Log string // path

	cmd   *exec.Cmd
	begin int64 // size of Log at the start
	ended chan struct{}
	err   error // result of Wait; valid after ended is closed
}

// Start starts a program, in a process group of its own. Its output is added to log.
func Start(log, program string, args ...string) (*Process, error) {
	return StartWith(log, nil, program, args...)
}

// StartWith is Start with additional environment variables, each as KEY=value.
func StartWith(log string, env []string, program string, args ...string) (*Process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	defer func() { _ = out.Close() }() // the process has its own descriptor
	before, err := out.Stat()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	p := &Process{Log: log, cmd: exec.Command(program, args...), begin: before.Size(), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if len(env) > 0 {
		p.cmd.Env = append(os.Environ(), env...)
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// PID returns the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Signal sends a signal to the process.
func (p *Process) Signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("signalling %s: %w", filepath.Base(p.cmd.Path), err)
	}
	return nil
}

// Stop sends SIGTERM to the process and waits until it ends; after stopGrace it kills the process. It
// returns an error if the process failed, now or before the call. Stop may be called again. It is no
// failure if the signal ended the process before its program installed a handler or wrote anything.
func (p *Process) Stop() error {
	select {
	case <-p.ended:
	default:
		if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	t := time.AfterFunc(stopGrace, func() { _ = p.cmd.Process.Kill() })
	<-p.ended
	t.Stop()
	if p.err != nil && !p.hadNotBegun() {
		return fmt.Errorf("%s ended with: %w; its output ends with:\n%s", filepath.Base(p.cmd.Path), p.err, p.Tail())
	}
	return nil
}

// hadNotBegun reports whether SIGTERM ended the process before its program wrote anything. To be called
// after the process has ended.
func (p *Process) hadNotBegun() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		return false
	}
	out, err := os.Stat(p.Log)
	return err == nil && out.Size() == p.begin
}

// Kill ends the process at once, as a power cut does, and waits.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// Tail returns the end of the process's output, for error messages.
func (p *Process) Tail() string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-3000):])
}

// Children returns the numbers of the processes whose parent is pid and whose program is
// called name.
func Children(pid int, name string) ([]int, error) {
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var found []int
	for _, path := range all {
		s, err := readStat(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		if s.parent == pid && s.name == name && s.state != "Z" {
			found = append(found, s.pid)
		}
	}
	return found, nil
}

// stat is a part of /proc/PID/stat (proc(5)).
type stat struct {
	pid, parent int
	name, state string
	cpu         time.Duration // user and system
}

// clockTick is the unit of CPU times in /proc: USER_HZ is 100 on every Linux architecture that Go
// supports.
const clockTick = 10 * time.Millisecond

func readStat(path string) (s stat, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return s, fmt.Errorf("reading a process's state: %w", err)
	}
	// The name is in brackets and may contain any character.
	head, rest, ok := cutLast(string(text), ") ")
	pid, name, ok2 := strings.Cut(head, " (")
	f := strings.Fields(rest)
	if !ok || !ok2 || len(f) < 13 {
		return s, fmt.Errorf("reading %s: not understood", path)
	}
	s.name, s.state = name, f[0]
	var user, system int
	for _, n := range []struct {
		text string
		to   *int
	}{{pid, &s.pid}, {f[1], &s.parent}, {f[11], &user}, {f[12], &system}} {
		if *n.to, err = strconv.Atoi(n.text); err != nil {
			return s, fmt.Errorf("reading %s: %w", path, err)
		}
	}
	s.cpu = time.Duration(user+system) * clockTick
	return s, nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// CPU returns the processor time that a process has used.
func CPU(pid int) (time.Duration, error) {
	s, err := readStat(fmt.Sprintf("/proc/%d/stat", pid))
	return s.cpu, err
}

// Resident returns the bytes of memory that a process has in use.
func Resident(pid int) (int64, error) { return memory(pid, "VmRSS:") }

// PeakResident returns the most bytes of memory that a process has had in use since it started.
func PeakResident(pid int) (int64, error) { return memory(pid, "VmHWM:") }

// memory reads one line of /proc/PID/status (proc(5)).
func memory(pid int, key string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("reading a process's memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == key {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("reading a process's memory: %w", err)
			}
			return kb << 10, nil
		}
	}
	return 0, fmt.Errorf("reading a process's memory: no %s", key)
}
