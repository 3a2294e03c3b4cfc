package streams

import (
	"context"
	"io"
	"sync"
	"time"
)

// ReaderOptions configure a Reader.
type ReaderOptions struct {
	// Queue is how many access units may wait for the reader; default 256. A reader that prefers
	// the newest frames to all frames sets a small number.
	Queue int

	// Backfill starts the reader with the current GOP, from the ring, so that it can show a frame
	// at once. Without it, or when the stream has been silent for longer than LiveWithin, the reader
	// starts with the next keyframe.
	Backfill bool

	// Since starts the reader in the past, from the ring: at the newest keyframe that had arrived by then, or at the
	// oldest one that is left. The zero time asks for nothing of the past. It comes before Backfill.
	Since time.Time

	// Audio includes the stream's audio. Without it the reader receives video only.
	Audio bool
}

func (o ReaderOptions) withDefaults() ReaderOptions {
	if o.Queue <= 0 {
		o.Queue = 256
	}
	return o
}

// Reader receives the access units of a Stream. It always starts with a keyframe, and continues
// with one after a loss.
type Reader struct {
	stream *Stream

	// queue is bounded: when it is full, the access unit and everything up to the next keyframe are
	// dropped and counted in Stats.Dropped.
	queue chan *AccessUnit

	// The stream's mu guards these.
	needKeyframe bool // only a keyframe may come next
	dropping     bool // since an access unit found the queue full
	skipLeading  bool // the GOP under way is the first after a start or a loss

	audio bool

	backfill []*AccessUnit // only Next uses it; comes before the queue

	done chan struct{}
	once sync.Once
}

// enqueue never blocks. It reports false when u was dropped because the queue was full; waiting for
// the first keyframe is no loss. The stream's mu is held.
func (r *Reader) enqueue(u *AccessUnit) bool {
	switch {
	case u.Codec.IsAudio():
		return r.enqueueAudio(u)
	case r.needKeyframe && !u.Keyframe:
		return !r.dropping
	case u.Leading && r.skipLeading:
		return true
	}
	select {
	case r.queue <- u:
		if u.Keyframe {
			r.skipLeading = r.needKeyframe
		}
		r.needKeyframe, r.dropping = false, false
		return true
	default:
		r.needKeyframe, r.dropping = true, true
		return false
	}
}

// enqueueAudio drops audio while the reader waits for a keyframe. A unit that finds the queue full is
// lost alone. The stream's mu is held.
func (r *Reader) enqueueAudio(u *AccessUnit) bool {
	if !r.audio {
		return true
	}
	if r.needKeyframe {
		return !r.dropping
	}
	select {
	case r.queue <- u:
		return true
	default:
		return false
	}
}

// Next waits for the next access unit and returns it. It returns io.EOF after Close, and ctx's error
// when ctx ends. One goroutine at a time may call it.
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

// Close closes the reader; a concurrent Next returns io.EOF. It may be called more than once and from
// any goroutine.
func (r *Reader) Close() {
	r.once.Do(func() {
		r.stream.remove(r)
		close(r.done)
	})
}
