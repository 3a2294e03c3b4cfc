package compat

import (
	"testing"
)

// TestChannelsOfTheCamera: the library keeps the channels that it has requested, whatever the camera names.
func TestChannelsOfTheCamera(t *testing.T) {
	type track struct{ requested, answered, told string }
	for name, c := range map[string]struct {
		tracks   []track
		received map[byte]byte // channels of the library, by those of the camera
		sent     map[byte]byte // channels of the camera, by those of the library
	}{
		"as requested": {
			[]track{{"interleaved=0-1", "interleaved=0-1", ";interleaved=0-1"}, {"interleaved=2-3", "interleaved=2-3", ";interleaved=2-3"}},
			map[byte]byte{0: 0, 1: 1, 2: 2, 3: 3},
			map[byte]byte{1: 1, 3: 3},
		},
		"others": {
			[]track{{"interleaved=0-1", "interleaved=8-9", ";interleaved=0-1"}, {"interleaved=2-3", "interleaved=10-11", ";interleaved=2-3"}},
			map[byte]byte{8: 0, 9: 1, 10: 2, 11: 3, 0: 0, 1: 1, 2: 2, 3: 3},
			map[byte]byte{1: 9, 3: 11},
		},
		"exchanged": {
			[]track{{"interleaved=0-1", "interleaved=2-3", ";interleaved=0-1"}, {"interleaved=2-3", "interleaved=0-1", ";interleaved=2-3"}},
			map[byte]byte{2: 0, 3: 1, 0: 2, 1: 3},
			map[byte]byte{1: 3, 3: 1},
		},
		"the same for both": {
			[]track{{"interleaved=0-1", "interleaved=0-1", ";interleaved=0-1"}, {"interleaved=2-3", "interleaved=0-1", ";interleaved=2-3"}},
			map[byte]byte{0: 0, 1: 1, 2: 2, 3: 3},
			map[byte]byte{1: 1, 3: 3},
		},
		"none left": {
			[]track{{"interleaved=0-1", "interleaved=2-3", ";interleaved=0-1"}, {"interleaved=2-3", "", ""}},
			map[byte]byte{2: 0, 3: 1, 0: 0, 1: 1},
			map[byte]byte{1: 3},
		},
		"TCP although UDP was requested": {[]track{{"client_port=6-7", "interleaved=4-5", ";interleaved=4-5"}}, nil, map[byte]byte{1: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			conn := &Conn{channels: map[byte]byte{}, named: map[byte]byte{}}
			for _, tr := range c.tracks {
				if got := conn.interleaved(parseTransport(tr.requested), parseTransport(tr.answered)); got != tr.told {
					t.Errorf("the library is told %q, want %q", got, tr.told)
				}
			}
			if len(conn.channels) != len(c.received) {
				t.Errorf("channels %v, want %v", conn.channels, c.received)
			}
			for from, to := range c.received {
				if got, ok := conn.channels[from]; !ok || got != to {
					t.Errorf("channel %d is %d for the library, want %d", from, got, to)
				}
			}
			for from, to := range c.sent {
				if got := conn.toCamera([]byte{'$', from, 0, 0})[1]; got != to {
					t.Errorf("channel %d of the library is sent as %d, want %d", from, got, to)
				}
			}
		})
	}
}
