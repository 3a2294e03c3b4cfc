package broker

import (
	"context"
	"errors"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"gridpost/devices"
	"gridpost/devices/mqttwire"
)

// Bounds of one client.
const (
	maxUnstored   = 256  // messages that are not stored yet; then nothing more is read from the client
	maxUnreleased = 1024 // messages of QoS 2 that the client may leave between PUBREC and PUBREL
)

// session is one connection that has logged in. Messages are stored while further ones are read; their
// acknowledgements go out in order.
type session struct {
	client *mochi.Client
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	acks   *mqttwire.Acks
	slots  chan struct{} // one for each message that is not stored yet
	writes sync.WaitGroup
}

func newSession(ctx context.Context, cl *mochi.Client) *session {
	s := &session{client: cl, acks: mqttwire.NewAcks(), slots: make(chan struct{}, maxUnstored)}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.writes.Go(s.acknowledge)
	return s
}

// end ends the session's goroutine; the connection is closed.
func (s *session) end() {
	s.cancel()
	s.writes.Wait()
}

// ack notes that a message is to be acknowledged; nil for QoS 0.
func (s *session) ack(pk packets.Packet) *mqttwire.Ack {
	if pk.FixedHeader.Qos == 0 {
		return nil
	}
	return s.acks.Add(pk.FixedHeader.Qos, pk.PacketID)
}

// refuse acknowledges a message that is dropped. Clients of MQTT 5 get the reason.
func (s *session) refuse(pk packets.Packet, reason byte) {
	k := s.ack(pk)
	switch {
	case k == nil:
	case s.client.Properties.ProtocolVersion == 5:
		k.Refuse(reason)
	default:
		s.received(pk)
		k.Done()
	}
}

// received notes a message of QoS 2 until PUBREL, so that mochi recognises it if it comes again, and answers
// PUBREL (MQTT 3.1.1, section 4.3.3).
func (s *session) received(pk packets.Packet) {
	if in := s.client.State.Inflight; pk.FixedHeader.Qos == 2 && in.Len() < maxUnreleased {
		in.Set(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubrec}, PacketID: pk.PacketID, Created: time.Now().Unix()})
	}
}

// store passes a message on. It blocks while too many of the client are not stored yet.
func (s *session) store(b *Broker, pk packets.Packet) {
	select {
	case s.slots <- struct{}{}:
	case <-s.ctx.Done():
		return // not acknowledged
	}
	k := s.ack(pk)
	m := devices.Message{Topic: pk.TopicName, Payload: pk.Payload, Durable: k != nil, Received: time.Now(), Source: b.o.Source}
	b.o.Handle(s.ctx, m, func(err error) {
		if errors.Is(err, devices.ErrHeld) {
			if k != nil {
				k.Pass()
			}
			return
		}
		<-s.slots
		if err != nil {
			b.notStored.Add(1)
			if k != nil {
				// Clients send again only on a new connection (MQTT 3.1.1, section 4.4).
				s.client.Stop(errNotStored)
			}
			return
		}
		b.messages.Add(1)
		if k != nil {
			s.received(pk)
			k.Done()
		}
	})
}

var errNotStored = errors.New("the message could not be stored")

// acknowledge sends acknowledgements until the session ends, those of many messages at once.
func (s *session) acknowledge() {
	var buffer []byte
	for {
		select {
		case <-s.acks.Ready():
		case <-s.ctx.Done():
			return
		}
		if buffer = s.acks.Take(buffer[:0]); len(buffer) == 0 {
			continue
		}
		if _, err := s.client.Net.Conn.Write(buffer); err != nil {
			s.client.Stop(err)
			return
		}
	}
}
