package webrtc

import (
	"encoding/binary"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

// payloadSize is the largest RTP payload made: with the headers of RTP and its extensions, SRTP,
// UDP and IPv6 a packet stays below 1280 bytes, which every path carries (RFC 8200, section 5).
const payloadSize = 1180

// packetize splits an access unit into RTP payloads that share one allocation. Small NALUs are
// aggregated, large ones are fragmented in pieces of one size, so that they can leave as one batch.
func packetize(u *streams.AccessUnit) [][]byte {
	p := packetizer{
		codec: u.Codec, header: h26x.HeaderSize(u.Codec),
		out: make([]byte, 0, u.Size()+u.Size()/64+256),
	}
	for _, n := range u.NALUs {
		p.add(n)
	}
	p.flush()
	return p.payloads
}

type packetizer struct {
	codec    streams.Codec
	header   int // bytes of a NALU's header
	out      []byte
	payloads [][]byte
	small    [][]byte // waiting to be aggregated
	size     int      // of the aggregate
}

func (p *packetizer) add(n []byte) {
	if len(n) <= p.header || h26x.IsDiscardable(p.codec, n) {
		return
	}
	if len(n) > payloadSize {
		p.flush()
		p.fragment(n)
		return
	}
	if p.size+2+len(n) > payloadSize {
		p.flush()
	}
	if p.size == 0 {
		p.size = p.header
	}
	p.small = append(p.small, n)
	p.size += 2 + len(n)
}

func (p *packetizer) emit(parts ...[]byte) {
	start := len(p.out)
	for _, part := range parts {
		p.out = append(p.out, part...)
	}
	p.payloads = append(p.payloads, p.out[start:len(p.out):len(p.out)])
}

// flush writes the small NALUs as one packet: as it is when there is one, else as STAP-A
// (RFC 6184, section 5.7.1) or aggregation packet (RFC 7798, section 4.4.2).
func (p *packetizer) flush() {
	if len(p.small) == 1 {
		p.emit(p.small[0])
	}
	if len(p.small) > 1 {
		parts := make([][]byte, 0, 1+2*len(p.small))
		if p.codec == streams.H265 {
			parts = append(parts, []byte{byte(h26x.RTPH265AP) << 1, 1})
		} else {
			var ref byte
			for _, n := range p.small {
				ref = max(ref, n[0]&0x60)
			}
			parts = append(parts, []byte{ref | byte(h26x.RTPH264STAPA)})
		}
		for _, n := range p.small {
			parts = append(parts, binary.BigEndian.AppendUint16(nil, uint16(len(n))), n)
		}
		p.emit(parts...)
	}
	p.small, p.size = p.small[:0], 0
}

// fragment writes n as FU-A (RFC 6184, section 5.8) or FU (RFC 7798, section 4.4.3) packets.
func (p *packetizer) fragment(n []byte) {
	const start, end = 0x80, 0x40
	kind := byte(h26x.TypeOf(p.codec, n))
	prefix := []byte{n[0]&0xe0 | byte(h26x.RTPH264FUA), 0}
	if p.codec == streams.H265 {
		prefix = []byte{n[0]&0x81 | byte(h26x.RTPH265FU)<<1, n[1], 0}
	}
	rest, first := n[p.header:], true
	for len(rest) > 0 {
		size := min(payloadSize-len(prefix), len(rest))
		mark := kind
		if first {
			mark |= start
		}
		if size == len(rest) {
			mark |= end
		}
		prefix[len(prefix)-1] = mark
		p.emit(prefix, rest[:size])
		rest, first = rest[size:], false
	}
}
