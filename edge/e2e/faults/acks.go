package faults

import (
	"encoding/binary"
	"sync"
)

// ackTap reads MQTT 3.1.1 between an edge and its broker and reports which messages the edge has
// acknowledged: a PUBACK with the identifier of a PUBLISH of the same connection (MQTT 3.1.1,
// sections 3.3 and 3.4).
type ackTap struct {
	acked func(payload string)

	mu      sync.Mutex // both directions of a connection
	waiting map[uint16]string
}

// newAckTap returns a function for NewLine. The edge is the client of the line.
func newAckTap(acked func(payload string)) func() (fromClient, fromServer func([]byte)) {
	return func() (fromClient, fromServer func([]byte)) {
		t := &ackTap{acked: acked, waiting: map[uint16]string{}}
		var up, down packets
		return func(b []byte) { up.add(b, t.fromEdge) }, func(b []byte) { down.add(b, t.fromBroker) }
	}
}

const (
	packetPublish = 3
	packetPuback  = 4
)

func (t *ackTap) fromBroker(head byte, body []byte) {
	if head>>4 != packetPublish || head>>1&3 != 1 || len(body) < 2 {
		return
	}
	topic := int(binary.BigEndian.Uint16(body))
	if len(body) < 2+topic+2 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting[binary.BigEndian.Uint16(body[2+topic:])] = string(body[2+topic+2:])
}

func (t *ackTap) fromEdge(head byte, body []byte) {
	if head>>4 != packetPuback || len(body) < 2 {
		return
	}
	id := binary.BigEndian.Uint16(body)
	t.mu.Lock()
	payload, ok := t.waiting[id]
	delete(t.waiting, id)
	t.mu.Unlock()
	if ok {
		t.acked(payload)
	}
}

// packets cuts a stream of bytes into MQTT control packets.
type packets struct {
	rest   []byte
	broken bool
}

func (p *packets) add(b []byte, each func(head byte, body []byte)) {
	if p.broken {
		return
	}
	p.rest = append(p.rest, b...)
	for {
		length, header, ok := remainingLength(p.rest)
		if header < 0 {
			p.broken = true // corrupted on the way; the peers end the connection
			return
		}
		if !ok || len(p.rest) < header+length {
			return
		}
		each(p.rest[0], p.rest[header:header+length])
		p.rest = append([]byte(nil), p.rest[header+length:]...)
	}
}

// remainingLength decodes the fixed header (MQTT 3.1.1, section 2.2.3). header is its size, -1 if
// it cannot be valid.
func remainingLength(b []byte) (length, header int, ok bool) {
	for i := 1; i < len(b) && i <= 4; i++ {
		length |= int(b[i]&0x7f) << (7 * (i - 1))
		if b[i]&0x80 == 0 {
			return length, i + 1, true
		}
	}
	if len(b) > 4 {
		return 0, -1, false
	}
	return 0, 0, false
}
