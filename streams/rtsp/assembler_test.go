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
			t.Fatal("it is an access unit")
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
	c := clock{rate: videoClockRate}
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

// TestMarkerAtEachSlice: frames of several slices are whole from the second keyframe on, where a camera sets the marker
// bit at the end of each slice.
func TestMarkerAtEachSlice(t *testing.T) {
	for _, eachSlice := range []bool{false, true} {
		a := newH264(t)
		now := time.Unix(1e9, 0)
		var whole, pieces int
		number := uint16(0)
		for n := range uint32(50) {
			head := byte(0x41)
			if n%10 == 0 {
				head = 0x65
			}
			for slice, first := range []byte{0x88, 0x4a, 0x2b} { // first_mb_in_slice: 0, and two others
				number++
				u, err := a.push(packet(number, n*3600, eachSlice || slice == 2, head, first, byte(n)), now)
				if err != nil {
					t.Fatal(err)
				}
				if u == nil {
					continue
				}
				slices := 0
				for _, nalu := range u.NALUs {
					if nalu[0] == 0x41 || nalu[0] == 0x65 {
						slices++
					}
				}
				if slices == 3 {
					whole++
				} else {
					pieces++
				}
			}
			now = now.Add(frameTime)
		}
		want := 50
		if eachSlice {
			want = 39 // from the second keyframe on, less the last frame, whose end is not known
		}
		if whole != want || pieces > 1 {
			t.Errorf("marker at each slice: %v: %d whole frames and %d pieces, want %d and at most 1", eachSlice, whole, pieces, want)
		}
	}
}

// TestClockOfAnotherRate: a clock in milliseconds, or one that runs too fast, is given up after some windows; one that is
// right is not, whatever the network does.
func TestClockOfAnotherRate(t *testing.T) {
	for name, c := range map[string]struct {
		tick  uint32                    // per frame of 40 ms
		late  func(n int) time.Duration // by which frame n arrives
		local bool
	}{
		"right":           {tick: 3600},
		"a little slow":   {tick: 3000},
		"in milliseconds": {tick: 40, local: true},
		"too fast":        {tick: 48000, local: true},
		"bursts":          {tick: 3600, late: func(n int) time.Duration { return time.Duration(25-n%25) * 40 * time.Millisecond }},
		"an outage, and then all at once": {tick: 3600, late: func(n int) time.Duration {
			return max(0, time.Duration(1000-n%1500)*40*time.Millisecond-time.Duration(n%1500)*time.Millisecond)
		}},
	} {
		clock := clock{rate: videoClockRate}
		start, last := time.Unix(1e9, 0), time.Time{}
		var first, pts time.Duration
		const frames = 3000
		for n := range frames {
			at := start.Add(time.Duration(n) * 40 * time.Millisecond)
			if c.late != nil {
				at = at.Add(c.late(n))
			}
			if at.Before(last) {
				at = last // frames arrive in order
			}
			last = at
			pts = clock.presentationTime(uint32(n)*c.tick, at)
			if n == frames/2 {
				first = pts
			}
		}
		if clock.local != c.local {
			t.Errorf("%s: local time is used: %v, want %v", name, clock.local, c.local)
		}
		if run := pts - first; c.local && (run < 59*time.Second || run > 61*time.Second) {
			t.Errorf("%s: in a minute the time runs %v", name, run)
		}
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
	const h264, h265, mjpeg, h265Ordered = 0, 1, 2, 3
	f.Add(byte(h264), seed(packet(1, 0, true, 0x65, 1), packet(2, 3600, false, 28, 0x81, 1), packet(3, 3600, true, 28, 0x41, 2)))
	f.Add(byte(h264), seed(packet(1, 0, true, 24, 0, 2, 0x67, 1, 0, 2, 0x65, 1), packet(9, 90000*20, true, 0x41)))
	f.Add(byte(h265), seed(packet(1, 0, true, 49<<1, 1, 0x80|19, 1), packet(2, 1, true, 48<<1, 1, 0, 3, 1<<1, 1, 1)))
	f.Add(byte(h265), seed(packet(1, 0, true, 21<<1, 1, 9), packet(2, 1, true, 9<<1, 1, 9)))
	f.Add(byte(h265Ordered), seed(packet(1, 0, true, 49<<1, 1, 0xc0|19, 0, 9, 1), packet(2, 1, true, 48<<1, 1, 0, 7, 0, 3, 1<<1, 1, 1, 0), packet(3, 2, false, 1<<1, 1, 0)))
	f.Add(byte(mjpeg), seed(packet(1, 0, false, 0, 0, 0, 0, 1, 50, 40, 30, 1, 2), packet(2, 0, true, 0, 0, 0, 2, 1, 50, 40, 30, 1, 2)))
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		var forma format.Format = &format.H264{PacketizationMode: 1, SPS: fakeSet(fakeSPS), PPS: fakeSet(fakePPS)}
		switch kind {
		case h265, h265Ordered:
			forma = &format.H265{MaxDONDiff: int(kind) - h265, VPS: []byte{64, 1, 0x10, 0}, SPS: fakeSet("420101016000000300900000030000030078a003c080"), PPS: fakeSet("4401c172b46240")}
		case mjpeg:
			forma = &format.MJPEG{}
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
			content := len(u.Data) > 0 || h26x.ContainsFrame(u.Codec, u.NALUs)
			if !content || u.DTS > u.PTS || first && !u.Keyframe || u.PTS < 0 || u.PTS < latest-maxReorder {
				t.Errorf("access unit %+v after %v", u, latest)
			}
			first, latest = false, max(latest, u.PTS)
		}
	})
}

// BenchmarkAssemble measures the way from packets to an access unit, for a frame of 20 kB (25 a second are 4 Mbit/s).
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
