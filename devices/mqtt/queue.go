package mqtt

import (
	"context"
	"sync"

	"gridpost/devices"
)

// Bounds of a queue. When either is reached nothing more is read from the broker until there is room; what
// one read brought is still queued.
const (
	queueMessages = 4096
	queueBytes    = 16 << 20
)

// queue holds messages between the goroutine that reads the connection and the one that handles them.
type queue struct {
	ready chan struct{} // the queue may not be empty

	mu      sync.Mutex
	entries []queued
	bytes   int
	room    chan struct{} // closed: there is room
}

// queued is a message and what to do when it has been handled.
type queued struct {
	message devices.Message
	done    func(error)
}

func newQueue() *queue {
	q := &queue{ready: make(chan struct{}, 1), room: make(chan struct{})}
	close(q.room)
	return q
}

// hasRoom returns a channel that is closed as long as there is room, or will be closed then.
func (q *queue) hasRoom() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.room
}

func (q *queue) full() bool { return len(q.entries) >= queueMessages || q.bytes >= queueBytes }

// push never blocks.
func (q *queue) push(e queued) {
	q.mu.Lock()
	before := q.full()
	q.entries = append(q.entries, e)
	q.bytes += len(e.message.Payload)
	if !before && q.full() {
		q.room = make(chan struct{})
	}
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// pop waits for a message. It returns false when ctx ends.
func (q *queue) pop(ctx context.Context) (queued, bool) {
	for ctx.Err() == nil {
		if e, ok := q.tryPop(); ok {
			return e, true
		}
		select {
		case <-q.ready:
		case <-ctx.Done():
		}
	}
	return queued{}, false
}

func (q *queue) tryPop() (queued, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.entries) == 0 {
		q.entries = nil // release the memory of a burst
		return queued{}, false
	}
	before := q.full()
	e := q.entries[0]
	q.entries[0] = queued{}
	q.entries = q.entries[1:]
	q.bytes -= len(e.message.Payload)
	if before && !q.full() {
		close(q.room)
	}
	return e, true
}
