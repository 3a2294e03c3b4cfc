package webrtc

import (
	"fmt"
	"net"
	"sync"

	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/stdnet"
)

// currentNet tells which interfaces there are now; a stdnet.Net tells which there were when it was made. A hub may start
// before its network has an address.
type currentNet struct{ stdnet.Net }

// Interfaces implements transport.Net.
func (*currentNet) Interfaces() ([]*transport.Interface, error) {
	n, err := stdnet.NewNet()
	if err != nil {
		return nil, fmt.Errorf("reading the interfaces: %w", err)
	}
	return n.Interfaces()
}

// sessionNet opens the sockets of one session of an Engine without Listen. It is safe for concurrent use.
type sessionNet struct {
	currentNet
	engine   *Engine
	receives bool // much arrives

	mu      sync.Mutex
	sockets []*batchConn // one for each address of the machine, also after they were closed
}

// ListenUDP implements transport.Net.
func (n *sessionNet) ListenUDP(network string, address *net.UDPAddr) (transport.UDPConn, error) {
	c, err := net.ListenUDP(network, address)
	if err != nil {
		return nil, err
	}
	b := newBatchConn(c, n.engine.logger, n.receives)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sockets = append(n.sockets, b)
	return b, nil
}

// flush sends the packets of an SSRC that wait.
func (n *sessionNet) flush(ssrc uint32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.sockets {
		c.flush(ssrc)
	}
}
