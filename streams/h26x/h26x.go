// Package h26x parses as much of H.264 and H.265 as carrying frames needs: the types of NALUs, which access
// units are keyframes, the parameter sets in force, the size of a frame, and the Annex B form.
//
// Every function accepts bytes from outside: none panics, none keeps more than it says, and none
// allocates by a number that it has read. NALUs have neither start codes nor length prefixes.
// The package must not import any adapter.
package h26x

import "gridpost/streams"

// IsKeyframe reports whether decoding can start at the access unit nalus: it has an IDR slice, an IRAP slice
// of H.265, or a slice of H.264 whose recovery point message says that it is exact at once.
func IsKeyframe(codec streams.Codec, nalus [][]byte) bool {
	slice, recovery := false, false
	for _, nalu := range nalus {
		switch t := TypeOf(codec, nalu); {
		case isRandomAccess(codec, t):
			return true
		case isSlice(codec, t):
			slice = true
		case codec == streams.H264 && t == H264SEI:
			recovery = recovery || recoversAtOnce(nalu)
		}
	}
	return slice && recovery
}

// ContainsFrame reports whether nalus carry slices of a frame, and not only what describes it.
func ContainsFrame(codec streams.Codec, nalus [][]byte) bool {
	for _, nalu := range nalus {
		if isSlice(codec, TypeOf(codec, nalu)) {
			return true
		}
	}
	return false
}

// IsParameterSet reports whether nalu is a VPS, SPS or PPS.
func IsParameterSet(codec streams.Codec, nalu []byte) bool {
	return isParameterSet(codec, TypeOf(codec, nalu))
}

// recoversAtOnce reports whether an SEI NALU holds a recovery point message with
// recovery_frame_cnt 0 (ITU-T H.264, sections 7.3.2.3 and D.1.8).
func recoversAtOnce(nalu []byte) bool {
	const recoveryPoint = 6
	for b := nalu[1:]; len(b) > 2; { // a message, and the trailing bits after the last
		kind, size := 0, 0
		kind, b = seiNumber(b)
		size, b = seiNumber(b)
		if size > len(b) {
			return false
		}
		if kind == recoveryPoint {
			r := newBitReader(b[:size])
			return r.ue() == 0 && !r.failed
		}
		b = b[size:]
	}
	return false
}

// seiNumber reads a number that is coded as a run of 255s and a last byte.
func seiNumber(b []byte) (int, []byte) {
	n := 0
	for len(b) > 0 {
		n += int(b[0])
		last := b[0] != 255
		b = b[1:]
		if last {
			break
		}
	}
	return n, b
}
