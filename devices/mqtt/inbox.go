package mqtt

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"gridpost/devices"
	"gridpost/devices/mqttwire"
)

// inbox takes the messages of one connection: it queues those that can be used, acknowledges the others, and
// sends the acknowledgements in the order of the messages. Methods of a nil inbox drop messages.
type inbox struct {
	s    *Subscriber
	q    *queue
	acks *mqttwire.Acks
	conn atomic.Pointer[conn] // nil until it is dialled
}

func newInbox(s *Subscriber) *inbox {
	return &inbox{s: s, q: newQueue(), acks: mqttwire.NewAcks()}
}

// alwaysRoom is for an inbox that drops.
func alwaysRoom() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func (in *inbox) room() <-chan struct{} {
	if in == nil {
		return alwaysRoom()
	}
	return in.q.hasRoom()
}

// limit returns how many bytes a payload on a topic may have.
func (in *inbox) limit(topic string) int {
	if in != nil {
		for _, f := range in.s.o.Long {
			if devices.TopicMatches(f, topic) {
				return devices.MaxLongMessage
			}
		}
	}
	return devices.MaxMessage
}

// publish takes one PUBLISH. What cannot be used is acknowledged, because the broker would send it again and
// again, and its topic is reported. It is called by the goroutine that reads and must not block.
func (in *inbox) publish(p mqttwire.Packet) {
	if in == nil {
		return
	}
	m, err := mqttwire.ParsePublish(p)
	if err == nil {
		err = devices.CheckTopic(m.Topic)
	}
	var ack *mqttwire.Ack
	if m.QoS > 0 && m.ID > 0 {
		ack = in.acks.Add(m.QoS, m.ID)
	}
	size := p.Length - len(p.Body) + len(m.Payload)
	switch {
	case err != nil:
		in.s.malformed.Add(1)
		in.s.trouble("malformed", devices.NewCause("broker_message_invalid", "broker", in.s.name(), "reason", err.Error()))
	case p.Cut() || size > in.limit(m.Topic):
		in.s.tooLong.Add(1)
		in.s.trouble("long/"+m.Topic, devices.NewCause("message_too_long", "broker", in.s.name(), "topic", shorten(m.Topic),
			"bytes", strconv.Itoa(size), "limit", strconv.Itoa(in.limit(m.Topic))))
	default:
		in.q.push(queued{
			message: devices.Message{
				Topic: m.Topic, Payload: m.Payload, Retained: m.Retained, Durable: m.QoS > 0, Received: time.Now(), Source: in.s.o.Source,
			},
			done: func(err error) { in.done(ack, err) },
		})
		return
	}
	if ack != nil {
		ack.Done()
	}
}

// done takes note of the outcome of a message. What was not stored is not acknowledged.
func (in *inbox) done(ack *mqttwire.Ack, err error) {
	switch {
	case err == nil:
		in.s.messages.Add(1)
		if ack != nil {
			ack.Done()
		}
	case errors.Is(err, devices.ErrHeld):
		if ack != nil {
			ack.Pass()
		}
	case ack == nil:
		in.s.dropped.Add(1)
	}
}

// handle passes messages on, one after the other, until ctx ends.
func (in *inbox) handle(ctx context.Context, lost context.CancelCauseFunc) {
	for {
		e, ok := in.q.pop(ctx)
		if !ok {
			return
		}
		in.s.o.Handle(ctx, e.message, func(err error) {
			e.done(err)
			if err != nil && e.message.Durable && !errors.Is(err, devices.ErrHeld) {
				// The broker sends it again on the next connection (MQTT 3.1.1, section 4.4).
				lost(fmt.Errorf("a message on %s could not be stored: %w", e.message.Topic, err))
			}
		})
	}
}

// acknowledge sends acknowledgements until ctx ends, those of many messages at once.
func (in *inbox) acknowledge(ctx context.Context, lost context.CancelCauseFunc) {
	c := in.conn.Load()
	var buffer []byte
	for {
		select {
		case <-in.acks.Ready():
		case <-ctx.Done():
		}
		if buffer = in.acks.Take(buffer[:0]); len(buffer) > 0 {
			if _, err := c.Write(buffer); err != nil {
				lost(fmt.Errorf("connection lost: %w", err))
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// shorten cuts a topic to what fits a message.
func shorten(topic string) string {
	const most = 200
	if r := []rune(topic); len(r) > most {
		return string(r[:most]) + "…"
	}
	return topic
}
