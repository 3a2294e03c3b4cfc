package webrtc

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestYieldSendsNothing: while Yield returns true no media leaves, not even what is asked for again;
// the packets that keep the session alive are small and few, and sending goes on with the next
// keyframe.
func TestYieldSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := testFeed()
		s, n := newTestSender(f)
		var yield atomic.Bool
		s.yield, s.state = yield.Load, &PublishState{}
		s.writeRTCP = discardRTCP
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.run(ctx) }()

		w := f.writer()
		next := 0
		shoot := func(frames int) {
			for range frames {
				fillFeed(w, next, 1, 50, 3)
				next++
				time.Sleep(frameTime)
			}
		}
		shoot(60)
		synctest.Wait()
		before := len(n.headers)
		if before != 180 {
			t.Fatalf("%d packets before, want 180", before)
		}

		yield.Store(true)
		s.feedback <- feedback{sequences: []uint16{n.headers[170].SequenceNumber}, keyframe: true}
		shoot(500)
		synctest.Wait()
		media := 0
		for _, h := range n.headers[before:] {
			if !h.Padding {
				media++
			}
		}
		if alive := len(n.headers) - before - media; media > 3 || alive < 5 || alive > 7 { // one frame may be under way
			t.Errorf("in 20 s of yielding %d packets of media and %d of padding, want none and about 6", media, alive)
		}
		if st := s.state.Stats(); !st.Yielding || st.Yields != 1 {
			t.Errorf("state %+v", st)
		}

		yielded := len(n.headers)
		yield.Store(false)
		shoot(39) // 560 to 598: the next keyframe is 600
		synctest.Wait()
		if len(n.headers) != yielded {
			t.Errorf("%d packets of a group that was passed over", len(n.headers)-yielded)
		}
		shoot(11)
		synctest.Wait()
		after := n.headers[yielded:]
		if len(after) != 10*3 {
			t.Errorf("%d packets after yielding, want 30", len(after))
		}
		for i := 1; i < len(n.headers); i++ {
			if n.headers[i].SequenceNumber != n.headers[i-1].SequenceNumber+1 || int32(n.headers[i].Timestamp-n.headers[i-1].Timestamp) < 0 {
				t.Fatalf("packet %d: %v after %v", i, n.headers[i], n.headers[i-1])
			}
		}
		if st := s.state.Stats(); st.Yielding {
			t.Errorf("state %+v", st)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestYieldingKeepsTheSession: over a real connection, padding is taken by the receiver and counts
// as no media; playing goes on with a keyframe.
func TestYieldingKeepsTheSession(t *testing.T) {
	h := newHub(t)
	c := newCamera(10, 3000)
	var yield atomic.Bool
	startWith(t, h, c, 5, PublishOptions{Yield: yield.Load})
	frames, wasYielding := 0, false
	_, err := h.play(t.Context(), PlayOptions{}, func(f Frame) bool {
		frames++
		if frames == 10 {
			yield.Store(true)
			time.AfterFunc(2*yieldEvery, func() { yield.Store(false) })
			wasYielding = true
			frames = 1000
			return true
		}
		return frames < 1020
	})
	if err != nil || !wasYielding {
		t.Errorf("playing ended with %v", err)
	}
	if n := h.feed.Stats().Packets; n == 0 {
		t.Error("nothing came")
	}
}
