package compat

import (
	"encoding/binary"
	"io"
)

const (
	rtpHeader = 12 // bytes of an RTP header without CSRCs and extension (RFC 3550, section 5.1)

	rtpPadding   = 0x20 // in the first byte
	rtpExtension = 0x10
	rtpCSRCs     = 0x0f

	rtcpSenderReport = 200 // RFC 3550, section 6.4.1

	// Packets whose second byte is in this range are RTCP (RFC 5761, section 4).
	firstRTCP = 192
	lastRTCP  = 223

	// adoptAfter is how many packets in a row an SSRC sends that was taken for an intruder, until it is followed after all.
	adoptAfter = 50

	// adoptTypeAfter is how many packets in a row have one payload type that the description lacks, while none has the
	// right one, until they are taken for the track's: 4 s of audio, should that come on the same channel.
	adoptTypeAfter = 200
)

// rtpFilter makes the packets of one track such that the library takes them. The library drops packets of another SSRC
// than the first for ever, packets of a payload type that the description lacks, and packets whose header it cannot
// read; each of them would look like a loss, or like a camera that sends nothing any more.
type rtpFilter struct {
	payloadType byte // that the library knows
	described   byte // that the camera's description has
	sent        byte // that the camera sends

	known  bool // packets of the type sent have come
	stray  byte // another type
	strays int  // packets of it in a row

	started bool
	shown   uint32 // SSRC that the library knows
	current uint32 // SSRC that the camera sends

	changed  bool   // there was another one before
	previous uint32 // it
	intruder bool   // current came back: of two sources at a time only that one is followed
	ignored  uint32 // SSRC of the intruder
	run      int    // packets of the intruder since the last one of current

	saidChanged, saidStray bool // there is a remark
}

// follow decides about a packet with an SSRC: it is dropped, or it belongs to the track.
func (f *rtpFilter) follow(ssrc uint32) bool {
	switch {
	case !f.started:
		f.started, f.shown, f.current = true, ssrc, ssrc
	case ssrc == f.current:
		f.run = 0
	case f.intruder && ssrc == f.ignored:
		if f.run++; f.run < adoptAfter {
			return false
		}
		f.changed, f.intruder, f.run = false, false, 0
		f.current = ssrc
	case f.changed && ssrc == f.previous:
		f.intruder, f.ignored, f.run = true, f.current, 0
		f.changed, f.current = false, ssrc
	default: // the camera has started again
		f.changed, f.previous, f.current = true, f.current, ssrc
	}
	return true
}

// adoptType learns the payload type that the camera sends, from that of each packet: some cameras send another one than
// they have described.
func (f *rtpFilter) adoptType(payloadType byte) {
	switch {
	case payloadType == f.described:
		f.sent, f.known = payloadType, true
	case f.known:
	case payloadType != f.stray:
		f.stray, f.strays = payloadType, 1
	default:
		if f.strays++; f.strays == adoptTypeAfter {
			f.sent, f.known = payloadType, true
		}
	}
}

// UseTracks says which RTP payload types are received, in the order in which the tracks are set up. It must be called
// before PLAY. Packets of other types of these tracks reach the library without their content: their sequence numbers
// count, because cameras number all packets of a track alike.
func (s *Session) UseTracks(payloadTypes ...uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filters = make([]*rtpFilter, len(payloadTypes))
	for i, t := range payloadTypes {
		s.filters[i] = &rtpFilter{payloadType: t, described: t, sent: t}
		if described, ok := s.types[t]; ok {
			s.filters[i].described, s.filters[i].sent = described, described
		}
	}
}

// numbered stores the payload types that the camera sends, by those that the library knows where they differ.
func (s *Session) numbered(types map[uint8]uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.types = types
}

// filter returns the filter of a channel, nil for none. The library gives its tracks the channels 0 and 1, 2 and 3, and
// so on, for RTP and RTCP.
func (s *Session) filter(channel byte) *rtpFilter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := int(channel / 2); i < len(s.filters) {
		return s.filters[i]
	}
	return nil
}

