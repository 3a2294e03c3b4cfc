package webrtc

import (
	"net"
	"testing"
	"time"
)

// TestCurrentInterfaces: a hub that started before its network was there offers the addresses that came later.
func TestCurrentInterfaces(t *testing.T) {
	n := &currentNet{} // made when there was no interface
	got, err := n.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	want, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) || len(got) == 0 {
		t.Errorf("%d interfaces, want %d", len(got), len(want))
	}
}

// TestSessionFlush: what a session's sender has written waits until the session is flushed, on whichever of its sockets.
func TestSessionFlush(t *testing.T) {
	e, err := NewEngine(EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	to, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = to.Close() }()
	n := &sessionNet{engine: e}
	for range 2 {
		c, err := n.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
	}
	p, got := make([]byte, 100), make([]byte, 1500)
	p[0], p[1] = 0x80, 96
	for i, c := range n.sockets {
		if _, err := c.WriteTo(p, to.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		n.flush(0)
		if err := to.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if size, _, err := to.ReadFrom(got); err != nil || size != len(p) {
			t.Errorf("socket %d: %d bytes, %v", i, size, err)
		}
	}
}
