package broker

import (
	"encoding/binary"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"

	"gridpost/devices"
	"gridpost/devices/mqttwire"
)

// writeWithin bounds a write to a client that reads nothing.
const writeWithin = 15 * time.Second

// conn is the connection below mochi. mochi closes a connection because of a PUBLISH that is too long or
// whose topic is not valid, and the client sends it again; such a PUBLISH is replaced by a short one, which
// OnPublish recognises by its topic and acknowledges.
type conn struct {
	net.Conn
	limit  func(topic string) int
	freed  func() // the connection does not count as silent any more
	silent sync.Once

	// Only the goroutine that reads uses these; it is the one that mochi calls OnPublish in, too.
	framer   *mqttwire.Framer
	buffer   []byte
	forward  []byte        // packets for mochi
	version  byte          // of MQTT; 0: CONNECT has not come
	replaced []replaced    // since mochi had taken all of forward; it does not call OnPublish for each
	window   time.Duration // how long the client may be silent; 0: for ever, or it has not logged in
	err      error         // of reading; returned after forward
}

// replaced is a PUBLISH that mochi does not get to see.
type replaced struct {
	topic   string
	size    int // bytes of its payload
	tooLong bool
}

// replacedTopic, followed by an index of replaced, stands for a topic in what mochi sees. Clients cannot publish to
// it: it is not valid.
const replacedTopic = "\x01"

func newConn(raw net.Conn, limit func(topic string) int, freed func()) *conn {
	return &conn{Conn: raw, limit: limit, freed: freed, framer: mqttwire.NewFramer(limit), buffer: make([]byte, 4096)}
}

// takeReplaced returns what a PUBLISH stands for, if it was put in place of another one.
func takeReplaced(cl *mochi.Client, topic string) (replaced, bool) {
	c, ok := cl.Net.Conn.(*conn)
	digits, marked := strings.CutPrefix(topic, replacedTopic)
	i, err := strconv.Atoi(digits)
	if !ok || !marked || err != nil || i < 0 || i >= len(c.replaced) {
		return replaced{}, false
	}
	return c.replaced[i], true
}

// loggedIn says that the connection is that of a user.
func (c *conn) loggedIn() { c.silent.Do(c.freed) }

// Read returns the packets for mochi.
func (c *conn) Read(p []byte) (int, error) {
	for len(c.forward) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		c.replaced = nil
		n, err := c.Conn.Read(c.buffer)
		if e := c.framer.Feed(c.buffer[:n], c.packet); e != nil {
			err = e
		} else if n > 0 && c.window > 0 && c.framer.Within() {
			// A large packet on a thin line takes longer than a client may be silent.
			err = join(err, c.Conn.SetReadDeadline(time.Now().Add(c.window)))
		}
		c.err = err
	}
	n := copy(p, c.forward)
	if c.forward = c.forward[n:]; len(c.forward) == 0 {
		c.forward = nil
	}
	return n, nil
}

func join(err, second error) error {
	if err == nil {
		return second
	}
	return err
}

func (c *conn) packet(p mqttwire.Packet) error {
	if c.version == 0 {
		return c.connect(p)
	}
	switch {
	case p.Type() == mqttwire.Publish:
		p = c.publish(p)
	case p.Type() == mqttwire.Disconnect && c.version == 5 && len(p.Body) == 1:
		// mochi would not read a reason without properties (MQTT 5, section 3.14.2.2.1), such as that of the will.
		p.Body, p.Length = append(p.Body, 0), 2
	}
	if p.Cut() {
		return fmt.Errorf("a packet of %d bytes is no message: %w", p.Length, mqttwire.ErrFraming)
	}
	c.forward = p.Append(c.forward)
	return nil
}

// connect reads the version of MQTT (version 3.1.1, section 3.1.2). Anything else than CONNECT is left to
// mochi, which ends the connection.
func (c *conn) connect(p mqttwire.Packet) error {
	if p.Type() != mqttwire.Connect || p.Cut() || len(p.Body) < 2 {
		return fmt.Errorf("the first packet is not CONNECT: %w", mqttwire.ErrFraming)
	}
	n := 2 + int(binary.BigEndian.Uint16(p.Body))
	if len(p.Body) <= n {
		return fmt.Errorf("CONNECT ends within its header: %w", mqttwire.ErrFraming)
	}
	c.version = max(p.Body[n], 1)
	c.forward = p.Append(c.forward)
	return nil
}

// publish returns the PUBLISH that mochi sees.
func (c *conn) publish(p mqttwire.Packet) mqttwire.Packet {
	m, err := mqttwire.ParsePublish(p)
	if err != nil {
		return p // mochi ends the connection: which message it is cannot be said
	}
	r := replaced{topic: m.Topic, size: p.Length - len(p.Body) + len(m.Payload), tooLong: p.Cut()}
	if !r.tooLong && devices.CheckTopic(m.Topic) == nil && m.Topic[0] != '$' {
		return p
	}
	topic := replacedTopic + strconv.Itoa(len(c.replaced))
	c.replaced = append(c.replaced, r)
	body := append([]byte{0, byte(len(topic))}, topic...)
	if m.QoS > 0 {
		body = binary.BigEndian.AppendUint16(body, m.ID)
	}
	if c.version == 5 {
		body = append(body, 0) // no properties
	}
	return mqttwire.Packet{Head: p.Head, Body: body, Length: len(body)}
}

// SetDeadline is called by mochi before each packet.
func (c *conn) SetDeadline(t time.Time) error {
	if c.window = 0; c.version != 0 && !t.IsZero() {
		c.window = time.Until(t)
	}
	return c.SetReadDeadline(t)
}

// Write sends whole packets. It may be called concurrently.
func (c *conn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
