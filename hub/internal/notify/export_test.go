package notify

import (
	"context"
	"net"
)

// WithDial returns o with a network of its own.
func (o Options) WithDial(dial func(ctx context.Context, network, address string) (net.Conn, error)) Options {
	o.dial = dial
	return o
}
