package rtsp

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph264"
	"github.com/pion/rtp"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

// h264Depacketizer reads H.264 (RFC 6184). It takes from aggregation packets what the library does not read.
type h264Depacketizer struct{ decoder *rtph264.Decoder }

func newH264Depacketizer(f *format.H264) (depacketizer, error) {
	d, err := f.CreateDecoder()
	if err != nil {
		return nil, fmt.Errorf("reading the parameters of the video: %w", err)
	}
	return h264Depacketizer{d}, nil
}

func (d h264Depacketizer) Decode(packet *rtp.Packet) ([][]byte, error) {
	if h26x.TypeOf(streams.H264, packet.Payload) == h26x.RTPH264STAPA {
		plain := *packet
		plain.Payload = cleanAggregation(packet.Payload, h26x.HeaderSize(streams.H264), false)
		packet = &plain
	}
	return d.decoder.Decode(packet) //nolint:wrapcheck // assembler.push compares it
}

// cleanAggregation returns an aggregation packet without empty NALUs, without a byte after the last one and, with order,
// without the decoding order numbers of H.265 (RFC 6184, section 5.7.1; RFC 7798, section 4.4.2). It returns payload itself
// if a NALU is cut short or there is none.
func cleanAggregation(payload []byte, header int, order bool) []byte {
	out := slices.Clone(payload[:header])
	skip := 0
	if order {
		skip = 2 // DONL; the others have one byte, DOND
	}
	for rest := payload[header:]; len(rest) >= skip+2; {
		rest = rest[skip:]
		end := 2 + int(binary.BigEndian.Uint16(rest))
		if end > len(rest) {
			return payload
		}
		if end > 2 {
			out = append(out, rest[:end]...)
		}
		rest = rest[end:]
		skip = min(skip, 1)
	}
	if len(out) == header {
		return payload
	}
	return out
}
