package webrtc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

const chromiumFormats = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96 103 107 109 115 116 120 200 x\r\n" +
	"a=rtpmap:96 VP8/90000\r\n" +
	"a=rtpmap:103 H264/90000\r\na=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f\r\n" +
	"a=rtpmap:107 H264/90000\r\na=fmtp:107 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=640028\r\n" +
	"a=rtpmap:109 H264/90000\r\na=fmtp:109 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n" +
	"a=rtpmap:115 H264/90000\r\na=fmtp:115 level-asymmetry-allowed=1; packetization-mode=1; profile-level-id=4d001f\r\n" +
	"a=rtpmap:116 h264/90000\r\na=fmtp:116 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=F4001F\r\n"

func TestChoose(t *testing.T) {
	usable, err := readOffer(chromiumFormats)
	formats := usable.video
	if err != nil || len(formats) != 4 {
		t.Fatalf("%d formats, %v", len(formats), err)
	}
	for _, x := range []struct {
		source string
		want   uint8
	}{
		{"42001e", 103}, // Baseline
		{"42e01f", 109}, // Constrained Baseline
		{"42c01f", 103}, // another way to say it: the profile alone decides
		{"4d0028", 115}, // Main
		{"4d4028", 115}, // Main with constraints
		{"640028", 115}, // High: Main is the nearest that was offered
		{"f40028", 116}, // High 4:4:4
		{"", 103},       // unknown
		{"7a0028", 115}, // High 4:2:2, which nobody offers
	} {
		c, err := choose(codec{name: streams.H264, fmtp: "packetization-mode=1;profile-level-id=" + x.source}, formats)
		if err != nil || c.payloadType != x.want {
			t.Errorf("source %s: payload type %d, %v; want %d", x.source, c.payloadType, err, x.want)
		}
	}
	high := append(slices.Clone(formats), codec{name: streams.H264, fmtp: "packetization-mode=1;profile-level-id=64001f", payloadType: 121})
	if c, err := choose(codec{name: streams.H264, fmtp: "profile-level-id=640028"}, high); err != nil || c.payloadType != 121 {
		t.Errorf("High is offered, but %d is chosen, %v", c.payloadType, err)
	}
	if _, err := choose(codec{name: streams.H265}, formats); !errors.Is(err, ErrCodec) {
		t.Errorf("H.265 for who has only H.264: %v", err)
	}
}

func TestOfferedRefuses(t *testing.T) {
	for _, x := range []struct {
		offer string
		want  error
	}{
		{"", ErrOffer},
		{"hello", ErrOffer},
		{"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n", ErrOffer},
		{strings.ReplaceAll(strings.ReplaceAll(chromiumFormats, "H264", "VP9"), "h264", "VP9"), ErrCodec},
	} {
		if err := CheckOffer(x.offer); !errors.Is(err, x.want) {
			t.Errorf("%q: %v, want %v", x.offer, err, x.want)
		}
	}
}

func FuzzOffered(f *testing.F) {
	f.Add(chromiumFormats)
	f.Add("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 RTP/AVP 98\r\na=rtpmap:98 H265/90000\r\n")
	f.Fuzz(func(t *testing.T, offer string) {
		if text, err := directed(offer, directionReceive); err == nil {
			if again, err := directed(text, directionReceive); err != nil || again != text {
				t.Errorf("%q, %v; want %q", again, err, text)
			}
		}
		usable, err := readOffer(offer)
		formats := usable.video
		if (err == nil) != (len(formats) > 0) {
			t.Errorf("%d formats, %v", len(formats), err)
		}
		for _, c := range formats {
			if _, err := choose(c, formats); err != nil {
				t.Error(err)
			}
		}
	})
}

func FuzzFragment(f *testing.F) {
	f.Add("a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		if g, err := parseFragment(text); len(g.candidates) > maxCandidates || (g.ufrag == "") != (g.password == "") {
			t.Error(g, err)
		}
		iceLines(withCredentials(text, "a", "b"))
	})
}

// join puts payloads together again as a depacketiser does.
func join(codec streams.Codec, payloads [][]byte) (nalus [][]byte) {
	for _, p := range payloads {
		header := h26x.HeaderSize(codec)
		switch t := h26x.TypeOf(codec, p); {
		case codec == streams.H264 && t == h26x.RTPH264STAPA, codec == streams.H265 && t == h26x.RTPH265AP:
			for rest := p[header:]; len(rest) > 0; {
				n := int(binary.BigEndian.Uint16(rest))
				nalus = append(nalus, rest[2:2+n])
				rest = rest[2+n:]
			}
		case codec == streams.H264 && t == h26x.RTPH264FUA, codec == streams.H265 && t == h26x.RTPH265FU:
			mark := p[header]
			if mark&0x80 != 0 {
				first := []byte{p[0]&0xe0 | mark&0x1f}
				if codec == streams.H265 {
					first = []byte{p[0]&0x81 | mark&0x3f<<1, p[1]}
				}
				nalus = append(nalus, first)
			}
			nalus[len(nalus)-1] = append(nalus[len(nalus)-1], p[header+1:]...)
		default:
			nalus = append(nalus, p)
		}
	}
	return nalus
}

