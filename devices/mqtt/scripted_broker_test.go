package mqtt

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"gridpost/devices/address"
	"gridpost/devices/mqttwire"
)

// scripted is a broker that does exactly what a test says, over pipes, so that time can be faked.
type scripted struct {
	t       *testing.T
	session func(l *link) // what the broker does after CONNACK; the connection ends when it returns

	wg sync.WaitGroup
}

// link is one connection to a scripted broker.
type link struct {
	net.Conn
	t       *testing.T
	number  int // of the connection, from 0
	packets chan mqttwire.Packet
	out     chan []byte // as a broker queues what a client does not read
	ended   chan struct{}
	mute    atomic.Bool // pings are not answered
}

func (b *scripted) server() Server {
	n := 0
	return Server{Address: address.Broker{Host: "broker:1883", Name: "broker"}, ClientID: "edge", connect: func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		l := &link{Conn: far, t: b.t, number: n, packets: make(chan mqttwire.Packet, 20_000), out: make(chan []byte, 20_000), ended: make(chan struct{})}
		n++
		b.wg.Go(l.read)
		b.wg.Go(l.write)
		b.wg.Go(func() {
			defer func() {
				close(l.ended)
				_ = far.Close()
			}()
			if p, ok := <-l.packets; !ok || p.Type() != mqttwire.Connect {
				return
			}
			l.send([]byte{mqttwire.Connack << 4, 2, 1, 0})
			b.session(l)
		})
		return near, nil
	}}
}

// read passes on what the client sends, and answers its pings.
func (l *link) read() {
	defer close(l.packets)
	f := mqttwire.NewFramer(func(string) int { return 1 << 20 })
	buffer := make([]byte, 4096)
	for {
		n, err := l.Read(buffer)
		if err != nil {
			return
		}
		if f.Feed(buffer[:n], func(p mqttwire.Packet) error {
			if p.Type() == mqttwire.Pingreq {
				if !l.mute.Load() {
					l.send([]byte{mqttwire.Pingresp << 4, 0})
				}
				return nil
			}
			l.packets <- p
			return nil
		}) != nil {
			return
		}
	}
}

// write sends what is queued. It closes the connection when the client does.
func (l *link) write() {
	for {
		select {
		case b := <-l.out:
			if _, err := l.Write(b); err != nil {
				_ = l.Close()
				return
			}
		case <-l.ended:
			return
		}
	}
}

// send queues bytes. It returns false when the session is to end.
func (l *link) send(b []byte) bool {
	select {
	case l.out <- b:
		return true
	case <-l.ended:
		return false
	}
}

// expect returns the next packet, which is of the type given, or stops the session.
func (l *link) expect(kind byte) (mqttwire.Packet, bool) {
	p, ok := <-l.packets
	if ok && p.Type() != kind {
		l.t.Errorf("connection %d: a packet of type %d, expected %d", l.number, p.Type(), kind)
	}
	return p, ok && p.Type() == kind
}

// publish sends a message.
func (l *link) publish(qos byte, id uint16, topic, payload string) bool {
	body := append([]byte{byte(len(topic) >> 8), byte(len(topic))}, topic...)
	if qos > 0 {
		body = binary.BigEndian.AppendUint16(body, id)
	}
	return l.send(mqttwire.Packet{Head: mqttwire.Publish<<4 | qos<<1, Body: append(body, payload...)}.Append(nil))
}

// filtersOf returns the filters of a SUBSCRIBE or UNSUBSCRIBE.
func filtersOf(p mqttwire.Packet) (all []string) {
	for b := p.Body[2:]; len(b) > 1; {
		n := 2 + int(binary.BigEndian.Uint16(b))
		all = append(all, string(b[2:n]))
		b = b[n:]
		if p.Type() != mqttwire.Unsuback-1 { // the QoS
			b = b[1:]
		}
	}
	return all
}

// subscribed answers SUBSCRIBE and UNSUBSCRIBE until all have been asked, and calls each for every SUBSCRIBE
// with its filters; it returns the code of each.
func (l *link) answer(p mqttwire.Packet, code func(filter string) byte) bool {
	out := []byte{p.Body[0], p.Body[1]}
	if p.Type() == mqttwire.Suback-1 {
		for _, f := range filtersOf(p) {
			out = append(out, code(f))
		}
		return l.send(mqttwire.Packet{Head: mqttwire.Suback << 4, Body: out}.Append(nil))
	}
	return l.send(mqttwire.Packet{Head: mqttwire.Unsuback << 4, Body: out}.Append(nil))
}

func grant(string) byte { return 1 }

// until waits for the end of the connection.
func (l *link) end() {
	for range l.packets {
		continue
	}
}

// with runs a subscriber of a scripted broker in a bubble with time of its own.
func with(t *testing.T, b *scripted, o Options, do func(s *Subscriber, e *recorder)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		e := &recorder{}
		o.Server, o.OnState = b.server(), e.state
		if o.Handle == nil {
			o.Handle = e.handle
		}
		if o.Filters == nil {
			o.Filters = []string{"sensors/#"}
		}
		s, err := NewSubscriber(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		do(s, e)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		b.wg.Wait()
	})
}
