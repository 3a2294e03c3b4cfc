package confine

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Access rights by the ABI version that introduced them
// (https://docs.kernel.org/userspace-api/landlock.html, "Previous limitations").
const (
	filesABI1 = 1<<13 - 1 // from LANDLOCK_ACCESS_FS_EXECUTE to LANDLOCK_ACCESS_FS_MAKE_SYM
	abiRefer  = 2
	abiTrunc  = 3
	abiTCP    = 4
	abiIoctl  = 5
	abiScope  = 6
	abiTSync  = 8

	// newestABI is the newest version of which this table knows the rights.
	newestABI = 8
)

// rulesetFor returns the ruleset that handles every access right of an ABI version, and so denies
// all of them, because no rule is added to it.
func rulesetFor(abi int) unix.LandlockRulesetAttr {
	attr := unix.LandlockRulesetAttr{Handled_access_fs: filesABI1}
	if abi >= abiRefer {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= abiTrunc {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= abiTCP {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if abi >= abiIoctl {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= abiScope {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	return attr
}

// restrictFiles applies Landlock and returns the version of the kernel's ABI; 0 if the kernel does
// not have Landlock or does not use it. The process must have set no_new_privs.
func restrictFiles() (int, error) {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch {
	case errors.Is(errno, unix.ENOSYS), errors.Is(errno, unix.EOPNOTSUPP), errors.Is(errno, unix.EPERM):
		return 0, nil // not built in, not enabled at boot, or forbidden by the seccomp filter of a container
	case errno != 0:
		return 0, fmt.Errorf("asking for the version of Landlock: %w", errno)
	}
	abi := int(version)
	attr := rulesetFor(min(abi, newestABI))
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return 0, fmt.Errorf("creating a Landlock ruleset: %w", errno)
	}
	var flags uintptr
	if abi >= abiTSync {
		flags = unix.LANDLOCK_RESTRICT_SELF_TSYNC
	}
	_, _, errno = unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, flags, 0)
	closeErr := unix.Close(int(fd))
	if errno != 0 {
		return 0, fmt.Errorf("applying Landlock: %w", errno)
	}
	return abi, wrap("closing the Landlock ruleset", closeErr)
}
