package rtsp

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtp"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

func newH264(t testing.TB) *assembler {
	t.Helper()
	a, err := newAssembler(&format.H264{PayloadTyp: 96, PacketizationMode: 1, SPS: fakeSet(fakeSPS), PPS: fakeSet(fakePPS)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func packet(number uint16, timestamp uint32, last bool, payload ...byte) *rtp.Packet {
	return &rtp.Packet{Header: rtp.Header{SequenceNumber: number, Timestamp: timestamp, Marker: last}, Payload: payload}
}

// TestFramesWithoutEndMark: the access unit has the timestamp of its own packets, not of the packet that showed its end.
func TestFramesWithoutEndMark(t *testing.T) {
	a := newH264(t)
	now := time.Unix(1e9, 0)
	var aus []*streams.AccessUnit
	for n := range uint32(6) {
		for part := range uint32(2) {
			head := byte(0x41)
			if n == 0 {
				head = 0x65
			}
			u, err := a.push(packet(uint16(2*n+part), n*9000, false, head, byte(n)), now)
			if err != nil {
				t.Fatal(err)
			}
			if u != nil {
				aus = append(aus, u)
			}
		}
	}
	if len(aus) != 5 {
		t.Fatalf("%d access units, want 5", len(aus))
	}
	for n, u := range aus {
		last := u.NALUs[len(u.NALUs)-1]
		if u.PTS != time.Duration(n)*100*time.Millisecond || last[1] != byte(n) || u.Keyframe != (n == 0) {
			t.Errorf("access unit %d is at %v: %x", n, u.PTS, u.NALUs)
		}
	}
}

// TestKeyframeAfterALoss: a loss right before a keyframe does not cost the keyframe.
func TestKeyframeAfterALoss(t *testing.T) {
	now := time.Unix(1e9, 0)
	for _, test := range []struct {
		name string
		seen bool // that the packet after the gap is the frame's first
		want int
	}{{"begins with a parameter set", true, 1}, {"may lack its beginning", false, 0}} {
		a := newH264(t)
		push := func(p *rtp.Packet) (aus int) {
			u, err := a.push(p, now)
			if err != nil {
				t.Fatal(err)
			}
			if u != nil {
				aus++
			}
			return aus
		}
		if push(packet(1, 0, true, 0x65, 1)) != 1 || push(packet(2, 3600, true, 0x41, 1)) != 1 {
			t.Fatal("the first frames are not an access unit")
		}
		got := 0
		if test.seen {
			got += push(packet(9, 7200, false, fakeSet(fakeSPS)...))
		} else {
			got += push(packet(9, 7200, false, 0x65, 1))
		}
		got += push(packet(10, 7200, true, 0x65, 2))
		if got != test.want {
			t.Errorf("%s: %d access units, want %d", test.name, got, test.want)
		}
		if push(packet(11, 10800, true, 0x65, 1)) != 1 {
			t.Errorf("%s: the next keyframe is no access unit", test.name)
		}
	}
}

func TestH265(t *testing.T) {
	vps := fakeSet("40010c01ffff016000000300900000030000030078959809")
	sps := fakeSet("420101016000000300900000030000030078a003c08010e596566924caf0168080000003008000000c84")
	pps := fakeSet("4401c172b46240")
	a, err := newAssembler(&format.H265{PayloadTyp: 96, VPS: vps, SPS: sps, PPS: pps}, 3)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1e9, 0)
	if u, err := a.push(packet(1, 0, true, 1<<1, 1, 9), now); u != nil || err != nil {
		t.Errorf("a frame before the first keyframe gave %v, %v", u, err)
	}
	u, err := a.push(packet(2, 3600, true, 19<<1, 1, 9), now)
	if err != nil || u == nil || !u.Keyframe || u.Codec != streams.H265 || u.Session != 3 || len(u.NALUs) != 4 {
		t.Fatalf("access unit %+v, %v", u, err)
	}
	if !bytes.Equal(u.NALUs[0], vps) || !bytes.Equal(u.NALUs[1], sps) || !bytes.Equal(u.NALUs[2], pps) {
		t.Errorf("the keyframe begins with %x", u.NALUs[:3])
	}
}

// TestEndlessFrame: a camera that never ends a frame costs bounded memory.
func TestEndlessFrame(t *testing.T) {
	a := newH264(t)
	failed := 0
	for n := range 5 * maxPackets {
		payload := []byte{28, 5} // the middle of a fragmented NALU, empty
		if n == 0 {
			payload = []byte{28, 0x85}
		}
		u, err := a.push(packet(uint16(n), 0, false, payload...), time.Unix(1e9, 0))
		if u != nil {
			t.Fatal("it is a access unit")
		}
		if err != nil {
			failed++
		}
	}
	if failed == 0 || a.pending > maxPackets {
		t.Errorf("%d errors, %d packets pending", failed, a.pending)
	}
}

func TestClockStandsStill(t *testing.T) {
	var c clock
	now := time.Unix(1e9, 0)
	last := time.Duration(0)
	for range 100 {
		last = c.presentationTime(5, now)
		now = now.Add(40 * time.Millisecond)
	}
	if last < 3*time.Second || last > 4*time.Second || c.timestampJumps == 0 {
		t.Errorf("after 4 s the time is %v, %d jumps", last, c.timestampJumps)
	}
}

func FuzzAssembler(f *testing.F) {
	seed := func(packets ...*rtp.Packet) []byte {
		var b []byte
		for _, p := range packets {
			head := []byte{byte(p.SequenceNumber), 0, byte(len(p.Payload))}
			if p.Marker {
				head[1] = 1
			}
			b = append(binary.BigEndian.AppendUint32(append(b, head...), p.Timestamp), p.Payload...)
		}
		return b
	}
	f.Add(false, seed(packet(1, 0, true, 0x65, 1), packet(2, 3600, false, 28, 0x81, 1), packet(3, 3600, true, 28, 0x41, 2)))
	f.Add(false, seed(packet(1, 0, true, 24, 0, 2, 0x67, 1, 0, 2, 0x65, 1), packet(9, 90000*20, true, 0x41)))
	f.Add(true, seed(packet(1, 0, true, 49<<1, 1, 0x80|19, 1), packet(2, 1, true, 48<<1, 1, 0, 3, 1<<1, 1, 1)))
	f.Fuzz(func(t *testing.T, h265 bool, data []byte) {
		var forma format.Format = &format.H264{PacketizationMode: 1, SPS: fakeSet(fakeSPS), PPS: fakeSet(fakePPS)}
		if h265 {
			forma = &format.H265{VPS: []byte{64, 1, 0x10, 0}, SPS: fakeSet("420101016000000300900000030000030078a003c080"), PPS: fakeSet("4401c172b46240")}
		}
		a, err := newAssembler(forma, 1)
		if err != nil {
			t.Fatal(err)
		}
		now, latest, first := time.Unix(1e9, 0), time.Duration(0), true
		for len(data) >= 7 {
			n := min(int(data[2]), len(data)-7)
			p := packet(uint16(data[0]), binary.BigEndian.Uint32(data[3:]), data[1]&1 == 1, data[7:7+n]...)
			data = data[7+n:]
			now = now.Add(40 * time.Millisecond)
			u, err := a.push(p, now)
			if u == nil || err != nil {
				continue
			}
			if !h26x.ContainsFrame(u.Codec, u.NALUs) || first && !u.Keyframe || u.PTS < 0 || u.PTS < latest-maxReorder {
				t.Errorf("access unit %+v after %v", u, latest)
			}
			first, latest = false, max(latest, u.PTS)
		}
	})
}

// BenchmarkAssemble measures the way from packets to a access unit, for a frame of 20 kB (25 a second are 4 Mbit/s).
func BenchmarkAssemble(b *testing.B) {
	a := newH264(b)
	const parts = 15
	payload := make([]byte, 1400)
	now := time.Unix(1e9, 0)
	number, timestamp := uint16(0), uint32(0)
	b.ReportAllocs()
	b.SetBytes(parts * int64(len(payload)))
	for b.Loop() {
		for i := range parts {
			payload[0], payload[1] = 0x7c, 5
			switch i {
			case 0:
				payload[1] |= 0x80
			case parts - 1:
				payload[1] |= 0x40
			}
			number++
			if _, err := a.push(packet(number, timestamp, i == parts-1, payload...), now); err != nil {
				b.Fatal(err)
			}
		}
		timestamp += 3600
	}
}
