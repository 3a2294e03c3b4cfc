package devices

import "time"

// MaxMessage bounds the payload of a Message in bytes; brokers and subscribers drop and count
// what is longer.
const MaxMessage = 64 << 10

// Message is what a sensor published, before anybody has looked into it. Its payload is
// hostile until a decoder has accepted it, and immutable.
type Message struct {
	Topic    string
	Payload  []byte
	Retained bool      // the broker kept it from before; it may be old
	Durable  bool      // the sender waits for an acknowledgement (QoS 1 or 2)
	Received time.Time // when it reached this machine, by its wall clock
}
