package webrtc

import (
	"net"
	"net/netip"
)

// coalesced reads datagrams that the kernel hands over several at a time (UDP_GRO): consecutive ones of one sender that
// have the same size, of which the last one may be shorter. It is not safe for concurrent use.
type coalesced struct {
	buffer []byte
	oob    []byte
	rest   []byte // of buffer: what has not been handed out
	size   int    // of a datagram in rest
	from   netip.AddrPort
}

func newCoalesced() *coalesced {
	return &coalesced{buffer: make([]byte, 1<<16), oob: make([]byte, 64)} // no datagrams together are larger
}

// next reads one datagram.
func (r *coalesced) next(c *net.UDPConn, p []byte) (int, netip.AddrPort, error) {
	if len(r.rest) == 0 {
		n, size, from, err := readSegments(c, r.buffer, r.oob)
		if err != nil {
			return 0, netip.AddrPort{}, err
		}
		if size <= 0 {
			size = n
		}
		r.rest, r.size, r.from = r.buffer[:n], size, from
	}
	datagram := r.rest[:min(r.size, len(r.rest))]
	r.rest = r.rest[len(datagram):]
	return copy(p, datagram), r.from, nil
}
