package webrtc

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/pion/rtcp"
)

// transportFeedback is a transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1), not
// yet decoded: sixty viewers send six hundred a second, of which most need no more than a walk over their bytes.
type transportFeedback struct {
	base      uint16 // number of the first packet
	count     int    // packets whose status it gives
	reference uint32 // time, in transportTick; 24 bits with a sign
	body      []byte // status chunks, then receive deltas, then perhaps padding
}

const (
	transportHeader = 20                     // bytes before the status chunks
	transportUnit   = 250 * time.Microsecond // of a receive delta
)

// The symbols of a packet's status.
const (
	notReceived = iota
	smallDelta  // received; one byte, not negative
	largeDelta  // received; two bytes with a sign
)

// splitTransport takes the transport-wide feedback out of a compound packet. The rest are the bytes of all other
// packets. What is not a compound packet is all rest.
func splitTransport(compound []byte) (all []transportFeedback, rest []byte) {
	for p := compound; len(p) > 0; {
		if len(p) < 4 {
			return nil, compound
		}
		size := 4 * (int(binary.BigEndian.Uint16(p[2:])) + 1)
		if size > len(p) {
			return nil, compound
		}
		one := p[:size]
		p = p[size:]
		if rtcp.PacketType(one[1]) != rtcp.TypeTransportSpecificFeedback || one[0]&0x1f != rtcp.FormatTCC || size < transportHeader {
			rest = append(rest, one...)
			continue
		}
		all = append(all, transportFeedback{
			base: binary.BigEndian.Uint16(one[12:]), count: int(binary.BigEndian.Uint16(one[14:])),
			reference: binary.BigEndian.Uint32(one[16:]) >> 8, body: slices.Clone(one[transportHeader:]),
		})
	}
	return all, rest
}

// each calls do with the place of each packet that arrived, counted from the first one, and the time since the packet
// before, for the first one since the reference time, until do returns false or the feedback ends.
func (f transportFeedback) each(do func(i int, delta time.Duration) bool) {
	chunks, left := 0, f.count
	for ; left > 0 && len(f.body) >= 2*chunks+2; chunks++ {
		left -= f.symbols(chunks)
	}
	if left > 0 {
		return // it ends before its deltas
	}
	deltas, i := f.body[2*chunks:], 0
	for chunk := range chunks {
		for n := range min(f.symbols(chunk), f.count-i) {
			switch f.symbol(chunk, n) {
			case smallDelta:
				if len(deltas) < 1 || !do(i, time.Duration(deltas[0])*transportUnit) {
					return
				}
				deltas = deltas[1:]
			case largeDelta:
				if len(deltas) < 2 || !do(i, time.Duration(int16(binary.BigEndian.Uint16(deltas)))*transportUnit) {
					return
				}
				deltas = deltas[2:]
			}
			i++
		}
	}
}

// symbols returns how many symbols a chunk has.
func (f transportFeedback) symbols(chunk int) int {
	switch c := binary.BigEndian.Uint16(f.body[2*chunk:]); c >> 14 {
	case 2: // of one bit each
		return 14
	case 3: // of two bits each
		return 7
	default: // a run
		return int(c & 0x1fff)
	}
}

func (f transportFeedback) symbol(chunk, n int) int {
	switch c := binary.BigEndian.Uint16(f.body[2*chunk:]); c >> 14 {
	case 2:
		return int(c>>(13-n)) & 1
	case 3:
		return int(c>>(12-2*n)) & 3
	default:
		return int(c>>13) & 3
	}
}
