package webrtc

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// Requests about a resource carry credentials, which another server must not get.
func TestResourcesAreOfTheEndpointsOrigin(t *testing.T) {
	const base = "https://hub.example:8443/whip/gate-7/yard"
	for location, want := range map[string]string{
		"/whip/1": "https://hub.example:8443/whip/1", "1": "https://hub.example:8443/whip/gate-7/1", "https://hub.example:8443/x": "https://hub.example:8443/x",
		"": "", "https://hub.example/1": "", "http://hub.example:8443/1": "", "//other.example/1": "", "https://hub.example:8443.other.example/1": "", "%": "",
	} {
		if got, err := resolve(base, location); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", location, got, err)
		}
	}
	for base, location := range map[string]string{
		"https://hub.example/whip": "https://Hub.example:443/1", "https://hub.example:443/whip": "https://hub.example/1", "http://hub.example/whip": "http://hub.example:80/1",
	} {
		if got, err := resolve(base, location); got == "" || err != nil {
			t.Errorf("%q from %q: %v", location, base, err)
		}
	}
}

// A connection that the peer closes between a read and a write was closed, not lost.
func TestWritesFailOnceTheConnectionIsClosed(t *testing.T) {
	r := &receiver{writeRTCP: func([]rtcp.Packet) error { return io.ErrClosedPipe }}
	if err := r.requestKeyframe(time.Now()); !errors.Is(err, ErrClosedByPeer) || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
}
