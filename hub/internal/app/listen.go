package app

import (
	"context"
	"net"
	"syscall"
	"time"
)

// listen binds a TCP port whose connections notice a dead peer within half a minute, whether
// they are idle (keepalive) or have data on their way (user timeout): an edge behind a dead
// line must not be shown as connected.
func listen(ctx context.Context, address string) (net.Listener, error) {
	c := net.ListenConfig{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control: func(_, _ string, raw syscall.RawConn) error {
			var failed error
			if err := raw.Control(func(fd uintptr) { failed = userTimeout(int(fd), 30*time.Second) }); err != nil {
				return err
			}
			return failed
		},
	}
	return c.Listen(ctx, "tcp", address)
}
