package webrtc

import (
	"encoding/binary"

	"gridpost/streams"
)

// Types of network abstraction layer units that packetising knows (ITU-T H.264 table 7-1,
// H.265 table 7-1, RFC 6184 section 5.2, RFC 7798 section 4.4).
const (
	naluIDR       = 5
	naluSPS       = 7
	naluDelimiter = 9
	naluFiller    = 12
	naluSTAPA     = 24
	naluFUA       = 28

	hevcIRAPFirst = 16
	hevcIRAPLast  = 23
	hevcVPS       = 32
	hevcDelimiter = 35
	hevcFiller    = 38
	hevcAP        = 48
	hevcFU        = 49
)

// payloadSize is the largest RTP payload made: with RTP, extension, SRTP, UDP and IPv6 headers
// a packet stays below 1280 bytes, which every path carries.
const payloadSize = 1180

// packetize cuts a unit into RTP payloads that share one allocation. Small units are
// aggregated, large ones fragmented in pieces of one size, so that they can leave as one batch.
func packetize(u *streams.AccessUnit) [][]byte {
	p := packetizer{hevc: u.Codec == streams.H265, out: make([]byte, 0, u.Size()+u.Size()/64+256)}
	for _, n := range u.NALUs {
		p.add(n)
	}
	p.flush()
	return p.payloads
}

type packetizer struct {
	hevc     bool
	out      []byte
	payloads [][]byte
	small    [][]byte // waiting to be aggregated
	size     int      // of the aggregate
}

func (p *packetizer) header() int {
	if p.hevc {
		return 2
	}
	return 1
}

func (p *packetizer) add(n []byte) {
	if len(n) < p.header()+1 || p.superfluous(n) {
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
		p.size = p.header()
	}
	p.small = append(p.small, n)
	p.size += 2 + len(n)
}

// superfluous units only cost the line.
func (p *packetizer) superfluous(n []byte) bool {
	if p.hevc {
		t := n[0] >> 1 & 0x3f
		return t == hevcDelimiter || t == hevcFiller
	}
	t := n[0] & 0x1f
	return t == naluDelimiter || t == naluFiller
}

func (p *packetizer) emit(parts ...[]byte) {
	start := len(p.out)
	for _, part := range parts {
		p.out = append(p.out, part...)
	}
	p.payloads = append(p.payloads, p.out[start:len(p.out):len(p.out)])
}

// flush writes the small units as one packet: as they are when there is one, else as STAP-A
// (RFC 6184 section 5.7.1) or aggregation packet (RFC 7798 section 4.4.2).
func (p *packetizer) flush() {
	if len(p.small) == 1 {
		p.emit(p.small[0])
	}
	if len(p.small) > 1 {
		parts := make([][]byte, 0, 1+2*len(p.small))
		if p.hevc {
			parts = append(parts, []byte{hevcAP << 1, 1})
		} else {
			var ref byte
			for _, n := range p.small {
				ref = max(ref, n[0]&0x60)
			}
			parts = append(parts, []byte{ref | naluSTAPA})
		}
		for _, n := range p.small {
			parts = append(parts, binary.BigEndian.AppendUint16(nil, uint16(len(n))), n)
		}
		p.emit(parts...)
	}
	p.small, p.size = p.small[:0], 0
}

// fragment writes n as FU-A (RFC 6184 section 5.8) or FU (RFC 7798 section 4.4.3) packets.
func (p *packetizer) fragment(n []byte) {
	var prefix []byte
	var kind byte
	if p.hevc {
		kind = n[0] >> 1 & 0x3f
		prefix = []byte{n[0]&0x81 | hevcFU<<1, n[1], 0}
	} else {
		kind = n[0] & 0x1f
		prefix = []byte{n[0]&0xe0 | naluFUA, 0}
	}
	rest, first := n[p.header():], true
	for len(rest) > 0 {
		size := min(payloadSize-len(prefix), len(rest))
		mark := kind
		if first {
			mark |= 0x80
		}
		if size == len(rest) {
			mark |= 0x40
		}
		prefix[len(prefix)-1] = mark
		p.emit(prefix, rest[:size])
		rest, first = rest[size:], false
	}
}

// startsKey reports whether a payload is the first of a picture that decoding can start at. It
// sees foreign bytes and any of them may be missing.
func startsKey(coding streams.Codec, p []byte) bool {
	if coding == streams.H265 {
		return startsHEVCKey(p)
	}
	if len(p) < 2 {
		return false
	}
	switch t := p[0] & 0x1f; t {
	case naluSPS, naluIDR:
		return true
	case naluFUA:
		return p[1]&0x80 != 0 && p[1]&0x1f == naluIDR
	case naluSTAPA:
		for rest := p[1:]; len(rest) > 2; {
			size := int(binary.BigEndian.Uint16(rest))
			if t := rest[2] & 0x1f; t == naluSPS || t == naluIDR {
				return true
			}
			rest = rest[min(2+size, len(rest)):]
		}
	}
	return false
}

func startsHEVCKey(p []byte) bool {
	key := func(t byte) bool { return t == hevcVPS || t >= hevcIRAPFirst && t <= hevcIRAPLast }
	if len(p) < 3 {
		return false
	}
	switch t := p[0] >> 1 & 0x3f; t {
	case hevcFU:
		return p[2]&0x80 != 0 && key(p[2]&0x3f)
	case hevcAP:
		for rest := p[2:]; len(rest) > 2; {
			if key(rest[2] >> 1 & 0x3f) {
				return true
			}
			rest = rest[min(2+int(binary.BigEndian.Uint16(rest)), len(rest)):]
		}
		return false
	default:
		return key(t)
	}
}
