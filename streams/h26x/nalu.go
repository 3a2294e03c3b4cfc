package h26x

import "gridpost/streams"

// NALUType is the type of a network abstraction layer unit. Its meaning depends on the codec. The
// names are those of the standards' tables; what Gridpost does not tell apart is left out.
type NALUType int8

// Types of H.264 (ITU-T H.264, table 7-1), and of its RTP payloads (RFC 6184, table 1).
const (
	H264SliceNonIDR NALUType = 1
	h264PartitionA  NALUType = 2
	H264SliceIDR    NALUType = 5
	H264SEI         NALUType = 6
	H264SPS         NALUType = 7
	H264PPS         NALUType = 8
	H264AUD         NALUType = 9 // access unit delimiter
	H264Filler      NALUType = 12

	RTPH264STAPA NALUType = 24 // aggregates NALUs of one time (section 5.7.1)
	RTPH264FUA   NALUType = 28 // a fragment of a NALU (section 5.8)
)

// Types of H.265 (ITU-T H.265, table 7-1), and of its RTP payloads (RFC 7798, section 4.4).
const (
	H265TrailN   NALUType = 0
	H265RASLN    NALUType = 8  // random access skipped leading picture, not referenced
	H265RASLR    NALUType = 9  // the same, referenced by others of its kind
	H265BLAWLP   NALUType = 16 // the first IRAP type: decoding can start at 16 to 21
	h265IDRWRADL NALUType = 19
	h265IDRNLP   NALUType = 20
	H265CRA      NALUType = 21 // the last IRAP type that is defined; 22 and 23 are reserved, and decoders ignore them
	H265LastVCL  NALUType = 31 // types up to this one carry slices
	H265VPS      NALUType = 32
	H265SPS      NALUType = 33
	H265PPS      NALUType = 34
	H265AUD      NALUType = 35 // access unit delimiter
	H265Filler   NALUType = 38

	RTPH265AP NALUType = 48 // aggregates NALUs of one access unit (section 4.4.2)
	RTPH265FU NALUType = 49 // a fragment of a NALU (section 4.4.3)
)

// NoType is the type of a NALU that is too short to have one.
const NoType NALUType = -1

// HeaderSize returns the length of a NALU's header in bytes: 1 for H.264, 2 for H.265.
func HeaderSize(codec streams.Codec) int {
	if codec == streams.H265 {
		return 2
	}
	return 1
}

// TypeOf returns the type in nalu's header, or in the header of an RTP payload, which has the same
// place. It is NoType where nalu is shorter than its header or codec is unknown.
func TypeOf(codec streams.Codec, nalu []byte) NALUType {
	switch {
	case codec == streams.H264 && len(nalu) >= 1:
		return NALUType(nalu[0] & 0x1f) // ITU-T H.264, section 7.3.1
	case codec == streams.H265 && len(nalu) >= 2:
		return NALUType(nalu[0] >> 1 & 0x3f) // ITU-T H.265, section 7.3.1.2
	}
	return NoType
}

// isSlice reports whether a NALU of type t carries a slice of the primary coded picture.
func isSlice(codec streams.Codec, t NALUType) bool {
	if codec == streams.H265 {
		return t >= H265TrailN && t <= H265LastVCL
	}
	return t >= H264SliceNonIDR && t <= H264SliceIDR
}

// isRandomAccess reports whether decoding can start at a slice of type t by its type alone: IDR, and for
// H.265 every IRAP type.
func isRandomAccess(codec streams.Codec, t NALUType) bool {
	if codec == streams.H265 {
		return t >= H265BLAWLP && t <= H265CRA
	}
	return t == H264SliceIDR
}

// isParameterSet reports whether t is that of a VPS, SPS or PPS.
func isParameterSet(codec streams.Codec, t NALUType) bool {
	if codec == streams.H265 {
		return t >= H265VPS && t <= H265PPS
	}
	return t == H264SPS || t == H264PPS
}

// IsDiscardable reports whether nalu has no meaning for a decoder: it is an access unit delimiter, filler
// data, or too short to be a NALU.
func IsDiscardable(codec streams.Codec, nalu []byte) bool {
	t := TypeOf(codec, nalu)
	if codec == streams.H265 {
		return t == NoType || t == H265AUD || t == H265Filler
	}
	return t == NoType || t == H264AUD || t == H264Filler
}
