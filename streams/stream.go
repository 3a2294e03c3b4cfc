package streams

import (
	"slices"
	"sync"
	"time"
)

// Options of a Stream. The zero value of a field takes its default.
type Options struct {
	Name         string        // appears in logs; the stream itself does not use it
	RingDuration time.Duration // how much of the past the ring holds, at least; default 10 s
	RingBytes    int           // how many bytes the ring holds, at most; default 32 MiB
}

func (o Options) withDefaults() Options {
	if o.RingDuration <= 0 {
		o.RingDuration = 10 * time.Second
	}
	if o.RingBytes <= 0 {
		o.RingBytes = 32 << 20
	}
	return o
}

// Stream passes the access units of one source on to any number of readers and keeps those of the
// last seconds. It has no goroutine and needs no closing. Its methods are safe for concurrent use,
// but only one goroutine at a time may call Publish.
type Stream struct {
	o Options

	mu      sync.Mutex
	ring    ring
	readers []*Reader
	session uint32 // of the last access unit
	total   Stats
}

// Stats counts what went through a Stream since it was created.
type Stats struct {
	AccessUnits uint64    // published
	Keyframes   uint64    // of these
	Bytes       uint64    // encoded bytes published
	Dropped     uint64    // access units that a reader had no room for, summed over all readers, also closed ones
	Last        time.Time // Arrived of the last access unit; zero before the first
}

// New returns an empty stream.
func New(o Options) *Stream {
	o = o.withDefaults()
	return &Stream{o: o, ring: ring{duration: o.RingDuration, maxBytes: o.RingBytes}}
}

// Name returns the name from the options.
func (s *Stream) Name() string { return s.o.Name }

// Publish adds u to the ring and to the queue of every reader. It never blocks: a reader whose queue
// is full loses u and everything up to the next keyframe. The caller must not change u any more.
func (s *Stream) Publish(u *AccessUnit) {
	size := u.Size()
	s.mu.Lock()
	defer s.mu.Unlock()

	s.total.AccessUnits++
	s.total.Bytes += uint64(size)
	s.total.Last = u.Arrived
	if u.Keyframe {
		s.total.Keyframes++
	}
	newSession := u.Session != s.session
	s.session = u.Session

	s.ring.push(u, size)
	for _, r := range s.readers { // enqueue never blocks, so the lock is short
		if newSession {
			r.needKeyframe = true // frames of the new connection depend on none of the old one
		}
		if !r.enqueue(u) {
			s.total.Dropped++
		}
	}
}

// Subscribe returns a reader of the access units that are published from now on. The caller must
// close it.
func (s *Stream) Subscribe(o ReaderOptions) *Reader {
	o = o.withDefaults()
	r := &Reader{
		stream:       s,
		queue:        make(chan *AccessUnit, o.Queue),
		done:         make(chan struct{}),
		needKeyframe: true,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.Backfill {
		r.backfill = s.ring.newestGOP()
		r.needKeyframe = len(r.backfill) == 0
	}
	s.readers = append(s.readers, r)
	return r
}

// Stats returns the counters.
func (s *Stream) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

func (s *Stream) remove(r *Reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers = slices.DeleteFunc(s.readers, func(other *Reader) bool { return other == r })
}
