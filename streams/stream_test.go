package streams

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source publishes 25 access units a second, with a keyframe every gop of them.
type source struct {
	stream  *Stream
	gop     int
	size    int
	n       int
	session uint32
	start   time.Time
}

func newSource(s *Stream, gop int) *source {
	return &source{stream: s, gop: gop, size: 100, session: 1, start: time.Unix(1e9, 0)}
}

func (s *source) at(n int) time.Time { return s.start.Add(time.Duration(n) * 40 * time.Millisecond) }

func (s *source) publish(n int) {
	for range n {
		s.stream.Publish(&AccessUnit{
			Codec: H264, Session: s.session, PTS: time.Duration(s.n) * 40 * time.Millisecond,
			Arrived: s.at(s.n), Keyframe: s.n%s.gop == 0, NALUs: [][]byte{make([]byte, s.size)},
		})
		s.n++
	}
}

// drain returns the numbers of the access units in the queue of r.
func drain(t *testing.T, r *Reader) (numbers []int) {
	t.Helper()
	for len(r.backfill) > 0 || len(r.queue) > 0 {
		u, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, int(u.PTS/(40*time.Millisecond)))
	}
	return numbers
}

func wantRange(t *testing.T, got []int, from, to int) {
	t.Helper()
	ok := len(got) == to-from
	for i := range got {
		ok = ok && got[i] == from+i
	}
	if !ok {
		t.Errorf("access units %v, want %d up to %d", got, from, to-1)
	}
}

func TestReaderStartsWithAKeyframe(t *testing.T) {
	s := New(Options{})
	src := newSource(s, 10)
	src.publish(13)
	r := s.Subscribe(ReaderOptions{})
	defer r.Close()
	src.publish(10)
	wantRange(t, drain(t, r), 20, 23)
	if n := s.Stats().Dropped; n != 0 {
		t.Errorf("waiting for the first keyframe counts as loss: %d", n)
	}
}

func TestBackfillContinuesWithoutAGap(t *testing.T) {
	s := New(Options{})
	src := newSource(s, 10)
	src.publish(13)
	r := s.Subscribe(ReaderOptions{Queue: 4, Backfill: true}) // the GOP is larger than the queue
	defer r.Close()
	src.publish(4)
	wantRange(t, drain(t, r), 10, 17)
	empty := New(Options{}).Subscribe(ReaderOptions{Backfill: true})
	defer empty.Close()
	if got := drain(t, empty); got != nil {
		t.Errorf("an empty stream gives %v", got)
	}
}

func TestSlowReaderLosesWholeGOPsAndOthersNothing(t *testing.T) {
	s := New(Options{})
	src := newSource(s, 10)
	slow := s.Subscribe(ReaderOptions{Queue: 15})
	defer slow.Close()
	fast := s.Subscribe(ReaderOptions{Queue: 100})
	defer fast.Close()

	src.publish(34) // 15 fit; up to the next keyframes the reader loses what it has no room for
	wantRange(t, drain(t, slow), 0, 15)
	src.publish(11) // 40 is the next keyframe
	wantRange(t, drain(t, slow), 40, 45)
	wantRange(t, drain(t, fast), 0, 45)
	if st := s.Stats(); st.Dropped != 25 || st.AccessUnits != 45 || st.Keyframes != 5 || st.Bytes != 4500 {
		t.Errorf("stats %+v", st)
	}
}

func TestNewSessionBeginsWithAKeyframe(t *testing.T) {
	s := New(Options{})
	src := newSource(s, 10)
	r := s.Subscribe(ReaderOptions{})
	defer r.Close()
	src.publish(5)
	src.session = 2
	src.publish(7) // 5..9 depend on what the new connection never sent
	if got := drain(t, r); len(got) != 7 || got[5] != 10 {
		t.Errorf("access units %v, want 0 to 4, 10, 11", got)
	}
}

func TestPublishNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		src := newSource(s, 25)
		var readers []*Reader
		for range 20 {
			readers = append(readers, s.Subscribe(ReaderOptions{Queue: 1})) // nobody reads them
		}
		before := time.Now()
		src.publish(10_000) // a wait would be a deadlock here, which synctest reports
		if waited := time.Since(before); waited != 0 {
			t.Errorf("publishing waited %v", waited)
		}
		for _, r := range readers {
			r.Close()
		}
	})
}

func TestNextEndsWithItsContextAndWithClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		r := s.Subscribe(ReaderOptions{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		go func() {
			time.Sleep(time.Second)
			r.Close()
			r.Close()
		}()
		if _, err := r.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("error %v", err)
		}
		newSource(s, 1).publish(3)
		if _, err := r.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("error %v after Close", err)
		}
		if n := len(s.readers); n != 0 {
			t.Errorf("%d readers are left", n)
		}
	})
}

func TestReadersComeAndGoDuringPublish(t *testing.T) {
	s := New(Options{RingDuration: time.Second})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		src := newSource(s, 5)
		for {
			select {
			case <-stop:
				return
			default:
				src.publish(1)
			}
		}
	})
	var readers sync.WaitGroup
	for i := range 8 {
		readers.Go(func() {
			for range 50 {
				r := s.Subscribe(ReaderOptions{Queue: 8, Backfill: i%2 == 0})
				last := -1
				for range 10 {
					u, err := r.Next(t.Context())
					if err != nil {
						t.Error(err)
						break
					}
					n := int(u.PTS / (40 * time.Millisecond))
					if n != last+1 && !u.Keyframe {
						t.Errorf("access unit %d after %d is no keyframe", n, last)
					}
					last = n
				}
				r.Close()
			}
		})
	}
	readers.Wait()
	close(stop)
	wg.Wait()
}

