package demo

import "syscall"

// childAttributes returns the attributes of a child process: its own process group, so that Ctrl-C
// signals only this process, which stops the children in order; and a SIGTERM from the kernel when
// this process dies.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
