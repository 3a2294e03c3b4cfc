package streams

import (
	"slices"
	"sync"
	"time"
)

// Options of a Stream. The zero value of each field takes the default that it names.
type Options struct {
	Name         string        // for the reader of a log; the stream itself does not use it
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

// Stream hands the units of one source to any number of readers and keeps the last seconds
// of them. It needs no goroutine of its own and no closing. Its methods may be called
// concurrently; only Publish has one caller at a time.
type Stream struct {
	o Options

	mu      sync.Mutex
	ring    ring
	readers []*Reader
	session uint32 // of the last unit
	total   Stats
}

// Stats counts what went through a Stream since it was made.
type Stats struct {
	AccessUnits uint64    // units published
	Keyframes   uint64    // of which decoding can start at
	Bytes       uint64    // coded bytes published
	Dropped     uint64    // units that a reader could not take, summed over the readers, also those gone
	Last        time.Time // Arrived of the last unit; zero before the first

	Readers         int           // that are open now
	RingAccessUnits int           // units that the ring holds now
	RingBytes       int           // memory that the ring holds now, in bytes, with bookkeeping
	RingSpan        time.Duration // between the ring's first unit and its last
}

// New returns an empty stream.
func New(o Options) *Stream {
	o = o.withDefaults()
	return &Stream{o: o, ring: ring{keep: o.RingDuration, keepBytes: o.RingBytes}}
}

// Name returns the name that the stream was made with.
func (s *Stream) Name() string { return s.o.Name }

// Publish gives u to the ring and to every reader. It never blocks: a reader whose queue is
// full loses u and everything up to the next key unit. There is one publisher at a time, and
// u must not change any more.
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
	fresh := u.Session != s.session
	s.session = u.Session

	s.ring.push(u, size)
	for _, r := range s.readers { // offering never blocks, so the lock is short
		if fresh {
			r.needKey = true // pictures of the new connection build on nothing of the old one
		}
		if !r.offer(u) {
			s.total.Dropped++
		}
	}
}

// Subscribe returns a reader of the units published from now on. The caller closes it.
func (s *Stream) Subscribe(o ReaderOptions) *Reader {
	o = o.withDefaults()
	r := &Reader{
		stream:  s,
		queue:   make(chan *AccessUnit, o.Queue),
		done:    make(chan struct{}),
		needKey: true,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.Backfill {
		r.backfill = s.ring.lastGroup()
		r.needKey = len(r.backfill) == 0
	}
	s.readers = append(s.readers, r)
	return r
}

// Since returns the units that the ring holds of the time from..to, by Arrived: whole groups of
// pictures, so the first unit is a key unit at or before from if the ring goes back that far, and the
// last one ends the group that covers to, or is the newest. Session 0 means any connection.
// The result is nil when nothing of that time is held.
func (s *Stream) Since(session uint32, from, to time.Time) []*AccessUnit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ring.since(session, from, to)
}

// Stats returns the counts up to now.
func (s *Stream) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.total
	st.Readers = len(s.readers)
	st.RingAccessUnits = s.ring.n
	st.RingBytes = s.ring.bytes
	st.RingSpan = s.ring.span()
	return st
}

// remove forgets r.
func (s *Stream) remove(r *Reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers = slices.DeleteFunc(s.readers, func(other *Reader) bool { return other == r })
}
