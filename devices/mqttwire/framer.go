// Package mqttwire follows the framing of MQTT below the libraries that speak it, so that no packet that a
// peer would send again costs its connection, and so that acknowledgements go out in order.
//
// See MQTT 3.1.1, sections 2.2 and 3.3; MQTT 5 frames packets alike. The package must import nothing of
// Gridpost.
package mqttwire

import (
	"encoding/binary"
	"errors"
)

// The types of control packets (MQTT 3.1.1, section 2.2.1).
const (
	Connect  byte = 1
	Connack  byte = 2
	Publish  byte = 3
	Puback   byte = 4
	Pubrec   byte = 5
	Pubrel   byte = 6
	Pubcomp  byte = 7
	Suback   byte = 9
	Unsuback byte = 11
	Pingreq  byte = 12
	Pingresp byte = 13

	Disconnect byte = 14
)

// Bounds of what is kept of a packet, in bytes.
const (
	maxOther      = 128 << 10 // of packets that are no PUBLISH
	maxProperties = 64 << 10  // of a PUBLISH of MQTT 5, beside topic and payload
)

// ErrFraming says that the peer does not speak MQTT: where the next packet begins is not known.
var ErrFraming = errors.New("a packet's length is not valid MQTT")

// Packet is one control packet.
type Packet struct {
	Head   byte   // type and flags
	Body   []byte // what follows the fixed header; cut to a bound. It belongs to the receiver
	Length int    // of the whole body
}

// Type returns the type of the packet.
func (p Packet) Type() byte { return p.Head >> 4 }

// Cut reports whether Body lacks its end because the packet is too long.
func (p Packet) Cut() bool { return len(p.Body) < p.Length }

// Append appends the packet as it stands on the wire to dst.
func (p Packet) Append(dst []byte) []byte {
	dst = append(dst, p.Head)
	for n := len(p.Body); ; {
		b := byte(n & 0x7f)
		if n >>= 7; n == 0 {
			return append(append(dst, b), p.Body...)
		}
		dst = append(dst, b|0x80)
	}
}

// Framer cuts a stream of bytes into packets. It holds one packet at most, and reads past what is too
// long. It belongs to one goroutine.
type Framer struct {
	limit func(topic string) int

	stage  stage
	head   byte
	length int // of the body
	shift  int
	seen   int // bytes of the body that have been read
	keep   int // bytes of the body that are kept, as far as is known
	known  int // how much of a PUBLISH decided about keep: 0 nothing, 1 the topic's length, 2 all
	body   []byte
}

type stage int

const (
	atHead stage = iota
	atLength
	atBody
)

// NewFramer returns a Framer. limit returns how many bytes a payload on a topic may have; the payload of a
// longer one is cut, after that bound.
func NewFramer(limit func(topic string) int) *Framer { return &Framer{limit: limit} }

// Within reports whether a packet has begun and not ended.
func (f *Framer) Within() bool { return f.stage != atHead }

// Feed reads b and calls each for every packet that ends in it. It returns ErrFraming or the first error
// of each; the stream cannot be read on then.
func (f *Framer) Feed(b []byte, each func(Packet) error) error {
	for {
		if f.stage == atBody {
			b = f.readBody(b)
			if f.seen < f.length {
				return nil
			}
			p := Packet{Head: f.head, Body: f.body, Length: f.length}
			f.stage, f.body = atHead, nil
			if err := each(p); err != nil {
				return err
			}
		}
		if len(b) == 0 {
			return nil
		}
		if err := f.readHeader(b[0]); err != nil {
			return err
		}
		b = b[1:]
	}
}

func (f *Framer) readHeader(b byte) error {
	if f.stage == atHead {
		f.stage, f.head, f.length, f.shift = atLength, b, 0, 0
		return nil
	}
	f.length |= int(b&0x7f) << f.shift
	f.shift += 7
	if b&0x80 != 0 {
		if f.shift == 28 {
			return ErrFraming
		}
		return nil
	}
	f.stage, f.seen, f.known, f.keep = atBody, 0, 2, maxOther
	if f.head>>4 == Publish {
		f.known, f.keep = 0, 2
	}
	// A length that is only announced reserves nothing.
	f.body = make([]byte, 0, min(f.length, 4096))
	return nil
}

// readBody takes what belongs to the packet, and returns the rest.
func (f *Framer) readBody(b []byte) []byte {
	for {
		f.decide()
		n := min(f.length-f.seen, len(b))
		if room := f.keep - len(f.body); f.known < 2 {
			n = min(n, room)
			f.body = append(f.body, b[:n]...)
		} else {
			f.body = append(f.body, b[:min(n, room)]...)
		}
		f.seen += n
		b = b[n:]
		if len(b) == 0 || f.seen == f.length {
			return b
		}
	}
}

// decide finds out how much of a PUBLISH is kept, as soon as its topic is known.
func (f *Framer) decide() {
	if f.known == 0 && len(f.body) == 2 {
		f.known, f.keep = 1, 2+int(binary.BigEndian.Uint16(f.body))
	}
	if f.known == 1 && len(f.body) == f.keep {
		// Two bytes for the packet identifier, one more than allowed so that the payload is seen to be too long.
		f.known, f.keep = 2, f.keep+2+maxProperties+f.limit(string(f.body[2:]))+1
	}
}
