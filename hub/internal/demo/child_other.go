//go:build !linux

package demo

import "syscall"

// childAttributes returns the attributes of a child process: its own process group, so that Ctrl-C
// signals only this process, which stops the children in order.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
