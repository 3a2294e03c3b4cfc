package uplink

import "golang.org/x/sys/unix"

const (
	notSentBytes  = 16 << 10 // that the kernel takes ahead of what the line carries
	userTimeoutMS = 20_000   // without an acknowledgement, the connection is given up (RFC 5482)
)

// socketOptions keeps the kernel from holding seconds of telemetry in a send buffer, and from
// retrying for many minutes on a connection that is dead.
func socketOptions(fd int, bulk bool) error {
	if bulk {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentBytes); err != nil {
			return err
		}
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, userTimeoutMS)
}
