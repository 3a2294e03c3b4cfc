package rtsp

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtp"

	"gridpost/streams/h26x"
)

const (
	fakeVPS265 = "40010c01ffff016000000300900000030000030078959809"
	fakeSPS265 = "420101016000000300900000030000030078a003c08010e596566924caf0168080000003008000000c84"
	fakePPS265 = "4401c172b46240"
)

// TestPacketsOfOtherCameras: each camera's packets give the frames {keyframe, frame}, whose slices end with 1 and 2.
func TestPacketsOfOtherCameras(t *testing.T) {
	sps, pps := fakeSet(fakeSPS), fakeSet(fakePPS)
	vps265, sps265, pps265 := fakeSet(fakeVPS265), fakeSet(fakeSPS265), fakeSet(fakePPS265)
	sets265 := &format.H265{VPS: vps265, SPS: sps265, PPS: pps265}
	none := &format.H264{PacketizationMode: 1}
	joined := func(startCode string, nalus ...[]byte) []byte {
		var b []byte
		for _, n := range nalus {
			b = append(append(b, startCode...), n...)
		}
		return b
	}
	stap := func(nalus ...[]byte) []byte {
		b := []byte{24}
		for _, n := range nalus {
			b = append(append(b, 0, byte(len(n))), n...)
		}
		return b
	}
	key, frame := []byte{0x65, 0x88, 1}, []byte{0x41, 0x9a, 2}
	key265, frame265 := []byte{19 << 1, 1, 0xaf, 1}, []byte{1 << 1, 1, 0xd0, 2}
	for name, c := range map[string]struct {
		format  format.Format
		packets []*rtp.Packet
	}{
		"parameter sets and slice as one NALU": {none, []*rtp.Packet{
			packet(1, 0, true, joined("\x00\x00\x01", sps, pps, key)[3:]...), packet(2, 3600, true, frame...),
		}},
		"the same in fragments": {none, []*rtp.Packet{
			packet(1, 0, false, append([]byte{0x7c, 0x80 | 7}, sps[1:]...)...),
			packet(2, 0, true, append([]byte{0x7c, 0x40 | 7}, joined("\x00\x00\x01", pps, key)...)...), packet(3, 3600, true, frame...),
		}},
		"a start code before each NALU": {none, []*rtp.Packet{
			packet(1, 0, false, joined("\x00\x00\x01", sps)...), packet(2, 0, false, joined("\x00\x00\x01", pps)...),
			packet(3, 0, true, joined("\x00\x00\x01", key)...), packet(4, 3600, true, joined("\x00\x00\x01", frame)...),
		}},
		"an aggregation with a byte too many": {none, []*rtp.Packet{
			packet(1, 0, false, append(stap(sps, pps), 0)...), packet(2, 0, true, key...), packet(3, 3600, true, frame...),
		}},
		"an aggregation with an empty NALU": {none, []*rtp.Packet{
			packet(1, 0, true, stap(sps, nil, pps, key)...), packet(2, 3600, true, frame...),
		}},
		"an aggregation, then fragments": {none, []*rtp.Packet{
			packet(1, 0, false, stap([]byte{9, 0xf0}, sps, pps)...), packet(2, 0, false, 0x7c, 0x80|5, 0x88), packet(3, 0, true, 0x7c, 0x40|5, 1),
			packet(4, 3600, true, frame...),
		}},
		"delimiters as frames of their own": {none, []*rtp.Packet{
			packet(1, 0, true, 9, 0xf0), packet(2, 0, true, stap(sps, pps)...), packet(3, 0, true, key...), packet(4, 3600, true, 9, 0xf0), packet(5, 3600, true, frame...),
		}},
		"timestamps that wrap": {none, []*rtp.Packet{
			packet(0xffff, 0xfffff9f0, true, stap(sps, pps, key)...), packet(0, 0x800, true, frame...),
		}},
		"H.265: parameter sets and slice as one NALU": {&format.H265{}, []*rtp.Packet{
			packet(1, 0, true, joined("\x00\x00\x00\x01", vps265, sps265, pps265, key265)...), packet(2, 3600, true, frame265...),
		}},
		"H.265: a fragment that is a whole NALU": {sets265, []*rtp.Packet{
			packet(1, 0, true, 49<<1, 1, 0xc0|19, 0xaf, 1), packet(2, 3600, true, 49<<1, 1, 0xc0|1, 0xd0, 2),
		}},
		"H.265: no marker bits": {sets265, []*rtp.Packet{
			packet(1, 0, false, key265...), packet(2, 3600, false, frame265...), packet(3, 7200, false, frame265...),
		}},
		"H.265: an aggregation with padding": {&format.H265{}, []*rtp.Packet{
			packet(1, 0, true, slices.Concat([]byte{48 << 1, 1, 0, byte(len(vps265))}, vps265, []byte{0, byte(len(sps265))}, sps265,
				[]byte{0, 0, 0, byte(len(pps265))}, pps265, []byte{0, 4}, key265, []byte{0})...), packet(2, 3600, true, frame265...),
		}},
		"H.265: decoding order numbers": {&format.H265{MaxDONDiff: 1}, []*rtp.Packet{
			packet(1, 0, false, slices.Concat([]byte{48 << 1, 1, 0, 7, 0, byte(len(vps265))}, vps265, []byte{0, 0, byte(len(sps265))}, sps265,
				[]byte{0, 0, byte(len(pps265))}, pps265)...),
			packet(2, 0, false, 49<<1, 1, 0x80|19, 0, 9, 0xaf), packet(3, 0, true, 49<<1, 1, 0x40|19, 1), packet(4, 3600, true, 1<<1, 1, 0, 10, 0xd0, 2),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := newAssembler(c.format, 1)
			if err != nil {
				t.Fatal(err)
			}
			var ends []byte
			for i, p := range c.packets {
				u, err := a.push(p, time.Unix(1e9, 0).Add(time.Duration(i)*frameTime))
				if err != nil {
					t.Errorf("packet %d: %v", i, err)
				}
				if u == nil {
					continue
				}
				last := u.NALUs[len(u.NALUs)-1]
				ends = append(ends, last[len(last)-1])
				if u.Keyframe && (!h26x.ContainsFrame(u.Codec, [][]byte{last}) || len(u.NALUs) < 3) {
					t.Errorf("the keyframe is %x", u.NALUs)
				}
				if n := len(last) - h26x.HeaderSize(u.Codec); n != 2 {
					t.Errorf("the slice is %x", last)
				}
			}
			if !bytes.Equal(ends, []byte{1, 2}) {
				t.Errorf("the frames end with %v, want 1 and 2", ends)
			}
		})
	}
}

