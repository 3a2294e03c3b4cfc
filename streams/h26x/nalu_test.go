package h26x

import (
	"slices"
	"testing"

	"gridpost/streams"
)

// TestTypes compares every type with ITU-T H.264, table 7-1, and ITU-T H.265, table 7-1.
func TestTypes(t *testing.T) {
	span := func(from, to NALUType) (list []NALUType) {
		for i := from; i <= to; i++ {
			list = append(list, i)
		}
		return list
	}
	for _, test := range []struct {
		codec                                   streams.Codec
		last                                    NALUType
		slice, random, parameterSet, discarding []NALUType
	}{
		{streams.H264, 31, span(1, 5), []NALUType{5}, []NALUType{7, 8}, []NALUType{9, 12}},
		{streams.H265, 63, span(0, 31), span(16, 21), []NALUType{32, 33, 34}, []NALUType{35, 38}},
	} {
		for typ := range test.last + 1 {
			nalu := []byte{byte(typ) | 0x60, 1, 2}
			if test.codec == streams.H265 {
				nalu[0] = byte(typ) << 1
			}
			if got := TypeOf(test.codec, nalu); got != typ {
				t.Fatalf("%s type %d: TypeOf gives %d", test.codec, typ, got)
			}
			for name, check := range map[string]struct {
				got  bool
				list []NALUType
			}{
				"slice":         {ContainsFrame(test.codec, [][]byte{nalu}), test.slice},
				"random access": {IsKeyframe(test.codec, [][]byte{nalu}), test.random},
				"parameter set": {IsParameterSet(test.codec, nalu), test.parameterSet},
				"discardable":   {IsDiscardable(test.codec, nalu), test.discarding},
			} {
				if want := slices.Contains(check.list, typ); check.got != want {
					t.Errorf("%s type %d: %s is %t, want %t", test.codec, typ, name, check.got, want)
				}
			}
		}
	}
}

// TestNames holds the numbers of the names that are used as numbers: RFC 6184, table 1, RFC 7798,
// section 4.4, and the tables of TestTypes.
func TestNames(t *testing.T) {
	for name, pair := range map[string][2]NALUType{
		"H.264 IDR": {H264SliceIDR, 5}, "H.264 SEI": {H264SEI, 6}, "H.264 SPS": {H264SPS, 7}, "H.264 PPS": {H264PPS, 8},
		"H.264 AUD": {H264AUD, 9}, "H.264 filler": {H264Filler, 12},
		"STAP-A": {RTPH264STAPA, 24}, "FU-A": {RTPH264FUA, 28},
		"H.265 BLA_W_LP": {H265BLAWLP, 16}, "H.265 CRA": {H265CRA, 21},
		"H.265 VPS": {H265VPS, 32}, "H.265 SPS": {H265SPS, 33}, "H.265 PPS": {H265PPS, 34}, "H.265 AUD": {H265AUD, 35}, "H.265 filler": {H265Filler, 38},
		"AP": {RTPH265AP, 48}, "FU": {RTPH265FU, 49},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %d, want %d", name, pair[0], pair[1])
		}
	}
}

func TestTypeOfNothing(t *testing.T) {
	for _, test := range []struct {
		codec streams.Codec
		nalu  []byte
	}{{streams.H264, nil}, {streams.H265, nil}, {streams.H265, []byte{0x40}}, {"VP8", []byte{0x65, 1}}} {
		if got := TypeOf(test.codec, test.nalu); got != NoType {
			t.Errorf("%s %x: type %d", test.codec, test.nalu, got)
		}
		if !IsDiscardable(test.codec, test.nalu) {
			t.Errorf("%s %x is not discardable", test.codec, test.nalu)
		}
	}
}

func TestStartsKeyframe(t *testing.T) {
	for _, test := range []struct {
		name    string
		codec   streams.Codec
		payload []byte
		want    bool
	}{
		{"SPS", streams.H264, []byte{0x67, 1}, true},
		{"IDR", streams.H264, []byte{0x65, 1}, true},
		{"PPS", streams.H264, []byte{0x68, 1}, false},
		{"P slice", streams.H264, []byte{0x41, 1}, false},
		{"STAP-A with SPS second", streams.H264, []byte{24, 0, 1, 9, 0, 2, 0x67, 1}, true},
		{"STAP-A without", streams.H264, []byte{24, 0, 2, 0x68, 1, 0, 2, 0x41, 1}, false},
		{"STAP-A that is cut off", streams.H264, []byte{24, 0xff, 0xff, 0x41}, false},
		{"STAP-A of empty NALUs", streams.H264, []byte{24, 0, 0, 0, 0, 0x65}, false},
		{"first FU-A of IDR", streams.H264, []byte{28, 0x85, 1}, true},
		{"second FU-A of IDR", streams.H264, []byte{28, 0x05, 1}, false},
		{"first FU-A of P", streams.H264, []byte{28, 0x81, 1}, false},
		{"VPS", streams.H265, []byte{32 << 1, 1, 9}, true},
		{"SPS of H.265 alone", streams.H265, []byte{33 << 1, 1, 9}, false},
		{"CRA", streams.H265, []byte{21 << 1, 1, 9}, true},
		{"reserved IRAP", streams.H265, []byte{22 << 1, 1, 9}, false},
		{"TRAIL_R", streams.H265, []byte{1 << 1, 1, 9}, false},
		{"AP with VPS", streams.H265, []byte{48 << 1, 1, 0, 2, 32 << 1, 1}, true},
		{"AP without", streams.H265, []byte{48 << 1, 1, 0, 2, 1 << 1, 1}, false},
		{"first FU of IDR", streams.H265, []byte{49 << 1, 1, 0x80 | 19}, true},
		{"last FU of IDR", streams.H265, []byte{49 << 1, 1, 0x40 | 19}, false},
		{"header alone", streams.H264, []byte{0x65}, false},
		{"header alone", streams.H265, []byte{19 << 1, 1}, false},
		{"nothing", streams.H265, nil, false},
	} {
		if got := StartsKeyframe(test.codec, test.payload); got != test.want {
			t.Errorf("%s %s: %t", test.codec, test.name, got)
		}
	}
}

func FuzzRTPPayload(f *testing.F) {
	f.Add([]byte{0x67, 1, 2, 3})
	f.Add([]byte{0x78, 0, 2, 0x67, 1, 0, 0, 0x65})
	f.Add([]byte{0x7c, 0x85, 1})
	f.Add([]byte{0x62, 1, 0x93})
	f.Add([]byte{0x60, 1, 0, 2, 0x40, 1})
	f.Fuzz(func(t *testing.T, p []byte) {
		for _, codec := range []streams.Codec{streams.H264, streams.H265} {
			if len(p) <= HeaderSize(codec) && StartsKeyframe(codec, p) {
				t.Errorf("%s: a header of %x starts a keyframe", codec, p)
			}
			StartsAccessUnit(codec, p)
		}
	})
}
