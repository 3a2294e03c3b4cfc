package webrtc

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
)

// viewedStream steps through a stream of 25 frames a second with a long GOP, sent to a viewer whose requests the test
// makes up.
type viewedStream struct {
	t    *testing.T
	w    *feedWriter
	s    *sender
	to   *recorder
	next int // frame
}

func newViewedStream(t *testing.T) *viewedStream {
	f := testFeed()
	v := &viewedStream{t: t, w: f.writer()}
	v.s, v.to = newTestSender(f)
	v.run(100)
	return v
}

// run sends so many frames and returns the headers that left.
func (v *viewedStream) run(frames int) []rtp.Header {
	before := len(v.to.headers)
	for range frames {
		fillFeed(v.w, v.next, 1, 250, 3)
		v.next++
		drainSender(v.t, v.s)
		time.Sleep(frameTime)
	}
	return v.to.headers[before:]
}

func (v *viewedStream) pli() { v.s.handleFeedback(feedback{keyframe: true}, time.Now()) }

// TestPLIGetsWhatIsMissing: a viewer that has requested packets and then a keyframe is sent those packets again, once;
// the whole GOP only when it goes on to request, and at intervals that double.
func TestPLIGetsWhatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newViewedStream(t)
		missing := v.to.headers[len(v.to.headers)-10].SequenceNumber
		v.s.handleFeedback(feedback{sequences: []uint16{missing}}, time.Now())
		v.run(5)
		v.pli()
		sent := v.run(5)
		again := 0
		for _, h := range sent {
			if h.SequenceNumber == missing {
				again++
			}
		}
		if again != 1 || len(sent) != 5*3+1 {
			t.Fatalf("after the first request %d packets left, %d of them the missing one", len(sent), again)
		}
		time.Sleep(resendQuiet)
		gop := 3 * v.next
		v.pli()
		if sent = v.run(1); len(sent) < gop {
			t.Fatalf("after the second request %d packets left, want the GOP of %d", len(sent), gop)
		}
	})
}

// TestPLIBackOff: a viewer that requests keyframes all the time is not sent GOPs all the time.
func TestPLIBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newViewedStream(t)
		var answers []time.Duration
		begun := time.Now()
		for time.Since(begun) < time.Minute {
			v.pli()
			if sent := v.run(5); len(sent) > 5*3 {
				answers = append(answers, time.Since(begun))
			}
		}
		if n := len(answers); n < 6 || n > 11 { // after 0, 1, 3, 7, 15 s, and every 8 s
			t.Errorf("%d GOPs in a minute, at %v", n, answers)
		}
		v.run(int(calmAfter/frameTime) + 1)
		v.pli()
		if sent := v.run(1); len(sent) <= 3 {
			t.Error("a request after a calm time was not answered")
		}
	})
}

// TestPLIBeforeAKeyframe: the camera's own keyframe is waited for if it comes soon.
func TestPLIBeforeAKeyframe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := testFeed()
		w := f.writer()
		s, to := newTestSender(f)
		sendFrames := func(from, to int) {
			for n := from; n < to; n++ {
				fillFeed(w, n, 1, 50, 3)
				drainSender(t, s)
				time.Sleep(frameTime)
			}
		}
		sendFrames(0, 147)
		before := len(to.headers)
		s.handleFeedback(feedback{keyframe: true}, time.Now()) // the next keyframe is 150
		sendFrames(147, 160)
		if n := len(to.headers) - before; n != 13*3 {
			t.Errorf("%d packets left, want the 39 of the frames", n)
		}
		before = len(to.headers)
		s.handleFeedback(feedback{keyframe: true}, time.Now())
		sendFrames(160, 161)
		if n := len(to.headers) - before; n != 11*3 {
			t.Errorf("%d packets left, want the 33 of the GOP", n)
		}
	})
}
