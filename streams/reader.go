package streams

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
)

// ReaderOptions says how a reader wants its units.
type ReaderOptions struct {
	// Queue is how many units wait for the reader at most; default 256. A reader that cares
	// for the present more than for completeness asks for few.
	Queue int

	// Backfill starts the reader with the group of pictures that is under way, from the
	// ring, so that it can show a picture at once. Without it the reader starts with the next
	// key unit.
	Backfill bool
}

func (o ReaderOptions) withDefaults() ReaderOptions {
	if o.Queue <= 0 {
		o.Queue = 256
	}
	return o
}

// Reader receives the units of a Stream. What it receives always starts with a key unit, and
// after a loss goes on with one.
type Reader struct {
	stream *Stream

	// queue is bounded: when it is full, the unit and everything up to the next key unit are
	// dropped and counted.
	queue chan *AccessUnit

	// The stream's mu guards these.
	needKey bool // only a key unit may come next
	losing  bool // since a unit found the queue full

	backfill []*AccessUnit // only Next touches it; comes before the queue

	done    chan struct{}
	once    sync.Once
	dropped atomic.Uint64
}

// offer never blocks. It reports false when u was lost for want of room; waiting for the first key
// unit is no loss. The stream's mu is held.
func (r *Reader) offer(u *AccessUnit) bool {
	if !r.needKey || u.Keyframe {
		select {
		case r.queue <- u:
			r.needKey, r.losing = false, false
			return true
		default:
			r.needKey, r.losing = true, true
		}
	}
	if r.losing {
		r.dropped.Add(1)
	}
	return !r.losing
}

// Next returns the next unit and waits for it. It returns io.EOF after Close, and ctx's error when ctx
// ends. One goroutine calls it at a time.
func (r *Reader) Next(ctx context.Context) (*AccessUnit, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case <-r.done:
		return nil, io.EOF
	default:
	}
	if len(r.backfill) > 0 {
		u := r.backfill[0]
		r.backfill[0] = nil
		r.backfill = r.backfill[1:]
		return u, nil
	}
	select {
	case u := <-r.queue:
		return u, nil
	case <-r.done:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close ends the reader; a Next under way returns io.EOF. It may be called more than once and from
// any goroutine.
func (r *Reader) Close() {
	r.once.Do(func() {
		r.stream.remove(r)
		close(r.done)
	})
}

// Dropped returns how many units the reader has lost because it was too slow.
func (r *Reader) Dropped() uint64 { return r.dropped.Load() }

// Waiting returns how many units wait in the reader's queue now.
func (r *Reader) Waiting() int { return len(r.queue) }
