// Package h26x reads as much of H.264 and H.265 as carrying pictures needs: which units are
// key pictures, the parameter sets in force, the size of the picture, and the Annex B form.
//
// Every function takes bytes from outside: none panics, none keeps more than it says, and none
// allocates by a number that it has read. NALUs have neither start codes nor length prefixes.
// The package must not import any adapter.
package h26x

import "gridpost/streams"

// NALU types of H.264 (ITU-T H.264, table 7-1).
const (
	h264Slice  = 1
	h264SliceA = 2 // data partitions A, B and C
	h264SliceC = 4
	h264IDR    = 5
	h264SEI    = 6
	h264SPS    = 7
	h264PPS    = 8
	h264AUD    = 9
	h264Filler = 12
)

// NALU types of H.265 (ITU-T H.265, table 7-1).
const (
	h265LastSlice = 31 // all types up to here carry slices of a picture
	h265FirstIRAP = 16
	h265LastIRAP  = 21 // 22 and 23 are reserved
	h265VPS       = 32
	h265SPS       = 33
	h265PPS       = 34
	h265AUD       = 35
	h265Filler    = 38
)

func naluType(codec streams.Codec, nalu []byte) int {
	switch {
	case codec == streams.H264 && len(nalu) > 0:
		return int(nalu[0] & 0x1f) // section 7.3.1
	case codec == streams.H265 && len(nalu) > 1:
		return int(nalu[0] >> 1 & 0x3f) // section 7.3.1.2
	}
	return -1
}

// IsKeyframe reports whether decoding can start at the access unit nalus: an IDR picture, an IRAP picture
// of H.265, or an H.264 picture that a recovery point message says to be exact at once.
func IsKeyframe(codec streams.Codec, nalus [][]byte) bool {
	picture, recovery := false, false
	for _, nalu := range nalus {
		switch t := naluType(codec, nalu); {
		case codec == streams.H265:
			if t >= h265FirstIRAP && t <= h265LastIRAP {
				return true
			}
		case t == h264IDR:
			return true
		case t == h264Slice:
			picture = true
		case t == h264SEI:
			recovery = recovery || recoversAtOnce(nalu)
		}
	}
	return picture && recovery
}

// ContainsFrame reports whether nalus carry slices of a picture, and not only what describes it.
func ContainsFrame(codec streams.Codec, nalus [][]byte) bool {
	for _, nalu := range nalus {
		switch t := naluType(codec, nalu); {
		case codec == streams.H265:
			if t >= 0 && t <= h265LastSlice {
				return true
			}
		case t >= h264Slice && t <= h264IDR:
			return true
		}
	}
	return false
}

// IsParameterSet reports whether nalu is a VPS, SPS or PPS.
func IsParameterSet(codec streams.Codec, nalu []byte) bool {
	t := naluType(codec, nalu)
	if codec == streams.H265 {
		return t >= h265VPS && t <= h265PPS
	}
	return t == h264SPS || t == h264PPS
}

// StartsAccessUnit reports whether an RTP payload is seen to begin an access unit: it starts with a delimiter or with a
// parameter set, alone or in an aggregation packet (RFC 6184, section 5.7.1; RFC 7798, section 4.4.2).
func StartsAccessUnit(codec streams.Codec, payload []byte) bool {
	const stapA, aggregation = 24, 48
	t := naluType(codec, payload)
	switch {
	case codec == streams.H264 && t == stapA && len(payload) > 3:
		payload = payload[3:] // header and length
	case codec == streams.H265 && t == aggregation && len(payload) > 4:
		payload = payload[4:]
	}
	return IsParameterSet(codec, payload) || isPadding(codec, payload)
}

// isPadding reports whether nalu tells a decoder nothing: a delimiter or filler data.
func isPadding(codec streams.Codec, nalu []byte) bool {
	t := naluType(codec, nalu)
	if codec == streams.H265 {
		return t == h265AUD || t == h265Filler
	}
	return t == h264AUD || t == h264Filler
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