func TestRingIsBoundedInTime(t *testing.T) {
	s := New(Options{RingDuration: 4 * time.Second})
	src := newSource(s, 25)
	src.publish(25 * 60)
	span := s.ring.at(s.ring.n - 1).accessUnit.Arrived.Sub(s.ring.at(0).accessUnit.Arrived)
	if span < 4*time.Second || span > 6*time.Second {
		t.Errorf("the ring spans %v, want 4 s and at most two GOPs more", span)
	}
}

func TestRingIsBoundedInBytes(t *testing.T) {
	s := New(Options{RingDuration: time.Hour, RingBytes: 100_000})
	src := newSource(s, 25)
	src.size = 1000
	for range 1000 {
		src.publish(1)
		if s.ring.bytes > 100_000 || s.ring.n > 100 {
			t.Fatalf("the ring holds %d access units of %d bytes", s.ring.n, s.ring.bytes)
		}
	}
	if s.ring.n < 50 {
		t.Errorf("the ring holds only %d access units", s.ring.n)
	}

	endless := newSource(New(Options{RingDuration: time.Hour, RingBytes: 100_000}), 1<<30) // one keyframe, never another
	endless.size = 0
	for range 5000 {
		endless.publish(1)
		if n := endless.stream.ring.bytes; n > 100_000 {
			t.Fatalf("the ring holds %d bytes", n)
		}
	}
	if n := endless.stream.ring.n; n != 0 {
		t.Errorf("%d access units of a GOP that is too large are in the ring", n)
	}
}

// TestPublishAllocatesNothing guards the hot path: an access unit needs no allocation per reader, and none at all once
// the ring has its size.
func TestPublishAllocatesNothing(t *testing.T) {
	s := New(Options{RingDuration: time.Second})
	for range 10 {
		r := s.Subscribe(ReaderOptions{Queue: 4})
		defer r.Close()
	}
	newSource(s, 25).publish(1000)
	units := benchAccessUnits(200)
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		s.Publish(units[i%len(units)])
		i++
	}); n != 0 {
		t.Errorf("publishing an access unit allocates %v times", n)
	}
}

// benchUnits returns access units of 25 frames a second and 4 Mbit/s.
func benchAccessUnits(n int) []*AccessUnit {
	start := time.Unix(2e9, 0)
	units := make([]*AccessUnit, n)
	for i := range units {
		units[i] = &AccessUnit{
			Codec: H264, Session: 1, Arrived: start.Add(time.Duration(i) * 40 * time.Millisecond),
			Keyframe: i%50 == 0, NALUs: [][]byte{make([]byte, 20_000)},
		}
	}
	return units
}

// BenchmarkPublish measures publishing one access unit to ten readers that all receive it.
func BenchmarkPublish(b *testing.B) {
	s := New(Options{})
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	var dropped uint64
	for range 10 {
		r := s.Subscribe(ReaderOptions{})
		wg.Go(func() {
			defer r.Close()
			for {
				if _, err := r.Next(ctx); err != nil {
					return
				}
			}
		})
	}
	units := benchAccessUnits(500)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.Publish(units[i%len(units)])
		i++
	}
	dropped = s.Stats().Dropped
	cancel()
	wg.Wait()
	b.ReportMetric(float64(dropped)/float64(i), "dropped/op")
}

// BenchmarkPublishAndNext measures one access unit to ten readers in one goroutine, without the scheduler.
func BenchmarkPublishAndNext(b *testing.B) {
	s := New(Options{})
	var readers []*Reader
	for range 10 {
		r := s.Subscribe(ReaderOptions{})
		defer r.Close()
		readers = append(readers, r)
	}
	units := benchAccessUnits(500)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.Publish(units[i%len(units)])
		for _, r := range readers {
			if len(r.queue) == 0 {
				continue // no keyframe yet
			}
			if _, err := r.Next(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		i++
	}
}

// TestSinceStartsInThePast: at most one GOP before the wanted time, and goes on without a gap.
func TestSinceStartsInThePast(t *testing.T) {
	for _, c := range []struct{ since, want int }{{45, 40}, {40, 40}, {39, 30}, {-100, 10}, {1000, 50}} {
		s := New(Options{RingDuration: 1600 * time.Millisecond})
		src := newSource(s, 10)
		src.publish(53)
		r := s.Subscribe(ReaderOptions{Since: src.at(c.since), Queue: 4})
		src.publish(4)
		wantRange(t, drain(t, r), c.want, 57)
		r.Close()
	}
	s := New(Options{})
	src := newSource(s, 10)
	src.publish(15)
	src.session = 2
	src.publish(12) // 15 to 19 depend on what the new connection never sent
	r := s.Subscribe(ReaderOptions{Since: src.at(0)})
	defer r.Close()
	if got := drain(t, r); len(got) != 22 || got[14] != 14 || got[15] != 20 {
		t.Errorf("over two sessions: %v", got)
	}
}
