package webrtc

import (
	"hash/maphash"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// batchConn is the UDP socket of all sessions. It delays RTP packets until flush, so that the packets
// of a frame to one peer leave in one system call if the kernel supports segmentation
// (UDP_SEGMENT), and sends everything else (STUN, DTLS, RTCP) at once.
//
// Every writer of RTP in this package must flush after its last packet.
type batchConn struct {
	*net.UDPConn
	logger  *slog.Logger
	segment atomic.Bool // the kernel segments; cleared permanently when it refuses
	seed    maphash.Seed
	shards  [16]batchShard
	pool    sync.Pool // of *batch
}

type batchShard struct {
	mu      sync.Mutex
	batches map[netip.AddrPort]*batch
	dirty   atomic.Int32 // len(batches), readable without mu
}

// Bounds of one batch: the kernel accepts at most 64 segments and one datagram's 65,507 bytes.
const (
	batchPackets = 48
	batchBytes   = 64000
)

// batch holds RTP packets to one address, in order.
type batch struct {
	to    netip.AddrPort
	bytes []byte
	sizes [batchPackets]int
	n     int
}

const socketBuffer = 4 << 20 // asked for; the kernel's limit may be lower

func newBatchConn(c *net.UDPConn, logger *slog.Logger) *batchConn {
	b := &batchConn{UDPConn: c, logger: logger, seed: maphash.MakeSeed()}
	b.pool.New = func() any { return &batch{bytes: make([]byte, 0, batchBytes)} }
	for i := range b.shards {
		b.shards[i].batches = make(map[netip.AddrPort]*batch)
	}
	// The kernel may limit the size; a smaller buffer means more loss under load.
	if err := c.SetReadBuffer(socketBuffer); err != nil {
		logger.Debug("setting the read buffer", "error", err)
	}
	if err := c.SetWriteBuffer(socketBuffer); err != nil {
		logger.Debug("setting the write buffer", "error", err)
	}
	b.segment.Store(canSegment(c))
	return b
}

// ReadFromAddrPort is what pion calls instead of ReadFrom, to save allocations.
func (b *batchConn) ReadFromAddrPort(p []byte) (int, netip.AddrPort, error) {
	return b.ReadFromUDPAddrPort(p)
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
	s := b.shard(to)
	s.mu.Lock()
	q := s.batches[to]
	if q != nil && (q.n == batchPackets || len(q.bytes)+len(p) > batchBytes) {
		delete(s.batches, to)
		s.mu.Unlock()
		b.send(q)
		s.mu.Lock()
		q = s.batches[to]
	}
	if q == nil {
		q, _ = b.pool.Get().(*batch)
		q.to = to
		s.batches[to] = q
	}
	q.sizes[q.n] = len(p)
	q.n++
	q.bytes = append(q.bytes, p...)
	s.dirty.Store(int32(len(s.batches)))
	s.mu.Unlock()
	return len(p), nil
}

// flush sends all batches: that of another writer which is half full only costs one more system
// call.
func (b *batchConn) flush() {
	for i := range b.shards {
		s := &b.shards[i]
		for s.dirty.Load() > 0 {
			s.mu.Lock()
			var q *batch
			for to, any := range s.batches {
				q = any
				delete(s.batches, to)
				break
			}
			s.dirty.Store(int32(len(s.batches)))
			s.mu.Unlock()
			if q == nil {
				break
			}
			b.send(q)
		}
	}
}

func (b *batchConn) shard(to netip.AddrPort) *batchShard {
	return &b.shards[maphash.Comparable(b.seed, to)%uint64(len(b.shards))]
}

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
	b.pool.Put(q)
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
