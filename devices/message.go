package devices

import "time"

// MaxMessage bounds the payload of a Message in bytes; brokers and subscribers drop and count
// what is longer.
const MaxMessage = 64 << 10

// Message is what a sensor published, before it is decoded. Its payload is not to be trusted, and
// must not be changed.
type Message struct {
	Topic    string
	Payload  []byte
	Retained bool      // the broker had stored it before; it may be old
	Durable  bool      // the sender waits for an acknowledgement (QoS 1 or 2)
	Received time.Time // when it reached this machine, by its wall clock
}
