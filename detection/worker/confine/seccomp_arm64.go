package confine

import (
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const auditArch = unix.AUDIT_ARCH_AARCH64

func otherABIs() []bpf.Instruction { return nil }

// The kernel's generic table of system calls, which arm64 uses, has no old variants of them.
func allowedHere() []uint32 { return nil }
func hostileHere() []uint32 { return nil }
