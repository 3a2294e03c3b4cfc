package confine

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// What the filter returns (seccomp(2)).
const (
	allow = unix.SECCOMP_RET_ALLOW
	kill  = unix.SECCOMP_RET_KILL_PROCESS

	// refuse is for calls that libraries may try: EPERM is an error that they handle.
	refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)

	// unknown pretends that the kernel does not have the call.
	unknown = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// Offsets in struct seccomp_data (linux/seccomp.h). Both architectures are little-endian: the lower
// half of an argument comes first.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

func lowerHalf(arg uint32) bpf.Instruction {
	return bpf.LoadAbsolute{Off: offArgs + 8*arg, Size: 4}
}

func upperHalf(arg uint32) bpf.Instruction {
	return bpf.LoadAbsolute{Off: offArgs + 8*arg + 4, Size: 4}
}

// allowed are the system calls that a running worker needs: reading and writing what is open,
// memory, threads, signals of its own, time. None of them opens anything.
func allowed() []uint32 {
	return append([]uint32{
		// Open descriptors. fcntl is allowed for the flags.
		unix.SYS_READ, unix.SYS_READV, unix.SYS_PREAD64, unix.SYS_WRITE, unix.SYS_WRITEV,
		unix.SYS_LSEEK, unix.SYS_FSTAT, unix.SYS_CLOSE,
		unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_PPOLL,
		// Memory. mmap and mprotect are allowed without PROT_EXEC.
		unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_MADVISE, unix.SYS_BRK, unix.SYS_MINCORE,
		// Threads and scheduling. clone is allowed for threads.
		unix.SYS_FUTEX, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_MEMBARRIER,
		unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETCPU,
		unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
		// Signals. tgkill and kill are allowed for the process itself.
		unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
		unix.SYS_RESTART_SYSCALL,
		// Time and randomness.
		unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES,
		unix.SYS_GETTIMEOFDAY, unix.SYS_GETRANDOM,
		// About the process itself and the machine.
		unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETPPID, unix.SYS_GETUID, unix.SYS_GETEUID,
		unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_GETRUSAGE, unix.SYS_SYSINFO, unix.SYS_UNAME,
	}, allowedHere()...)
}

// hostile are the system calls that no library of a worker tries: they end the process at once. All
// other calls that are not allowed are refused.
func hostile() []uint32 {
	return append([]uint32{
		unix.SYS_EXECVE, unix.SYS_EXECVEAT,
		unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE,
		unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_GETFD, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_KCMP,
		unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_SECCOMP,
		unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
		unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
		unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT,
		unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOVE_MOUNT,
		unix.SYS_OPEN_TREE, unix.SYS_MOUNT_SETATTR, unix.SYS_OPEN_BY_HANDLE_AT,
		unix.SYS_UNSHARE, unix.SYS_SETNS,
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
		unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_REBOOT,
		unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID,
		unix.SYS_SETRESGID, unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_SETGROUPS, unix.SYS_CAPSET,
	}, hostileHere()...)
}

// filter returns the program that decides on each system call of the process pid.
func filter(pid uint32) []bpf.Instruction {
	program := append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: offArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: auditArch, SkipTrue: 1},
		bpf.RetConstant{Val: kill}, // a call of another architecture has other numbers
		bpf.LoadAbsolute{Off: offNumber, Size: 4},
	}, otherABIs()...)
	for _, nr := range allowed() {
		program = append(program, on(nr, bpf.RetConstant{Val: allow})...)
	}
	for _, nr := range hostile() {
		program = append(program, on(nr, bpf.RetConstant{Val: kill})...)
	}
	for _, nr := range []uint32{unix.SYS_MMAP, unix.SYS_MPROTECT} {
		program = append(program, on(nr, // the third argument is the protection
			lowerHalf(2), bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: unix.PROT_EXEC, SkipTrue: 1},
			bpf.RetConstant{Val: allow}, bpf.RetConstant{Val: refuse})...)
	}
	program = append(program, on(unix.SYS_FCNTL, // F_SETOWN and F_SETSIG send any signal to others
		lowerHalf(1),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.F_GETFL, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.F_SETFL, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.F_GETFD, SkipTrue: 1},
		bpf.RetConstant{Val: refuse}, bpf.RetConstant{Val: allow})...)
	for _, nr := range []uint32{unix.SYS_KILL, unix.SYS_TGKILL} {
		program = append(program, on(nr, // abort() and Go's preemption send signals to the own process
			lowerHalf(0), bpf.JumpIf{Cond: bpf.JumpEqual, Val: pid, SkipTrue: 1},
			bpf.RetConstant{Val: kill}, bpf.RetConstant{Val: allow})...)
	}
	// glibc and Go fall back to clone, whose flags can be checked: those of clone3 are in memory.
	program = append(program, on(unix.SYS_CLONE3, bpf.RetConstant{Val: unknown})...)
	program = append(program, on(unix.SYS_CLONE,
		lowerHalf(0), bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: unix.CLONE_THREAD, SkipTrue: 1},
		bpf.RetConstant{Val: kill}, bpf.RetConstant{Val: allow})...)
	program = append(program, on(unix.SYS_PRCTL, // names of threads, and of memory by Go's runtime
		lowerHalf(0),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PR_SET_NAME, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PR_GET_NAME, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PR_SET_VMA, SkipTrue: 1},
		bpf.RetConstant{Val: refuse}, bpf.RetConstant{Val: allow})...)
	program = append(program, on(unix.SYS_PRLIMIT64, // the own limits can be read, not changed
		lowerHalf(0), bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 5},
		lowerHalf(2), bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 3},
		upperHalf(2), bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 1},
		bpf.RetConstant{Val: allow}, bpf.RetConstant{Val: refuse})...)
	return append(program, bpf.RetConstant{Val: refuse})
}

// on returns the instructions that run body, which must return, if the system call is nr.
func on(nr uint32, body ...bpf.Instruction) []bpf.Instruction {
	return append([]bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpEqual, Val: nr, SkipFalse: uint8(len(body))}}, body...)
}

// filterSystemCalls installs the filter on all threads of the process, which must have set
// no_new_privs. It cannot be removed.
func filterSystemCalls() error {
	raw, err := bpf.Assemble(filter(uint32(os.Getpid())))
	if err != nil {
		return fmt.Errorf("assembling the seccomp filter: %w", err)
	}
	program := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		program[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// TSYNC: the other threads of Go's runtime and of libraries exist already.
	tid, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return fmt.Errorf("applying the seccomp filter: %w", errno)
	}
	if tid != 0 {
		return fmt.Errorf("applying the seccomp filter: thread %d has another filter", tid)
	}
	return nil
}