func TestPacketize(t *testing.T) {
	large := func(first ...byte) []byte { return append(first, bytes.Repeat([]byte{0xab, 0xcd, 0xef}, 1300)...) }
	for _, x := range []struct {
		name    string
		codec   streams.Codec
		nalus   [][]byte
		dropped int // NALUs that are not sent
		key     bool
	}{
		{"H.264 key", streams.H264, [][]byte{{9, 0xf0}, {0x67, 100, 0, 40}, {0x68, 1}, large(0x65)}, 1, true},
		{"H.264 slices", streams.H264, [][]byte{large(0x41), large(0x41), {0x41, 1, 2}}, 0, false},
		{"H.264 small", streams.H264, [][]byte{{0x41, 1, 2}}, 0, false},
		{"H.264 exact", streams.H264, [][]byte{append([]byte{0x41}, make([]byte, payloadSize-1)...)}, 0, false},
		{"H.264 empty NALUs", streams.H264, [][]byte{{}, {0x41}, {0x41, 5}}, 2, false},
		{"H.265 key", streams.H265, [][]byte{{0x46, 1, 0x50}, {0x40, 1, 9}, {0x42, 1, 9}, {0x44, 1, 9}, large(0x26, 1)}, 1, true},
		{"H.265", streams.H265, [][]byte{large(0x02, 1)}, 0, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			payloads := packetize(&streams.AccessUnit{Codec: x.codec, NALUs: x.nalus})
			for i, p := range payloads {
				if len(p) > payloadSize {
					t.Errorf("payload %d has %d bytes", i, len(p))
				}
			}
			got := join(x.codec, payloads)
			if want := x.nalus[x.dropped:]; !slices.EqualFunc(got, want, bytes.Equal) {
				t.Errorf("%d NALUs come back, want %d", len(got), len(want))
			}
			if h26x.StartsKeyframe(x.codec, payloads[0]) != x.key {
				t.Error("keyframe:", !x.key)
			}
		})
	}
}

func TestReorder(t *testing.T) {
	now := time.Now()
	var r reorder
	var got []uint32
	var lost uint64
	drain := func() {
		for {
			a, n, ok := r.pop(now)
			if !ok {
				return
			}
			lost += n
			got = append(got, a.timestamp)
		}
	}
	push := func(sequences ...uint16) {
		for _, s := range sequences {
			r.push(s, rtpPacket{timestamp: uint32(s)}, now)
			drain()
		}
	}
	push(65533, 65534, 1, 65535, 0, 1, 65533) // around the wrap, out of order, doubled
	if want := []uint32{65533, 65534, 65535, 0, 1}; !slices.Equal(got, want) {
		t.Fatalf("got %d, want %d", got, want)
	}
	push(4, 6)
	if m := r.missing(now); !slices.Equal(m, []uint16{2, 3, 5}) {
		t.Errorf("missing %d", m)
	}
	if m := r.missing(now); m != nil {
		t.Errorf("asked again at once for %d", m)
	}
	now = now.Add(nackEvery)
	push(2)
	if m := r.missing(now); !slices.Equal(m, []uint16{3, 5}) {
		t.Errorf("missing %d", m)
	}
	now = now.Add(giveUpAfter)
	push(7)
	now = now.Add(giveUpAfter)
	drain()
	if want := []uint32{65533, 65534, 65535, 0, 1, 2, 4, 6, 7}; !slices.Equal(got, want) || lost != 2 {
		t.Fatalf("got %d, lost %d; want %d", got, lost, want)
	}
	push(20_000) // a jump
	if got[len(got)-1] != 20_000 || lost != 2+20_000-8 {
		t.Errorf("after a jump got %d, lost %d", got, lost)
	}
}

// TestGapsAreGivenUpTogether: each gap waits from when it was seen, and not from when the one before was
// given up; else a burst of losses would hold back the stream for seconds.
func TestGapsAreGivenUpTogether(t *testing.T) {
	now := time.Now()
	var r reorder
	for s := uint16(0); s < 100; s += 2 { // every other one is lost
		r.push(s, rtpPacket{}, now)
		now = now.Add(time.Millisecond)
	}
	now = now.Add(giveUpAfter)
	got, lost := 0, uint64(0)
	for {
		_, n, ok := r.pop(now)
		if !ok {
			break
		}
		got++
		lost += n
	}
	if got != 50 || lost != 49 {
		t.Errorf("%d packets, %d lost; want 50 and 49", got, lost)
	}
}

func FuzzReorder(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 0, 4, 0, 3, 255, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		var r reorder
		now := time.Now()
		last := uint64(0)
		for ; len(data) >= 2; data = data[2:] {
			now = now.Add(20 * time.Millisecond)
			r.push(binary.BigEndian.Uint16(data), rtpPacket{}, now)
			for {
				if _, _, ok := r.pop(now); !ok {
					break
				}
				if r.next <= last {
					t.Fatal("order runs backwards")
				}
				last = r.next
			}
			r.missing(now)
			if r.waiting < 0 || r.waiting > reorderSlots {
				t.Fatal(r.waiting, "packets wait")
			}
		}
	})
}
