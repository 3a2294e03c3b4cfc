package webrtc

import (
	"fmt"
	"net"
	"sync"

	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/stdnet"
)

// sockets are those of an Engine without Listen: each session has its own. It is safe for concurrent use.
type sockets struct {
	mu   sync.RWMutex
	open map[*batchConn]struct{}
}

func (s *sockets) add(c *batchConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[*batchConn]struct{})
	}
	s.open[c] = struct{}{}
}

func (s *sockets) remove(c *batchConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

func (s *sockets) flush(ssrc uint32) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for c := range s.open {
		c.flush(ssrc)
	}
}

// sessionNet opens the sockets of a session.
type sessionNet struct {
	*stdnet.Net
	engine   *Engine
	receives bool // much arrives
}

// ListenUDP implements transport.Net.
func (n sessionNet) ListenUDP(network string, address *net.UDPAddr) (transport.UDPConn, error) {
	c, err := net.ListenUDP(network, address)
	if err != nil {
		return nil, err
	}
	b := newBatchConn(c, n.engine.logger, n.receives)
	b.closed = func() { n.engine.sockets.remove(b) }
	n.engine.sockets.add(b)
	return b, nil
}

// currentNet tells which interfaces there are now; a stdnet.Net tells which there were when it was made. A hub may start
// before its network has an address.
type currentNet struct{ *stdnet.Net }

// Interfaces implements transport.Net.
func (currentNet) Interfaces() ([]*transport.Interface, error) {
	n, err := stdnet.NewNet()
	if err != nil {
		return nil, fmt.Errorf("reading the interfaces: %w", err)
	}
	return n.Interfaces()
}