// TestMarkerAtEachSliceOfH265 is TestMarkerAtEachSlice for H.265.
func TestMarkerAtEachSliceOfH265(t *testing.T) {
	a, err := newAssembler(&format.H265{VPS: fakeSet(fakeVPS265), SPS: fakeSet(fakeSPS265), PPS: fakeSet(fakePPS265)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	whole, number := 0, uint16(0)
	for n := range uint32(30) {
		kind := byte(1)
		if n%10 == 0 {
			kind = 19
		}
		for _, first := range []byte{0xaf, 0x2f, 0x1f} { // first_slice_segment_in_pic_flag: 1, and two others
			number++
			u, err := a.push(packet(number, n*3600, true, kind<<1, 1, first, byte(n)), time.Unix(1e9, 0).Add(time.Duration(n)*frameTime))
			if err != nil {
				t.Fatal(err)
			}
			if u != nil && u.NALUs[len(u.NALUs)-3][2] == 0xaf {
				whole++
			}
		}
	}
	if want := 19; whole != want { // from the second keyframe on, less the last frame, whose end is not known
		t.Errorf("%d whole frames, want %d", whole, want)
	}
}

// TestHugeFrameOfH265: a camera that never ends a frame costs bounded memory.
func TestHugeFrameOfH265(t *testing.T) {
	a, err := newAssembler(&format.H265{VPS: fakeSet(fakeVPS265), SPS: fakeSet(fakeSPS265), PPS: fakeSet(fakePPS265)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for n := range 3 * maxH265NALUs {
		if _, err := a.push(packet(uint16(n), 0, false, 1<<1, 1, 9), time.Unix(1e9, 0)); err != nil {
			refused++
		}
		if d, ok := a.decoder.(*h265Depacketizer); !ok || len(d.frame) > maxH265NALUs {
			t.Fatalf("%d NALUs are held", len(d.frame))
		}
	}
	if refused == 0 {
		t.Error("nothing is refused")
	}
}
