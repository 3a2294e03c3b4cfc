package h26x

import (
	"encoding/binary"

	"gridpost/streams"
)

// StartsAccessUnit reports whether an RTP payload certainly begins an access unit: it starts with an access
// unit delimiter or a parameter set, alone or in an aggregation packet (RFC 6184, section 5.7.1;
// RFC 7798, section 4.4.2). An access unit without these is not recognised.
func StartsAccessUnit(codec streams.Codec, payload []byte) bool {
	first, ok := firstAggregated(codec, payload)
	if !ok {
		first = payload
	}
	t := TypeOf(codec, first)
	return t != NoType && (isParameterSet(codec, t) || IsDiscardable(codec, first))
}

// StartsKeyframe reports whether an RTP payload is the first of an access unit that decoding can start at:
// it holds the first parameter set (SPS of H.264, VPS of H.265) or the beginning of a slice of a random
// access type. In the fragments after the first it finds none.
func StartsKeyframe(codec streams.Codec, payload []byte) bool {
	starts := func(t NALUType) bool {
		if codec == streams.H265 {
			return t == H265VPS || isRandomAccess(codec, t)
		}
		return t == H264SPS || isRandomAccess(codec, t)
	}
	switch t := TypeOf(codec, payload); {
	case len(payload) <= HeaderSize(codec):
		return false
	case isAggregation(codec, t):
		for rest := payload[HeaderSize(codec):]; len(rest) > 2; {
			size := int(binary.BigEndian.Uint16(rest))
			nalu := rest[2:min(2+size, len(rest))]
			if starts(TypeOf(codec, nalu)) {
				return true
			}
			rest = rest[2+len(nalu):]
		}
		return false
	case codec == streams.H264 && t == RTPH264FUA:
		const start = 0x80 // RFC 6184, section 5.8
		return payload[1]&start != 0 && starts(NALUType(payload[1]&0x1f))
	case codec == streams.H265 && t == RTPH265FU:
		const start = 0x80 // RFC 7798, section 4.4.3
		return payload[2]&start != 0 && starts(NALUType(payload[2]&0x3f))
	default:
		return starts(t)
	}
}

func isAggregation(codec streams.Codec, t NALUType) bool {
	if codec == streams.H265 {
		return t == RTPH265AP
	}
	return t == RTPH264STAPA
}

// firstAggregated returns the first NALU of an aggregation packet; ok is false for any other payload.
func firstAggregated(codec streams.Codec, payload []byte) (nalu []byte, ok bool) {
	start := HeaderSize(codec) + 2 // header and length
	if !isAggregation(codec, TypeOf(codec, payload)) || len(payload) <= start {
		return nil, false
	}
	return payload[start:], true
}
