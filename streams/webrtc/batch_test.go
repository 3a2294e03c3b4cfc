package webrtc

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
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
		b := newBatchConn(from, slog.New(slog.DiscardHandler))
		if !segment {
			b.segment.Store(false)
		}
		at := to.LocalAddr().(*net.UDPAddr).AddrPort()
		sizes := []int{60, 1200, 1200, 1200, 700, 1200, 1200, 300, 300}
		for i, size := range sizes {
			p := bytes.Repeat([]byte{byte(i)}, size)
			p[0], p[1] = 0x80, 96
			if n, err := b.WriteToAddrPort(p, at); n != size || err != nil {
				t.Fatal(n, err)
			}
		}
		if _, err := b.WriteTo(make([]byte, 20), to.LocalAddr()); err != nil { // STUN is not held back
			t.Fatal(err)
		}
		b.flush()
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
	b := newBatchConn(from, slog.New(slog.DiscardHandler))
	p := make([]byte, 1200)
	p[0], p[1] = 0x80, 96
	for range 200 { // over several batches, to an address that cannot be sent to
		if _, err := b.WriteToAddrPort(p, netip.MustParseAddrPort("[2001:db8::1]:9")); err != nil {
			t.Fatal(err)
		}
	}
	b.flush()
	if err := from.Close(); err != nil {
		t.Error(err)
	}
}