// filtered reads a frame of a track with a filter; size is its length. Its head has been peeked, not read.
func (c *Conn) filtered(f *rtpFilter, channel byte, size int) error {
	head, err := c.in.r.Peek(4 + rtpHeader)
	if err != nil {
		return err
	}
	c.out = append(c.out[:0], head...)
	c.out[1] = channel
	packet := c.out[4:]
	stray := packet[1]&0x7f != f.sent
	if channel%2 == 0 && stray && packet[1] >= firstRTCP && packet[1] <= lastRTCP {
		channel++ // the camera sends RTP and RTCP on one channel
		c.out[1] = channel
	}
	if channel%2 == 1 {
		if ssrc := binary.BigEndian.Uint32(packet[4:]); packet[1] == rtcpSenderReport && f.started && ssrc == f.current {
			binary.BigEndian.PutUint32(packet[4:], f.shown)
		}
		return c.rest(size)
	}
	f.adoptType(packet[1] & 0x7f)
	stray = packet[1]&0x7f != f.sent
	ssrc := binary.BigEndian.Uint32(packet[8:])
	// Where two tracks share a channel, packets of the other one are no new start of this one.
	other := stray && (!f.started || ssrc != f.current)
	if other {
		f.sayStray(c.session)
	}
	if other || !f.follow(ssrc) {
		c.out = c.out[:0]
		_, err := c.in.r.Discard(4 + size)
		return err
	}
	if f.current != f.shown && !f.saidChanged {
		f.saidChanged = true
		c.session.remark("RTP", "the source of the packets (SSRC) changes within a session")
	}
	binary.BigEndian.PutUint32(packet[8:], f.shown)
	if stray {
		f.sayStray(c.session)
		binary.BigEndian.PutUint16(c.out[2:], rtpHeader)
		packet[0] &^= rtpPadding | rtpExtension | rtpCSRCs
		packet[1] = f.payloadType
		_, err := c.in.r.Discard(4 + size)
		return err
	}
	packet[1] = packet[1]&^0x7f | f.payloadType
	if packet[0]&(rtpPadding|rtpExtension|rtpCSRCs) == 0 {
		return c.rest(size)
	}
	return c.repaired(size)
}

// sayStray remarks once that there are packets of other payload types.
func (f *rtpFilter) sayStray(s *Session) {
	if !f.saidStray {
		f.saidStray = true
		s.remark("RTP", "packets of payload types that the description lacks")
	}
}

// rest leaves what follows the header of the packet in c.out to be passed.
func (c *Conn) rest(size int) error {
	c.passing = size - rtpHeader
	_, err := c.in.r.Discard(4 + rtpHeader)
	return err
}

// repaired reads the whole packet, and takes from its header what does not fit its length.
func (c *Conn) repaired(size int) error {
	if err := c.rest(size); err != nil {
		return err
	}
	from := len(c.out)
	c.out = append(c.out, make([]byte, c.passing)...)
	c.passing = 0
	if _, err := io.ReadFull(c.in.r, c.out[from:]); err != nil {
		return err
	}
	packet := repairHeader(c.out[4:])
	binary.BigEndian.PutUint16(c.out[2:], uint16(len(packet))) // no longer than it came
	c.out = c.out[:4+len(packet)]
	return nil
}

// repairHeader clears the bits of a packet's header that announce more than the packet has, and takes the extension out,
// which nobody reads and which the library may not understand (RFC 3550, section 5.3.1). It changes packet and returns
// what is left of it.
func repairHeader(packet []byte) []byte {
	content := rtpHeader + 4*int(packet[0]&rtpCSRCs)
	if content > len(packet) {
		packet[0] &^= rtpCSRCs
		content = rtpHeader
	}
	if packet[0]&rtpExtension != 0 {
		packet[0] &^= rtpExtension
		if content+4 <= len(packet) {
			if end := content + 4 + 4*int(binary.BigEndian.Uint16(packet[content+2:])); end <= len(packet) {
				packet = append(packet[:content], packet[end:]...)
			}
		}
	}
	if n := int(packet[len(packet)-1]); packet[0]&rtpPadding != 0 && (n == 0 || n > len(packet)-content) {
		packet[0] &^= rtpPadding
	}
	return packet
}
