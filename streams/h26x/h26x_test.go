package h26x

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"gridpost/streams"
)

// sets are sequence parameter sets as libx264 and libx265 write them.
var sets = []struct {
	name          string
	codec         streams.Codec
	sps           string
	width, height int
}{
	{"baseline", streams.H264, "6742c00dd90141fb011000000300100000030320f142a480", 320, 240},
	{"cropped", streams.H264, "67640028acd940780227e5c044000003000400000300c83c60c658", 1920, 1080},
	{"interlaced", streams.H264, "67640028acd94078044fde0220000003002000000643e2c5b2c0", 1920, 1080},
	{"4:4:4", streams.H264, "67f4001e919b281485fc7c4e0220000003002000000641e2c5b2c0", 642, 360},
	{"full HD", streams.H265, "420101016000000300900000030000030078a003c08010e596566924caf0168080000003008000000c84", 1920, 1080},
	{"odd size", streams.H265, "42010101600000030090000003000003003ca00a480f9c9265959a4932bc05a02000000300200000030321", 322, 242},
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSize(t *testing.T) {
	for _, s := range sets {
		w, h, err := Size(s.codec, unhex(t, s.sps))
		if err != nil || w != s.width || h != s.height {
			t.Errorf("%s: %dx%d, %v; want %dx%d", s.name, w, h, err, s.width, s.height)
		}
		for n := range 8 { // cut short
			if _, _, err := Size(s.codec, unhex(t, s.sps)[:n]); !errors.Is(err, ErrParameterSet) {
				t.Errorf("%s: the first %d bytes alone: %v", s.name, n, err)
			}
		}
	}
	if _, _, err := SizeOf(streams.H264, [][]byte{{0x68, 1, 2, 3}, nil}); !errors.Is(err, ErrParameterSet) {
		t.Errorf("without a sequence parameter set: %v", err)
	}
}

func TestIsKeyframe(t *testing.T) {
	recovery := []byte{6, 6, 1, 0xc0, 0x80} // a recovery point at once
	later := []byte{6, 6, 1, 0x60, 0x80}    // after 2 frames
	longSEI := append(append([]byte{6, 5, 255, 2}, make([]byte, 257)...), 6, 1, 0xc0, 0x80)
	for _, test := range []struct {
		name  string
		codec streams.Codec
		nalus [][]byte
		want  bool
	}{
		{"IDR", streams.H264, [][]byte{{0x67}, {0x68}, {0x65, 1}}, true},
		{"P", streams.H264, [][]byte{{0x41, 1}}, false},
		{"recovery point", streams.H264, [][]byte{recovery, {0x41, 1}}, true},
		{"recovery point after another message", streams.H264, [][]byte{longSEI, {0x41, 1}}, true},
		{"recovery point of a gradual refresh", streams.H264, [][]byte{later, {0x41, 1}}, false},
		{"recovery point alone", streams.H264, [][]byte{recovery}, false},
		{"nothing", streams.H264, [][]byte{nil, {}}, false},
		{"IDR_W_RADL", streams.H265, [][]byte{{19 << 1, 1}}, true},
		{"CRA", streams.H265, [][]byte{{21 << 1, 1}}, true},
		{"TRAIL_R", streams.H265, [][]byte{{1 << 1, 1}}, false},
		{"cut short", streams.H265, [][]byte{{19 << 1}}, false},
	} {
		if got := IsKeyframe(test.codec, test.nalus); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestStartsAccessUnit(t *testing.T) {
	for _, test := range []struct {
		codec   streams.Codec
		payload []byte
		want    bool
	}{
		{streams.H264, []byte{0x67, 1}, true},
		{streams.H264, []byte{24, 0, 5, 0x67, 1}, true},
		{streams.H264, []byte{24, 0, 5, 0x41, 1}, false},
		{streams.H264, []byte{24}, false},
		{streams.H264, []byte{28, 0x85}, false},
		{streams.H265, []byte{48 << 1, 1, 0, 5, 32 << 1, 1}, true},
		{streams.H265, []byte{1 << 1, 1}, false},
		{streams.H265, nil, false},
	} {
		if got := StartsAccessUnit(test.codec, test.payload); got != test.want {
			t.Errorf("%s %x: %v", test.codec, test.payload, got)
		}
	}
}

func TestKeyframesBeginWithTheParameterSetsInForce(t *testing.T) {
	sps, pps := unhex(t, sets[0].sps), unhex(t, "68cb83cb20")
	sps2, pps2 := unhex(t, "6742c00dd90141fb011000000300100000030320f142a481"), unhex(t, "68cb83cb21")
	idr, p, aud, filler := []byte{0x65, 1}, []byte{0x41, 1}, []byte{9, 0xf0}, []byte{12, 255}

	params := NewParams(streams.H264)
	if _, _, ok := params.Assemble([][]byte{idr}); ok {
		t.Error("a keyframe without parameter sets is an access unit")
	}
	params.Observe(sps) // from the session description
	params.Observe(pps)
	check := func(in [][]byte, wantKey bool, want ...[]byte) {
		t.Helper()
		au, key, ok := params.Assemble(in)
		if !ok || key != wantKey || !slices.EqualFunc(au, want, bytes.Equal) {
			t.Errorf("%x became %x, key %v, ok %v", in, au, key, ok)
		}
	}
	check([][]byte{aud, idr, filler}, true, sps, pps, idr)
	check([][]byte{p, nil, filler}, false, p)
	if _, _, ok := params.Assemble([][]byte{aud, sps2, pps2}); ok { // they change in the middle of the stream
		t.Error("parameter sets alone are an access unit")
	}
	check([][]byte{idr}, true, sps2, pps2, idr)
	check([][]byte{sps, pps, idr}, true, sps, pps, idr)
}

func TestParamsAreBounded(t *testing.T) {
	params := NewParams(streams.H264)
	params.Observe(append([]byte{0x68, 0x80}, make([]byte, maxSetSize)...))
	for id := range 256 { // ue(v) of one byte or two after another: whatever they decode to
		params.Observe([]byte{0x68, byte(id), 0x55, 0x80})
		params.Observe([]byte{0x68, 0, byte(id), 0x80})
	}
	if n := len(params.NALUs()); n == 0 || n > 3*maxSets {
		t.Errorf("%d sets are kept", n)
	}
}

func FuzzSize(f *testing.F) {
	for _, s := range sets {
		f.Add(s.codec == streams.H265, unhex(f, s.sps))
	}
	f.Add(false, []byte{0x67, 100, 0, 40, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, h265 bool, sps []byte) {
		codec := streams.H264
		if h265 {
			codec = streams.H265
		}
		before := bytes.Clone(sps)
		w, h, err := Size(codec, sps)
		if err == nil && (w <= 0 || h <= 0 || w > maxSide || h > maxSide) {
			t.Errorf("%dx%d", w, h)
		}
		params := NewParams(codec)
		params.Observe(sps)
		if n := len(params.NALUs()); n > 1 {
			t.Errorf("%d sets of one", n)
		}
		if !bytes.Equal(sps, before) {
			t.Error("the input was changed")
		}
	})
}

func FuzzAssemble(f *testing.F) {
	f.Add([]byte{2, 0x67, 1, 2, 0x65, 2})
	f.Add([]byte{4, 6, 6, 1, 0xc0, 0x80, 1, 0x41})
	f.Add([]byte{5, 6, 255, 255, 255, 0, 2, 0x41, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var nalus [][]byte // each after its length
		for rest := data; len(rest) > 0; {
			n := min(int(rest[0]), len(rest)-1)
			nalus = append(nalus, rest[1:1+n])
			rest = rest[1+n:]
		}
		for _, codec := range []streams.Codec{streams.H264, streams.H265} {
			au, keyframe, ok := NewParams(codec).Assemble(nalus)
			if ok && keyframe != IsKeyframe(codec, au) {
				t.Errorf("keyframe %v became %v", keyframe, !keyframe)
			}
		}
	})
}

func TestReorderDepth(t *testing.T) {
	for _, test := range []struct {
		name  string
		codec streams.Codec
		sps   string
		depth int
		known bool
	}{
		{"x264 without B-frames", streams.H264, "6764000dacb20283f60220000003002000000641e28549", 0, true},
		{"x264 with 2 B-frames", streams.H264, "6764000dacd94141fb011000000300100000030320f1429960", 2, true},
		{"x265 without B-frames", streams.H265, "42010101600000030090000003000003003ca00a080f16592a4932bc05a02000000300200000030321", 0, true},
		{"x265 with 2 B-frames", streams.H265, "42010101600000030090000003000003003ca00a080f16595924932bc05a020000030002000003003210", 2, true},
		{"Baseline", streams.H264, "6742c00dd90141fb011000000300100000030320f142a480", 0, true},
		{"cut before it says", streams.H264, "6764000dacd94141fb01", 0, false},
		{"no parameter set", streams.H264, "68ce", 0, false},
	} {
		depth, known := ReorderDepth(test.codec, [][]byte{{9, 1}, unhex(t, test.sps)})
		if depth != test.depth || known != test.known {
			t.Errorf("%s: %d, %v; want %d, %v", test.name, depth, known, test.depth, test.known)
		}
	}
}

func TestSlices(t *testing.T) {
	for _, test := range []struct {
		nalu []byte
		want bool
	}{
		{[]byte{0x01, 0xa0, 1}, true},  // slice_type 1
		{[]byte{0x01, 0x9c, 1}, true},  // slice_type 6
		{[]byte{0x41, 0xc0, 1}, false}, // slice_type 0
		{[]byte{0x65, 0xa0, 1}, false}, // IDR
		{[]byte{0x01}, false}, {nil, false},
	} {
		if got := HasBSlices([][]byte{{0x06, 1}, test.nalu}); got != test.want {
			t.Errorf("%x has B slices: %v", test.nalu, got)
		}
	}
	for kind := range byte(64) {
		nalus := [][]byte{{32 << 1, 1}, {kind << 1, 1, 9}}
		if got, want := IsRASL(streams.H265, nalus), kind == 8 || kind == 9; got != want {
			t.Errorf("H.265 type %d is RASL: %v", kind, got)
		}
		if got, want := IsIDR(streams.H265, nalus), kind == 19 || kind == 20; got != want {
			t.Errorf("H.265 type %d is IDR: %v", kind, got)
		}
	}
}
