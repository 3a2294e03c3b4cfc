package confine

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attempts are what a worker that somebody has taken over would try. Each returns nil if it was
// successful.
func attempts() map[string]func() error {
	raw := func(nr uintptr, args ...uintptr) func() error {
		return func() error {
			var a [6]uintptr
			copy(a[:], args)
			_, _, errno := unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
			if errno != 0 {
				return errno
			}
			return nil
		}
	}
	path := func(p string) uintptr {
		b := append([]byte(p), 0)
		return uintptr(unsafe.Pointer(&b[0]))
	}
	open := func(path string, flags int) func() error {
		return func() error {
			_, err := unix.Open(path, flags, 0o600)
			return err
		}
	}
	socket := func(family int) func() error {
		return func() error {
			_, err := unix.Socket(family, unix.SOCK_STREAM, 0)
			return err
		}
	}
	parent := os.Getppid()
	memory := make([]byte, os.Getpagesize())
	address := uintptr(unsafe.Pointer(&memory[0]))
	limit := &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	all := map[string]func() error{
		"read a file":                 open("/etc/passwd", unix.O_RDONLY),
		"read the key":                open(os.Getenv("KEY"), unix.O_RDONLY),
		"read the parent's memory":    open(fmt.Sprintf("/proc/%d/mem", parent), unix.O_RDWR),
		"read its own memory":         open("/proc/self/mem", unix.O_RDWR),
		"list a directory":            open("/", unix.O_RDONLY|unix.O_DIRECTORY),
		"write a file":                open(os.Getenv("NEW"), unix.O_WRONLY|unix.O_CREAT),
		"write standard output again": open("/dev/stdout", unix.O_WRONLY),
		"remove a file":               func() error { return unix.Unlink(os.Getenv("KEY")) },
		"change a file's mode":        func() error { return unix.Chmod(os.Getenv("KEY"), 0o666) },
		"look at a file":              func() error { return unix.Stat(os.Getenv("KEY"), new(unix.Stat_t)) },
		"open a TCP socket":           socket(unix.AF_INET),
		"open a UNIX socket":          socket(unix.AF_UNIX),
		"open a netlink socket":       socket(unix.AF_NETLINK),
		"connect":                     func() error { return unix.Connect(0, &unix.SockaddrInet4{Port: 80}) },
		"bind":                        func() error { return unix.Bind(0, &unix.SockaddrInet4{}) },
		"make a socket pair":          func() error { _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err },
		"make a memory file":          func() error { _, err := unix.MemfdCreate("x", 0); return err },
		"map executable memory": func() error {
			_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
			return err
		},
		"make memory executable": func() error { return unix.Mprotect(memory, unix.PROT_READ|unix.PROT_EXEC) },
		"raise a limit":          func() error { return unix.Prlimit(0, unix.RLIMIT_NOFILE, limit, nil) },
		"become dumpable":        func() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) },
		"admit a debugger":       func() error { return unix.Prctl(unix.PR_SET_PTRACER, uintptr(parent), 0, 0, 0) },
		"signal by a descriptor's owner": func() error {
			_, err := unix.FcntlInt(0, unix.F_SETOWN, parent)
			return err
		},
		"make a device request":   func() error { _, err := unix.IoctlGetInt(0, unix.TIOCSTI); return err },
		"clone3":                  raw(unix.SYS_CLONE3, 0, 0),
		"execute a program":       raw(unix.SYS_EXECVE, path("/bin/true"), 0, 0),
		"execute a descriptor":    raw(unix.SYS_EXECVEAT, 0, path(""), 0, 0, unix.AT_EMPTY_PATH),
		"fork":                    raw(unix.SYS_CLONE, uintptr(unix.SIGCHLD)),
		"signal the parent":       raw(unix.SYS_KILL, uintptr(parent), 0),
		"signal a thread":         raw(unix.SYS_TGKILL, uintptr(parent), uintptr(parent), 0),
		"signal its group":        raw(unix.SYS_KILL, 0, 0),
		"signal by descriptor":    raw(unix.SYS_PIDFD_OPEN, uintptr(parent), 0),
		"trace the parent":        raw(unix.SYS_PTRACE, unix.PTRACE_ATTACH, uintptr(parent)),
		"copy the parent's bytes": raw(unix.SYS_PROCESS_VM_READV, uintptr(parent), address, 0, address, 0, 0),
		"set up io_uring":         raw(unix.SYS_IO_URING_SETUP, 1, address),
		"load a BPF program":      raw(unix.SYS_BPF, 0, address, 0),
		"count events":            raw(unix.SYS_PERF_EVENT_OPEN, address, 0, 0),
		"handle page faults":      raw(unix.SYS_USERFAULTFD, 0),
		"read a key ring":         raw(unix.SYS_KEYCTL, 0, 0),
		"mount":                   raw(unix.SYS_MOUNT, path("x"), path("/"), path("tmpfs"), 0, 0),
		"change a namespace":      raw(unix.SYS_UNSHARE, unix.CLONE_NEWUSER),
		"become root":             raw(unix.SYS_SETRESUID, 0, 0, 0),
		"install another filter":  raw(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, 0),
	}
	if runtime.GOARCH == "amd64" {
		all["use the x32 ABI"] = raw(0x40000000 | 39) // getpid
	}
	return all
}

// killedBySIGSYS are the attempts that end the process; all others are refused with an error.
var killedBySIGSYS = []string{
	"execute a program", "execute a descriptor", "fork", "signal the parent", "signal a thread", "signal its group",
	"signal by descriptor", "trace the parent", "copy the parent's bytes", "set up io_uring", "load a BPF program",
	"count events", "handle page faults", "read a key ring", "mount", "change a namespace", "become root",
	"install another filter", "use the x32 ABI",
}
