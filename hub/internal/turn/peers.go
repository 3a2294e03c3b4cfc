package turn

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// peers are the addresses of the hub's media port: as viewers know them, and as this machine reaches them.
type peers struct {
	port   uint16
	media  netip.Addr                // where the port is bound; may be unspecified
	local  map[netip.Addr]netip.Addr // known address -> the one to send to
	public map[netip.Addr]netip.Addr // the reverse
	first  map[bool]netip.Addr       // a known address of IPv4 (false) and of IPv6 (true)
}

// peersOf returns the peers of a media port. Where public addresses are given, viewers know the port by the first one of
// each family alone: packets to it must not leave through a NAT and come back, so they go to the bound address.
func peersOf(media netip.AddrPort, public []netip.Addr) (peers, error) {
	p := peers{
		port: media.Port(), media: media.Addr().Unmap(),
		local: map[netip.Addr]netip.Addr{}, public: map[netip.Addr]netip.Addr{}, first: map[bool]netip.Addr{},
	}
	for _, a := range public {
		a = a.Unmap()
		if _, taken := p.first[a.Is6()]; taken {
			continue
		}
		to := p.media
		if to.IsUnspecified() {
			if to = netip.MustParseAddr("127.0.0.1"); a.Is6() {
				to = netip.IPv6Loopback()
			}
		}
		p.add(a, to)
	}
	switch {
	case len(public) > 0:
	case !p.media.IsUnspecified():
		p.add(p.media, p.media)
	default:
		all, err := net.InterfaceAddrs()
		if err != nil {
			return peers{}, fmt.Errorf("reading this machine's addresses: %w", err)
		}
		for _, a := range all {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok && !ip.Unmap().IsLinkLocalUnicast() {
					p.add(ip.Unmap(), ip.Unmap())
				}
			}
		}
	}
	if len(p.local) == 0 {
		return peers{}, errors.New("the media port has no address")
	}
	return p, nil
}

func (p *peers) add(known, local netip.Addr) {
	p.local[known], p.public[local] = local, known
	if first, ok := p.first[known.Is6()]; !ok || first.IsLoopback() {
		p.first[known.Is6()] = known
	}
}

func (p *peers) known(a netip.Addr) bool {
	_, ok := p.local[a]
	return ok
}

// relayAddress returns the address that the sockets of allocations are bound to, and the one that clients are told.
func (p *peers) relayAddress(v6 bool) (bind, told netip.Addr, ok bool) {
	told, ok = p.first[v6]
	switch {
	case !ok:
		return bind, told, false
	case !p.media.IsUnspecified() && p.media.Is6() == v6:
		return p.media, told, true
	case v6:
		return netip.IPv6Unspecified(), told, true
	}
	return netip.IPv4Unspecified(), told, true
}

// peerConn is the socket of an allocation. It sends to the hub's media port and receives from it alone: permissions of
// TURN are for all ports of an address (RFC 8656, section 9).
type peerConn struct {
	net.PacketConn
	server *Server
	closed atomic.Bool
}

// WriteTo drops and counts packets to anybody else.
func (c *peerConn) WriteTo(b []byte, to net.Addr) (int, error) {
	p := &c.server.peers
	udp, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, errors.New("not a UDP address")
	}
	at := udp.AddrPort()
	local, ok := p.local[at.Addr().Unmap()]
	if !ok || at.Port() != p.port {
		c.server.refused.Add(1)
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, p.port)))
}

// ReadFrom skips packets from anybody else.
func (c *peerConn) ReadFrom(b []byte) (int, net.Addr, error) {
	p := &c.server.peers
	for {
		n, from, err := c.PacketConn.ReadFrom(b)
		if err != nil {
			return n, from, err
		}
		udp, ok := from.(*net.UDPAddr)
		if !ok {
			continue
		}
		at := udp.AddrPort()
		if known, ok := p.public[at.Addr().Unmap()]; ok && at.Port() == p.port {
			return n, net.UDPAddrFromAddrPort(netip.AddrPortFrom(known, p.port)), nil
		}
		c.server.refused.Add(1)
	}
}

func (c *peerConn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.server.allocations.Add(-1)
	}
	return c.PacketConn.Close()
}

// silentFor is how long a TCP connection may send nothing. A client that uses its allocation sends a connectivity check
// every few seconds.
const silentFor = time.Minute

// listener bounds the TCP connections, and how long they are silent.
type listener struct {
	net.Listener
	free chan struct{} // one entry for each connection
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.free <- struct{}{}:
			return &timedConn{Conn: c, free: l.free}, nil
		default:
			_ = c.Close() // it is refused either way
		}
	}
}

type timedConn struct {
	net.Conn
	free   chan struct{}
	closed atomic.Bool
}

func (c *timedConn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(silentFor)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c *timedConn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		<-c.free
	}
	return c.Conn.Close()
}
