package mqttwire

import (
	"encoding/binary"
	"errors"
)

// Message is a PUBLISH of MQTT 3.1.1 (section 3.3).
type Message struct {
	Topic    string
	Payload  []byte
	ID       uint16 // of QoS 1 and 2
	QoS      byte
	Retained bool
	Dup      bool
}

// Errors of ParsePublish.
var (
	ErrShort = errors.New("a PUBLISH ends within its header")
	ErrQoS   = errors.New("a PUBLISH has QoS 3")
	ErrNoID  = errors.New("a PUBLISH of QoS 1 or 2 has no packet identifier")
)

// ParsePublish reads a PUBLISH of MQTT 3.1.1. The payload of a packet that was cut is cut. The topic is
// not checked.
func ParsePublish(p Packet) (Message, error) {
	m := Message{QoS: p.Head >> 1 & 3, Retained: p.Head&1 != 0, Dup: p.Head&8 != 0}
	b := p.Body
	if len(b) < 2 || len(b) < 2+int(binary.BigEndian.Uint16(b)) {
		return m, ErrShort
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	m.Topic, b = string(b[2:n]), b[n:]
	switch {
	case m.QoS == 3:
		return m, ErrQoS
	case m.QoS == 0:
		m.Payload = b
		return m, nil
	case len(b) < 2:
		return m, ErrShort
	}
	m.ID, m.Payload = binary.BigEndian.Uint16(b), b[2:]
	if m.ID == 0 {
		return m, ErrNoID
	}
	return m, nil
}
