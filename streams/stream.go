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
	session uint32    // of the last frame
	last    time.Time // when the last frame was published, by the monotonic clock
	total   Stats

	description Description
}

// LiveWithin is how long after the last frame of a stream its GOP still counts as the present. After that it
// is the past: whoever shows it as live misleads.
const LiveWithin = 5 * time.Second

// Stats counts what went through a Stream since it was created.
type Stats struct {
	AccessUnits uint64    // of video, published
	Keyframes   uint64    // of these
	AudioUnits  uint64    // access units of audio, published
	Bytes       uint64    // encoded bytes published, of video and audio
	Dropped     uint64    // access units that a reader had no room for, summed over all readers, also closed ones
	Last        time.Time // Arrived of the last access unit of video; zero before the first
	Captured    time.Time // CaptureTime of the same; zero if it is not known
}

func (t *Stats) count(u *AccessUnit, size int) {
	t.Bytes += uint64(size)
	if u.Codec.IsAudio() {
		t.AudioUnits++
		return
	}
	t.AccessUnits++
	t.Last, t.Captured = u.Arrived, u.CaptureTime
	if u.Keyframe {
		t.Keyframes++
	}
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

	s.total.count(u, size)
	newSession := u.Session != s.session && !u.Codec.IsAudio()
	if !u.Codec.IsAudio() {
		s.session, s.last = u.Session, time.Now()
	}

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
		skipLeading:  true,
		audio:        o.Audio,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !o.Since.IsZero():
		r.backfill = s.ring.since(o.Since, o.Audio)
	case o.Backfill && time.Since(s.last) <= LiveWithin:
		r.backfill = s.ring.newestGOP(s.session, o.Audio)
	}
	// What follows continues the backfill, unless the source has connected again and sent no keyframe yet.
	r.needKeyframe = len(r.backfill) == 0 || r.backfill[len(r.backfill)-1].Session != s.session
	s.readers = append(s.readers, r)
	return r
}

// GOPAt returns the frame of the ring that arrived nearest to at: all access units of its GOP that are needed to
// decode it, of which it is the last. It returns nil when the ring is empty. How far the frame is from at is for
// the caller to check.
func (s *Stream) GOPAt(at time.Time) []*AccessUnit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ring.gopAt(at)
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
