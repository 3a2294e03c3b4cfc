package webrtc

import (
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// batchConn is a UDP socket of sessions. It delays RTP packets until flush, so that the packets
// of a frame to one peer leave in one system call if the kernel supports segmentation
// (UDP_SEGMENT), and sends everything else (STUN, DTLS, RTCP) at once. What arrives can come several packets at a
// time, too.
//
// Every writer of RTP in this package must flush its SSRC after its last packet; the packets of one SSRC are written and
// flushed by one goroutine, and leave in order. One goroutine reads.
type batchConn struct {
	*net.UDPConn
	logger  *slog.Logger
	segment atomic.Bool // the kernel segments; cleared permanently when it refuses
	shards  [16]batchShard
	arrived *coalesced // nil: each packet is read by itself
}

type batchShard struct {
	mu      sync.Mutex
	batches []*batch // one of each SSRC at most; there are few between write and flush
}

// Bounds of one batch: the kernel accepts at most 64 segments and one datagram's 65,507 bytes.
const (
	batchPackets = 48
	batchBytes   = 64000
)

// batch holds RTP packets to one address, in order.
type batch struct {
	ssrc  uint32
	to    netip.AddrPort
	bytes []byte
	sizes [batchPackets]int
	n     int
}

const socketBuffer = 4 << 20 // asked for; the kernel's limit may be lower

var batchPool = sync.Pool{New: func() any { return &batch{bytes: make([]byte, 0, batchBytes)} }}

// newBatchConn takes a socket over. coalesce says whether much arrives on it.
func newBatchConn(c *net.UDPConn, logger *slog.Logger, coalesce bool) *batchConn {
	b := &batchConn{UDPConn: c, logger: logger}
	b.segment.Store(canSegment(c))
	if coalesce && canCoalesce(c) {
		b.arrived = newCoalesced()
	}
	return b
}

// enlarge asks for larger buffers. The kernel may limit them; smaller ones mean more loss under load.
func (b *batchConn) enlarge() {
	if err := b.SetReadBuffer(socketBuffer); err != nil {
		b.logger.Debug("setting the read buffer", "error", err)
	}
	if err := b.SetWriteBuffer(socketBuffer); err != nil {
		b.logger.Debug("setting the write buffer", "error", err)
	}
}

// ReadFromAddrPort is what pion calls instead of ReadFrom, to save allocations.
func (b *batchConn) ReadFromAddrPort(p []byte) (int, netip.AddrPort, error) {
	if b.arrived != nil {
		return b.arrived.next(b.UDPConn, p)
	}
	return b.ReadFromUDPAddrPort(p)
}

// ReadFrom exists so that no read passes over packets that have come already.
func (b *batchConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := b.ReadFromAddrPort(p)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteTo exists so that no write bypasses the batches.
func (b *batchConn) WriteTo(p []byte, to net.Addr) (int, error) {
	if u, ok := to.(*net.UDPAddr); ok {
		return b.WriteToAddrPort(p, u.AddrPort())
	}
	return b.UDPConn.WriteTo(p, to)
}

// WriteToAddrPort is what pion calls instead of WriteTo, to save allocations.
func (b *batchConn) WriteToAddrPort(p []byte, to netip.AddrPort) (int, error) {
	if !isRTP(p) || len(p) > batchBytes || !b.segment.Load() {
		return b.WriteToUDPAddrPort(p, to)
	}
	ssrc := binary.BigEndian.Uint32(p[8:])
	s := b.shard(ssrc)
	s.mu.Lock()
	q := s.of(ssrc)
	if q != nil && (q.n == batchPackets || len(q.bytes)+len(p) > batchBytes || q.to != to) {
		s.remove(q)
		s.mu.Unlock()
		b.send(q)
		s.mu.Lock()
		q = nil
	}
	if q == nil {
		q, _ = batchPool.Get().(*batch)
		q.ssrc, q.to = ssrc, to
		s.batches = append(s.batches, q)
	}
	q.sizes[q.n] = len(p)
	q.n++
	q.bytes = append(q.bytes, p...)
	s.mu.Unlock()
	return len(p), nil
}

// flush sends the packets of an SSRC that wait.
func (b *batchConn) flush(ssrc uint32) {
	s := b.shard(ssrc)
	s.mu.Lock()
	q := s.of(ssrc)
	if q != nil {
		s.remove(q)
	}
	s.mu.Unlock()
	if q != nil {
		b.send(q)
	}
}

// of returns the batch of an SSRC, nil if there is none. mu is held.
func (s *batchShard) of(ssrc uint32) *batch {
	for _, q := range s.batches {
		if q.ssrc == ssrc {
			return q
		}
	}
	return nil
}

// remove removes q, which is there. mu is held.
func (s *batchShard) remove(q *batch) {
	i := slices.Index(s.batches, q)
	s.batches = slices.Delete(s.batches, i, i+1)
}

func (b *batchConn) shard(ssrc uint32) *batchShard { return &b.shards[ssrc%uint32(len(b.shards))] }

// send sends and recycles q. It returns no errors: to its writers RTP is sent once it is written, as on
// any network, and the receiver requests again what is missing.
func (b *batchConn) send(q *batch) {
	rest, sizes := q.bytes, q.sizes[:q.n]
	for len(sizes) > 0 {
		count, bytes := equalRun(sizes)
		if count == 1 || !b.sendSegments(rest[:bytes], sizes[0], q.to) {
			b.sendEach(rest[:bytes], sizes[:count], q.to)
		}
		rest, sizes = rest[bytes:], sizes[count:]
	}
	q.n, q.bytes = 0, q.bytes[:0]
	batchPool.Put(q)
}

// equalRun returns how many packets from the first on can be segments of one size (only the last may be
// shorter), and their bytes.
func equalRun(sizes []int) (count, bytes int) {
	for _, size := range sizes {
		if size > sizes[0] {
			break
		}
		count++
		bytes += size
		if size < sizes[0] {
			break
		}
	}
	return count, bytes
}

// sendSegments reports false if the kernel did not segment.
func (b *batchConn) sendSegments(p []byte, size int, to netip.AddrPort) bool {
	err := writeSegments(b.UDPConn, p, size, to)
	if segmentationUnsupported(err) && b.segment.CompareAndSwap(true, false) {
		b.logger.Info("UDP segmentation is not supported, sending packets one by one", "error", err)
	}
	return err == nil
}

func (b *batchConn) sendEach(p []byte, sizes []int, to netip.AddrPort) {
	for _, size := range sizes {
		if _, err := b.WriteToUDPAddrPort(p[:size], to); err != nil {
			return // unreachable; ICE detects whether that lasts
		}
		p = p[size:]
	}
}

// isRTP distinguishes RTP from STUN, DTLS and RTCP by the first bytes (RFC 7983, RFC 5761 section 4).
func isRTP(p []byte) bool {
	return len(p) >= 12 && p[0] >= 128 && p[0] <= 191 && (p[1] < 192 || p[1] > 223)
}
