// Package confine takes from a worker process what it does not need: other files, the network, other
// programs and processes, memory, and the rights of the user who started the edge.
//
// A worker parses the bytes of a camera in native code. Whoever takes over such a process must not be
// able to read the edge's key, to connect to anything, or to reach another process; the worker's
// socket is all that is left. The steps in order, with what has to happen between them:
//
//	CloseInherited   first of all
//	Limit            before models and libraries are loaded
//	                 open every file and load every library that is needed later
//	ChangeUser       if the edge runs as root
//	Apply            before the model file or the first byte of a camera is parsed
//
// The package works on Linux on amd64 and arm64. It must not import other packages of Gridpost.
package confine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Applied describes what Apply put in force.
type Applied struct {
	// Landlock is the version of Landlock's ABI in the running kernel; 0 without Landlock.
	Landlock int
}

// String describes a for the log.
func (a Applied) String() string {
	if a.Landlock == 0 {
		return "seccomp (this kernel has no Landlock)"
	}
	return fmt.Sprintf("seccomp and Landlock ABI %d", a.Landlock)
}

// Apply forbids the process, for the rest of its life, to gain privileges (PR_SET_NO_NEW_PRIVS),
// every access to files by name and the network by Landlock, and every system call that a running
// worker does not need by seccomp. Open descriptors can still be used.
//
// The caller must have locked its goroutine to the thread on which native code runs: below ABI 8
// Landlock restricts only that thread and the threads that it starts. Seccomp restricts all threads,
// and forbids the same things, so that a kernel without Landlock is no error.
func Apply() (Applied, error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return Applied{}, fmt.Errorf("setting no_new_privs: %w", err)
	}
	abi, err := restrictFiles()
	if err != nil {
		return Applied{}, err
	}
	if err := filterSystemCalls(); err != nil {
		return Applied{}, err
	}
	return Applied{Landlock: abi}, nil
}

// CloseInherited closes all descriptors from first on.
func CloseInherited(first int) error {
	err := unix.CloseRange(uint(first), ^uint(0)>>32, 0)
	if !errors.Is(err, unix.ENOSYS) { // Linux before 5.9
		return wrap("closing inherited descriptors", err)
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("closing inherited descriptors: %w", err)
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= first {
			_ = unix.Close(fd) // the descriptor of the listing itself is closed already
		}
	}
	return nil
}

// Limits bound what a process can use.
type Limits struct {
	// Memory bounds the private writable memory in bytes (RLIMIT_DATA).
	Memory uint64

	// Files bounds the descriptors; 0: 32. A worker has about ten; loading libraries needs a few more.
	Files uint64

	// Threads bounds the threads of the process's user (RLIMIT_NPROC). It is for users of which only
	// workers run; 0: no bound.
	Threads uint64
}

const (
	// addressSpace bounds the address space in bytes, mostly libraries and the reservations of Go's
	// runtime, and with it shared anonymous memory, which RLIMIT_DATA does not count.
	addressSpace = 8 << 30

	defaultFiles = 32

	// oomScore makes the kernel end a worker before the edge when the machine runs out of memory
	// (proc_pid_oom_score_adj(5), -1000..1000).
	oomScore = 800
)

// Limit sets hard limits for the rest of the process's life and raises its oom_score_adj.
func Limit(l Limits) error {
	if l.Files == 0 {
		l.Files = defaultFiles
	}
	limits := []struct {
		name     string
		resource int
		value    uint64
	}{
		{"core dumps", unix.RLIMIT_CORE, 0},
		{"address space", unix.RLIMIT_AS, addressSpace},
		{"memory", unix.RLIMIT_DATA, l.Memory},
		{"descriptors", unix.RLIMIT_NOFILE, l.Files},
	}
	if l.Threads > 0 {
		limits = append(limits, struct {
			name     string
			resource int
			value    uint64
		}{"threads", unix.RLIMIT_NPROC, l.Threads})
	}
	for _, r := range limits {
		if err := unix.Setrlimit(r.resource, &unix.Rlimit{Cur: r.value, Max: r.value}); err != nil {
			return fmt.Errorf("limiting %s: %w", r.name, err)
		}
	}
	return raiseOOMScore()
}

// raiseOOMScore is in Limit and not left to the edge, because the process must not run without it.
func raiseOOMScore() error {
	const path = "/proc/self/oom_score_adj"
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading oom_score_adj: %w", err)
	}
	if now, err := strconv.Atoi(string(bytes.TrimSpace(text))); err == nil && now >= oomScore {
		return nil // lowering it needs a privilege
	}
	if err := os.WriteFile(path, strconv.AppendInt(nil, oomScore, 10), 0); err != nil {
		return fmt.Errorf("raising oom_score_adj: %w", err)
	}
	return nil
}

// ChangeUser gives up root for the user and group given, on all threads, and verifies that there is
// no way back. Capabilities are lost with it (capabilities(7), "Effect of user ID changes").
func ChangeUser(uid, gid int) error {
	if uid <= 0 || gid <= 0 {
		return fmt.Errorf("changing to user %d, group %d: not an unprivileged user", uid, gid)
	}
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("giving up supplementary groups: %w", err)
	}
	if err := syscall.Setresgid(gid, gid, gid); err != nil {
		return fmt.Errorf("changing to group %d: %w", gid, err)
	}
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return fmt.Errorf("changing to user %d: %w", uid, err)
	}
	if err := syscall.Setresuid(-1, 0, -1); err == nil {
		return fmt.Errorf("changing to user %d: root can be regained", uid)
	}
	return nil
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
