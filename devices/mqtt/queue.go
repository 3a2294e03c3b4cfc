package mqtt

import (
	"sync"

	"gridpost/devices"
)

// Bounds of a queue. A message of QoS 0 is lost when either is reached. One of QoS 1 must not be
// lost: then the connection is closed, and the broker sends again what was not acknowledged.
const (
	queueMessages = 4096
	queueBytes    = 16 << 20
)

// queue holds messages between paho's goroutine and Run's.
type queue struct {
	ready    chan struct{} // the queue may not be empty
	overflow chan struct{} // a message that must not be lost did not fit

	mu      sync.Mutex
	entries []queued
	bytes   int
}

// queued is a message and how to acknowledge it; skip is one that is only to be acknowledged.
type queued struct {
	message devices.Message
	ack     func()
	skip    bool
}

func newQueue() *queue {
	return &queue{ready: make(chan struct{}, 1), overflow: make(chan struct{}, 1)}
}

// push never blocks. It returns false when a message of QoS 0 did not fit.
func (q *queue) push(e queued) bool {
	q.mu.Lock()
	full := len(q.entries) >= queueMessages || q.bytes+len(e.message.Payload) > queueBytes
	if !full {
		q.entries = append(q.entries, e)
		q.bytes += len(e.message.Payload)
	}
	q.mu.Unlock()
	switch {
	case !full:
		notify(q.ready)
	case e.skip || e.message.Durable:
		notify(q.overflow)
	default:
		return false
	}
	return true
}

func (q *queue) pop() (queued, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.entries) == 0 {
		q.entries = nil // release the memory of a burst
		return queued{}, false
	}
	e := q.entries[0]
	q.entries[0] = queued{}
	q.entries = q.entries[1:]
	q.bytes -= len(e.message.Payload)
	return e, true
}

func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
