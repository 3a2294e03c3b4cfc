package compat

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"
)

// TestSourcesOfPackets: which packets of which SSRC belong to a track.
func TestSourcesOfPackets(t *testing.T) {
	repeat := func(s string, n int) string { return string(bytes.Repeat([]byte(s), n)) }
	for name, c := range map[string]struct{ sent, followed string }{
		"one source":                   {"aaaa", "aaaa"},
		"starts again":                 {"aaabbb", "aaabbb"},
		"starts again and again":       {"aabbccdd", "aabbccdd"},
		"two at a time":                {"aaabababab", "aaabaaa"}, // the first b cannot be told from a new start
		"an intruder":                  {"aaabaaabaaabaaa", "aaabaaaaaaaaa"},
		"the intruder remains alone":   {"aba" + repeat("b", adoptAfter+2), "aba" + "bbb"},
		"an intruder, then a new one":  {"abaccc", "abaccc"},
		"the intruder never was alone": {"aba" + repeat("ba", adoptAfter), "aba" + repeat("a", adoptAfter)},
	} {
		t.Run(name, func(t *testing.T) {
			var f rtpFilter
			var followed []byte
			for _, source := range []byte(c.sent) {
				if f.follow(uint32(source)) {
					followed = append(followed, source)
				}
			}
			if string(followed) != c.followed {
				t.Errorf("of %s %s are followed, want %s", c.sent, followed, c.followed)
			}
			if f.shown != 'a' {
				t.Errorf("the library sees %c", f.shown)
			}
		})
	}
}

// FuzzRepairHeader: the library's parser reads every packet after the repair, and one that was sound has the same content.
func FuzzRepairHeader(f *testing.F) {
	header := []byte{0x80, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3}
	f.Add(append([]byte{0xb0}, append(header[1:], 0xbe, 0xde, 0, 1, 1, 2, 3, 4, 0x65, 0, 0, 3)...))
	f.Add(append([]byte{0xa0}, append(header[1:], 0x65, 1, 2, 0)...))
	f.Add(append([]byte{0xa0}, append(header[1:], 0x65, 1, 2, 200)...))
	f.Add(append([]byte{0x90}, append(header[1:], 0xbe, 0xde, 255, 255)...))
	f.Add(append([]byte{0x8f}, header[1:]...))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if len(packet) < rtpHeader {
			return
		}
		packet[0] = packet[0]&0x3f | 0x80
		before := bytes.Clone(packet)
		var was, is rtp.Packet
		sound := was.Unmarshal(bytes.Clone(packet)) == nil
		packet = repairHeader(packet)
		if err := is.Unmarshal(packet); err != nil {
			t.Fatalf("%x became %x: %v", before, packet, err)
		}
		if sound && (was.PaddingSize != 0) == was.Padding && !bytes.Equal(was.Payload, is.Payload) {
			t.Errorf("%x was sound and became %x", before, packet)
		}
	})
}
