package streams

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestOldGOPIsNotLive: what the ring holds is the past once nothing more comes, or once another session has begun.
func TestOldGOPIsNotLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		src := newSource(s, 10)
		backfill := func() []int {
			r := s.Subscribe(ReaderOptions{Backfill: true})
			defer r.Close()
			return drain(t, r)
		}
		src.publish(13)
		time.Sleep(LiveWithin)
		wantRange(t, backfill(), 10, 13)
		time.Sleep(time.Millisecond)
		wantRange(t, backfill(), 0, 0)

		src.publish(1) // frames come again, and with them their GOP counts
		wantRange(t, backfill(), 10, 14)

		src.session = 2
		src.publish(3) // 14 to 16 depend on what the new connection never sent
		wantRange(t, backfill(), 0, 0)
		src.publish(5)
		wantRange(t, backfill(), 20, 22)
	})
}

// TestLateReaderWaitsForTheNextKeyframe where there is no live GOP to begin with.
func TestLateReaderWaitsForTheNextKeyframe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		src := newSource(s, 10)
		src.publish(13)
		time.Sleep(time.Minute)
		r := s.Subscribe(ReaderOptions{Backfill: true})
		defer r.Close()
		src.publish(10)
		wantRange(t, drain(t, r), 20, 23)
	})
}

func TestGOPAtATime(t *testing.T) {
	s := New(Options{})
	if got := s.GOPAt(time.Now()); got != nil {
		t.Errorf("an empty stream gives %d access units", len(got))
	}
	src := newSource(s, 10)
	src.publish(37)
	for _, c := range []struct {
		at       time.Duration
		from, to int // numbers of the first and the last access unit
	}{
		{0, 0, 0},
		{-time.Hour, 0, 0},
		{13 * 40 * time.Millisecond, 10, 13},
		{13*40*time.Millisecond + 19*time.Millisecond, 10, 13},
		{13*40*time.Millisecond + 21*time.Millisecond, 10, 14},
		{19*40*time.Millisecond + 21*time.Millisecond, 20, 20},
		{time.Hour, 30, 36},
	} {
		got := s.GOPAt(src.start.Add(c.at))
		var numbers []int
		for _, u := range got {
			numbers = append(numbers, int(u.PTS/(40*time.Millisecond)))
		}
		wantRange(t, numbers, c.from, c.to+1)
	}
}
