package devices

import (
	"context"
	"errors"
	"time"
)

// Bounds of the payload of a Message in bytes; brokers and subscribers drop, acknowledge and count what is
// longer.
const (
	MaxMessage     = 64 << 10
	MaxLongMessage = 1 << 20 // on the topics for which long messages are expected, such as discovery
)

// Message is what a sensor published, before it is decoded. Its payload is not to be trusted, and
// must not be changed.
type Message struct {
	Topic    string
	Payload  []byte
	Retained bool      // the broker had stored it before; it may be old
	Durable  bool      // the sender waits for an acknowledgement (QoS 1 or 2)
	Received time.Time // when it reached this machine, by its wall clock
	Source   string    // the broker through which it came, by its name in the site document
}

// Store takes a message over. It judges messages in the order of its calls, and may block while too much
// waits to be stored. It calls done from any goroutine, with nil when the message is stored, and with an
// error when it is not and will not be; then the sender must send it again. Before that it may call done
// with ErrHeld. done must not block. When ctx ends, a message that is not stored yet may be dropped.
type Store func(ctx context.Context, m Message, done func(error))

// ErrHeld says that a message must wait for something that concerns its own devices, such as an alert that
// cannot be saved. The messages behind it do not wait.
var ErrHeld = errors.New("the message waits for its own devices")
