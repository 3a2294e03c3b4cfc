package confine

import (
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const auditArch = unix.AUDIT_ARCH_X86_64

// otherABIs ends the process on a call of the x32 ABI, which has other numbers for the same calls.
func otherABIs() []bpf.Instruction {
	const x32 = 0x40000000
	return []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: x32, SkipTrue: 1},
		bpf.RetConstant{Val: kill},
	}
}

func allowedHere() []uint32 { return []uint32{unix.SYS_POLL, unix.SYS_EPOLL_WAIT, unix.SYS_TIME} }

func hostileHere() []uint32 {
	return []uint32{unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_IOPL, unix.SYS_IOPERM}
}
