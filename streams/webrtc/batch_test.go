package webrtc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	for _, x := range []struct {
		sizes        []int
		count, bytes int
	}{
		{[]int{100}, 1, 100},
		{[]int{100, 100, 100}, 3, 300},
		{[]int{100, 100, 50, 100}, 3, 250},
		{[]int{20, 100, 100}, 1, 20},
	} {
		if count, bytes := equalRun(x.sizes); count != x.count || bytes != x.bytes {
			t.Errorf("%d: %d packets of %d bytes, want %d of %d", x.sizes, count, bytes, x.count, x.bytes)
		}
	}
}

// TestBatch sends what a frame looks like, with segmenting and without, and gets every packet.
func TestBatch(t *testing.T) {
	for _, segment := range []bool{true, false} {
		to, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		from, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		b := newBatchConn(from, slog.New(slog.DiscardHandler), false)
		if !segment {
			b.segment.Store(false)
		}
		at := to.LocalAddr().(*net.UDPAddr).AddrPort()
		sizes := []int{60, 1200, 1200, 1200, 700, 1200, 1200, 300, 300}
		for i, size := range sizes {
			p := bytes.Repeat([]byte{byte(i)}, size)
			p[0], p[1] = 0x80, 96
			clear(p[8:12]) // the SSRC
			if n, err := b.WriteToAddrPort(p, at); n != size || err != nil {
				t.Fatal(n, err)
			}
		}
		if _, err := b.WriteTo(make([]byte, 20), to.LocalAddr()); err != nil { // STUN is not held back
			t.Fatal(err)
		}
		b.flush(0)
		if err := to.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		var got []int
		buffer := make([]byte, 2000)
		for range len(sizes) + 1 {
			n, _, err := to.ReadFrom(buffer)
			if err != nil {
				t.Fatal(err)
			}
			if n > 20 && int(buffer[n-1]) != len(got) {
				t.Errorf("packet %d comes as number %d", buffer[n-1], len(got))
			}
			if n > 20 {
				got = append(got, n)
			}
		}
		if !slices.Equal(got, sizes) {
			t.Errorf("segmenting %t: got %d, want %d", segment, got, sizes)
		}
		if err := errors.Join(to.Close(), from.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestBatchToNowhere(t *testing.T) {
	from, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	b := newBatchConn(from, slog.New(slog.DiscardHandler), false)
	p := make([]byte, 1200)
	p[0], p[1] = 0x80, 96
	for range 200 { // over several batches, to an address that cannot be sent to
		if _, err := b.WriteToAddrPort(p, netip.MustParseAddrPort("[2001:db8::1]:9")); err != nil {
			t.Fatal(err)
		}
	}
	b.flush(0)
	if err := from.Close(); err != nil {
		t.Error(err)
	}
}

// TestCoalesced sends random packets in random batches from two sockets, and reads each with its sender and in order,
// whether the kernel puts them together or not.
func TestCoalesced(t *testing.T) {
	for _, coalesce := range []bool{true, false} {
		t.Run(fmt.Sprint(coalesce), func(t *testing.T) {
			listen := func(coalesce bool) *batchConn {
				c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
				if err != nil {
					t.Fatal(err)
				}
				b := newBatchConn(c, slog.New(slog.DiscardHandler), coalesce)
				t.Cleanup(func() {
					if err := b.Close(); err != nil {
						t.Error(err)
					}
				})
				return b
			}
			to, from := listen(coalesce), [2]*batchConn{listen(false), listen(false)}
			at := to.LocalAddr().(*net.UDPAddr).AddrPort()
			if err := to.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, 2))
			together := 0
			for range 300 {
				var want [2][][]byte
				for i, c := range from {
					size := 12 + r.IntN(1200)
					for range 1 + r.IntN(20) {
						if r.IntN(4) == 0 {
							size = 12 + r.IntN(1200)
						}
						p := make([]byte, size)
						for j := range p {
							p[j] = byte(r.Uint32())
						}
						p[0], p[1] = 0x80, 96
						clear(p[8:12]) // the SSRC
						want[i] = append(want[i], p)
						if _, err := c.WriteToAddrPort(p, at); err != nil {
							t.Fatal(err)
						}
						if r.IntN(8) == 0 {
							c.flush(0)
						}
					}
					c.flush(0)
				}
				buffer := make([]byte, 1500)
				for len(want[0])+len(want[1]) > 0 {
					n, addr, err := to.ReadFrom(buffer)
					if err != nil {
						t.Fatal(err)
					}
					i := 0
					if addr.String() != from[0].LocalAddr().String() {
						i = 1
					}
					if len(want[i]) == 0 || !bytes.Equal(buffer[:n], want[i][0]) {
						t.Fatalf("%d bytes of sender %d are not those of its next packet", n, i)
					}
					want[i] = want[i][1:]
					if to.arrived != nil && len(to.arrived.rest) > 0 {
						together++
					}
				}
			}
			if coalesce && to.arrived != nil && together == 0 {
				t.Error("nothing was put together")
			}
		})
	}
}

// TestBatchesKeepTheirOrder: many senders write to one socket at a time, and each peer gets its packets in order.
func TestBatchesKeepTheirOrder(t *testing.T) {
	const senders, frames, packets = 6, 60, 20
	listen := func() *net.UDPConn {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
		return c
	}
	b := newBatchConn(listen(), slog.New(slog.DiscardHandler), false)
	var running sync.WaitGroup
	for ssrc := range uint32(senders) {
		to := listen()
		if err := to.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			p, got := make([]byte, 1000), make([]byte, 1500)
			p[0], p[1] = 0x80, 96
			binary.BigEndian.PutUint32(p[8:], ssrc*16) // all in one shard
			for frame := range uint32(frames) {
				for n := range uint32(packets) {
					binary.BigEndian.PutUint32(p[12:], frame*packets+n)
					if _, err := b.WriteToAddrPort(p, to.LocalAddr().(*net.UDPAddr).AddrPort()); err != nil {
						t.Error(err)
					}
					if n%7 == 0 {
						runtime.Gosched()
					}
				}
				b.flush(ssrc * 16)
				for n := range uint32(packets) { // before the next frame, so that no buffer runs over
					if _, _, err := to.ReadFrom(got); err != nil {
						t.Error(err)
						return
					}
					if number := binary.BigEndian.Uint32(got[12:]); number != frame*packets+n {
						t.Errorf("sender %d: packet %d came as number %d", ssrc, number, frame*packets+n)
						return
					}
				}
			}
		})
	}
	running.Wait()
	for i := range b.shards {
		if n := len(b.shards[i].batches); n > 0 {
			t.Errorf("%d batches are left", n)
		}
	}
}
