package webrtc

import (
	"net"
	"testing"

	"github.com/pion/transport/v5/stdnet"
)

// TestCurrentInterfaces: a hub that started before its network was there offers the addresses that came later.
func TestCurrentInterfaces(t *testing.T) {
	before := &stdnet.Net{} // as it was read when there was no interface
	got, err := currentNet{before}.Interfaces()
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

// TestSocketsAreForgotten: an Engine without Listen keeps no socket of a session that has ended.
func TestSocketsAreForgotten(t *testing.T) {
	e, err := NewEngine(EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	network, err := stdnet.NewNet()
	if err != nil {
		t.Fatal(err)
	}
	for _, receives := range []bool{true, false} {
		c, err := sessionNet{Net: network, engine: e, receives: receives}.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(e.sockets.open); n != 1 {
			t.Errorf("%d sockets are open", n)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if n := len(e.sockets.open); n != 0 {
			t.Errorf("%d sockets are open after Close", n)
		}
	}
}
