package mqtt

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"gridpost/devices/mqttwire"
)

// errNotMQTT says that what answers speaks another protocol.
var errNotMQTT = errors.New("what answers does not speak MQTT")

// pingresp is an answer to PINGREQ (MQTT 3.1.1, section 3.13).
const pingresp = "\xd0\x00"

// conn is the connection below paho. It takes the messages out of what the broker sends, and passes on only
// what paho must see, in a form that paho can take: paho would reserve the whole announced length of a
// packet, end the connection because of a packet that comes again after the next one, and index beyond its
// list for a SUBACK with too many codes.
//
// When the inbox is full nothing is read until there is room, so that the broker holds back the rest. Paho
// must not take that, or a large packet on a thin line, for a dead broker: its pings are answered here as
// long as bytes come or are held back.
type conn struct {
	net.Conn
	in      *inbox // nil: messages are dropped
	closed  chan struct{}
	closing sync.Once
	pinged  chan struct{} // paho has sent PINGREQ

	expected atomic.Int32 // codes of the SUBACK that paho waits for

	// Only the goroutine that reads uses these.
	framer    *mqttwire.Framer
	buffer    []byte
	forward   []byte // packets for paho
	connected bool   // CONNACK has come
	err       error  // of reading; returned after forward
}

func newConn(raw net.Conn, in *inbox) *conn {
	c := &conn{Conn: raw, in: in, closed: make(chan struct{}), pinged: make(chan struct{}, 1), buffer: make([]byte, 32<<10)}
	c.framer = mqttwire.NewFramer(in.limit)
	return c
}

// Read returns the packets for paho. It reads on as long as there are only messages.
func (c *conn) Read(p []byte) (int, error) {
	for len(c.forward) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		if c.wait() {
			c.read()
		}
	}
	n := copy(p, c.forward)
	if c.forward = c.forward[n:]; len(c.forward) == 0 {
		c.forward = nil
	}
	return n, nil
}

// wait waits until there is room for messages. It returns false when there is something else to do first.
func (c *conn) wait() bool {
	select {
	case <-c.in.room():
		return true
	default:
	}
	select {
	case <-c.in.room():
		return true
	case <-c.pinged:
		c.forward = append(c.forward, pingresp...)
	case <-c.closed:
		c.err = net.ErrClosed
	}
	return false
}

func (c *conn) read() {
	n, err := c.Conn.Read(c.buffer)
	if n > 0 {
		select {
		case <-c.pinged: // the broker lives, and its answer may be behind something large
			c.forward = append(c.forward, pingresp...)
		default:
		}
		if !c.connected && !c.framer.Within() && c.buffer[0] != mqttwire.Connack<<4 {
			err = errNotMQTT // such as HTTP, whose text would be taken for the length of a packet
		} else if e := c.framer.Feed(c.buffer[:n], c.packet); e != nil {
			err = e
		}
	}
	c.err = err
}

// packet looks at one packet of the broker. Between packets, pingresp may stand in c.forward.
func (c *conn) packet(p mqttwire.Packet) error {
	if !c.connected {
		if p.Type() != mqttwire.Connack || p.Length != 2 {
			return errNotMQTT
		}
		c.connected = true
		c.forward = p.Append(c.forward)
		return nil
	}
	switch p.Type() {
	case mqttwire.Publish:
		c.in.publish(p)
	case mqttwire.Pubrel:
		if len(p.Body) == 2 {
			_, err := c.Write([]byte{mqttwire.Pubcomp << 4, 2, p.Body[0], p.Body[1]})
			return err
		}
	case mqttwire.Puback, mqttwire.Unsuback:
		if p.Length == 2 {
			c.forward = p.Append(c.forward)
		}
	case mqttwire.Suback:
		if len(p.Body) >= 2 {
			p.Body = c.codes(p.Body)
			c.forward = p.Append(c.forward)
		}
	case mqttwire.Pingresp:
		c.forward = append(c.forward, pingresp...)
	}
	return nil // others do not come from a broker
}

// refusedCode is the code of a filter that the broker refuses (MQTT 3.1.1, section 3.9.3).
const refusedCode = 0x80

// codes makes the number of codes in a SUBACK that of the filters that were asked for.
func (c *conn) codes(body []byte) []byte {
	want := 2 + int(c.expected.Load())
	for len(body) < want {
		body = append(body, refusedCode)
	}
	return body[:want]
}

// Write sends whole packets. It may be called concurrently.
func (c *conn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(dialTimeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(b)
	if len(b) == 2 && b[0] == mqttwire.Pingreq<<4 {
		select {
		case c.pinged <- struct{}{}:
		default:
		}
	}
	return n, err
}

// Close ends a Read that waits for room, too.
func (c *conn) Close() error {
	c.closing.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
