package webrtc

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
)

// fourMbit is a usual main stream: 3.9 Mbit/s, a keyframe of 150 kB every two seconds.
func fourMbit() testStream { return testStream{keyframe: 150_000, frame: 17_000, gop: 50} }

// TestThinLine publishes over 64 kbit/s with a queue of 4 s, which alerts share. The queue is full at
// the beginning only, keyframes pass where the line carries them, and the line is probed otherwise.
func TestThinLine(t *testing.T) {
	for _, test := range []struct {
		name            string
		keyframe, frame int
		gop             int
		least           int // frames that pass in three minutes
	}{
		{"4 Mbit/s", 150_000, 17_000, 50, 0}, // a keyframe would take 24 s
		{"1 Mbit/s", 45_000, 4_000, 50, 15},
		{"200 kbit/s", 10_000, 800, 50, 80},
		{"one GOP a minute", 30_000, 4_000, 1500, 2},
		{"keyframes alone", 40_000, 4_000, 1, 15},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts := testStream{keyframe: test.keyframe, frame: test.frame, gop: test.gop}
				a := alerts{bytes: 1200, every: 2 * time.Second}
				ts.run(t, 64_000, 30, 3*time.Minute, nil, func(now time.Duration) { a.each(ts.link, now) })
				st := ts.last
				t.Logf("%.0f kbit/s: %d frames of %d, queue above 1 s for %v at most, p95 %v, alerts p95 %v, max %v, %+v",
					ts.bitrate()/1000, len(ts.link.frames), ts.sent, ts.longest(0, time.Second), ts.percentile(0.95, 10*time.Second), a.p95(), slices.Max(a.waits), st)
				if d := ts.longest(0, time.Second); d > 4*time.Second {
					t.Errorf("the queue was longer than 1 s for %v", d)
				}
				if d := ts.longest(10*time.Second, 1500*time.Millisecond); d > time.Second {
					t.Errorf("after the start the queue was longer than 1.5 s for %v", d)
				}
				if a.p95() > 2*time.Second || slices.Max(a.waits) > 8*time.Second || len(a.open) > 1 {
					t.Errorf("alerts wait for %v (p95), %v at most; %d did not pass", a.p95(), slices.Max(a.waits), len(a.open))
				}
				if !st.Congested || st.Budget < minBudget || st.Budget > 200_000 {
					t.Errorf("congested %t with a budget of %d bit/s", st.Congested, st.Budget)
				}
				if len(ts.link.frames) < test.least {
					t.Errorf("%d frames passed, want %d", len(ts.link.frames), test.least)
				}
				if test.least == 0 && (st.Pauses < 3 || st.Pauses > 20 || st.Probes < 3) {
					t.Errorf("%d pauses, %d probes", st.Pauses, st.Probes)
				}
				if st.DroppedFrames == 0 || st.DroppedFrames > uint64(ts.sent) {
					t.Errorf("%d frames of %d are counted as dropped", st.DroppedFrames, ts.sent)
				}
			})
		})
	}
}

// TestLineThatOthersFill leaves the line to the alerts that need most of it.
func TestLineThatOthersFill(t *testing.T) {
	for _, others := range []int{24_000, 48_000} {
		synctest.Test(t, func(t *testing.T) {
			ts := testStream{keyframe: 10_000, frame: 800, gop: 50}
			a := alerts{bytes: 1200, every: time.Second * 1200 * 8 / time.Duration(others)}
			ts.run(t, 64_000, 30, 3*time.Minute, nil, func(now time.Duration) { a.each(ts.link, now) })
			if a.p95() > 5*time.Second || slices.Max(a.waits) > 10*time.Second {
				t.Errorf("%d bit/s of alerts wait for %v (p95), %v at most", others, a.p95(), slices.Max(a.waits))
			}
			if st := ts.last; !st.Congested {
				t.Errorf("%d bit/s of alerts: %+v", others, st)
			}
		})
	}
}

// TestFastLine: where the line carries the stream, every frame passes, a burst is paced, and the first
// frame comes early, to a hub and to a viewer.
func TestFastLine(t *testing.T) {
	for _, to := range []struct{ viewer, transport bool }{{}, {viewer: true}, {viewer: true, transport: true}} {
		synctest.Test(t, func(t *testing.T) {
			ts := fourMbit()
			ts.viewer, ts.transport = to.viewer, to.transport
			ts.run(t, 100e6, 30, 30*time.Second, nil, nil)
			if first := ts.link.frames[0].Sub(ts.begun); first > keyframeTime+2*frameTime {
				t.Errorf("the first frame came after %v", first)
			}
			if ts.link.largest > maxSegment {
				t.Errorf("%d packets left in one go", ts.link.largest)
			}
			cached := ts.keyframe + 29*ts.frame
			if d := ts.link.frames[29].Sub(ts.link.frames[0]); d < 50*time.Millisecond || d > 500*time.Millisecond {
				t.Errorf("the cached GOP of %d bytes left in %v", cached, d)
			}
			st := ts.last
			if late := ts.sent - len(ts.link.frames); late > 1 || st.DroppedFrames != 0 || st.Dropped != 0 || ts.link.lost != 0 || st.Congested {
				t.Errorf("%d frames of %d passed, %d packets were lost, %+v", len(ts.link.frames), ts.sent, ts.link.lost, st)
			}
		})
	}
}

// TestLines between the extremes are used well, and what they do not carry is left out in whole
// GOPs.
func TestLines(t *testing.T) {
	for _, test := range []struct {
		rate  float64
		least float64 // share of the frames that pass
		lost  float64 // share of the packets that may be lost
	}{
		{1e6, 0.01, 0.1}, {3e6, 0.4, 0.1}, {4.5e6, 0.9, 0.1}, {10e6, 0.99, 0.05}, {20e6, 0.99, 0.05},
	} {
		synctest.Test(t, func(t *testing.T) {
			ts := fourMbit()
			ts.run(t, test.rate, 30, time.Minute, nil, nil)
			share, lost := float64(len(ts.link.frames))/float64(ts.sent), float64(ts.link.lost)/float64(ts.link.packets)
			t.Logf("%.0f kbit/s: %.2f of the frames, %.3f of the packets are lost, %.0f kbit/s are used, queue p95 %v, %+v", test.rate/1000, share, lost,
				float64(ts.link.bytes)*8/60/1000, ts.percentile(0.95, 0), ts.last)
			if share < test.least || lost > test.lost {
				t.Errorf("%.0f kbit/s: %.2f of the frames passed, want %.2f; %.2f of the packets were lost", test.rate/1000, share, test.least, lost)
			}
		})
	}
}

// TestRadioLoss: a line that loses packets without being full keeps its budget.
func TestRadioLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := fourMbit()
		r := rand.New(rand.NewPCG(1, 2))
		ts.loses = func() bool { return r.IntN(100) < 3 }
		ts.run(t, 50e6, 30, time.Minute, nil, nil)
		st := ts.last
		if st.DroppedFrames != 0 || st.Congested || st.Retransmitted == 0 || len(ts.link.frames) < ts.sent*95/100 {
			t.Errorf("%d frames of %d passed, %+v", len(ts.link.frames), ts.sent, st)
		}
	})
}

// TestLineThatChanges: a line that breaks down to 64 kbit/s is not filled for long, and the stream comes back
// with it.
func TestLineThatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := fourMbit()
		var congested, free time.Duration
		ts.run(t, 20e6, 30, 4*time.Minute, nil, func(now time.Duration) {
			switch {
			case now == time.Minute:
				ts.link.setRate(64_000)
			case now == 2*time.Minute:
				ts.link.setRate(20e6)
			}
			st := ts.state.Stats()
			if now > time.Minute && st.Congested && congested == 0 {
				congested = now
			}
			if now > 2*time.Minute && !st.Congested && free == 0 {
				free = now
			}
		})
		t.Logf("congested after %v, free again after %v, queue above 1 s for %v at most", congested-time.Minute, free-2*time.Minute, ts.longest(0, time.Second))
		if congested == 0 || congested > time.Minute+3*time.Second {
			t.Errorf("congested at %v, want right after %v", congested, time.Minute)
		}
		if free == 0 || free > 3*time.Minute+30*time.Second {
			t.Errorf("free at %v, want within 90 s of %v", free, 2*time.Minute)
		}
		if d := ts.longest(0, time.Second); d > 5*time.Second {
			t.Errorf("the queue was longer than 1 s for %v", d)
		}
	})
}

// TestReceiverThatIsNotReady loses the first packets, as one does that has not finished its handshake: the
// first frame comes soon after.
func TestReceiverThatIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := fourMbit()
		ready := time.Now().Add(300 * time.Millisecond)
		ts.loses = func() bool { return time.Now().Before(ready) }
		ts.run(t, 100e6, 30, 10*time.Second, nil, nil)
		if d := ts.link.frames[0].Sub(ready); d > time.Second {
			t.Errorf("the first frame came %v after the receiver was ready", d)
		}
	})
}

// TestReceiverWithoutReports is a hub of the previous version: it gets the stream all the same.
func TestReceiverWithoutReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := fourMbit()
		ts.silent = true
		ts.run(t, 100e6, 30, time.Minute, nil, nil)
		if n := len(ts.link.frames); n < 1200 {
			t.Errorf("%d frames of %d passed", n, ts.sent)
		}
	})
}

// TestYieldSendsNothing: while Yield returns true no media leaves, not even what is asked for again;
// the packets that keep the session alive are small and few, and sending goes on with the next
// keyframe.
func TestYieldSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := testFeed()
		s, n := newTestSender(f)
		s.writeRTCP = discardRTCP
		var yield atomic.Bool
		var state PublishState
		p := newPacedSender(s, PublishOptions{Yield: yield.Load, State: &state})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.run(ctx) }()

		w := f.writer()
		next := 0
		publish := func(frames int) {
			for range frames {
				fillFeed(w, next, 1, 50, 3)
				next++
				time.Sleep(frameTime)
			}
		}
		publish(60)
		synctest.Wait()
		before := len(n.headers)
		if before != 180 {
			t.Fatalf("%d packets before, want 180", before)
		}

		yield.Store(true)
		s.receive(feedback{sequences: []uint16{n.headers[170].SequenceNumber}, keyframe: true})
		publish(500)
		synctest.Wait()
		media, alive := count(n.headers[before:])
		if media != 0 || alive < 5 || alive > 7 {
			t.Errorf("in 20 s of yielding %d packets of media and %d of padding, want none and about 6", media, alive)
		}
		if st := state.Stats(); !st.Yielding || st.Yields != 1 {
			t.Errorf("state %+v", st)
		}

		yielded := len(n.headers)
		yield.Store(false)
		publish(39) // 560 to 598: the next keyframe is 600
		synctest.Wait()
		if media, _ := count(n.headers[yielded:]); media != 0 {
			t.Errorf("%d packets of a GOP that was passed over", media)
		}
		publish(12) // 599 to 610
		synctest.Wait()
		if media, _ := count(n.headers[yielded:]); media != 11*3 {
			t.Errorf("%d packets after yielding, want 33", media)
		}
		for i := 1; i < len(n.headers); i++ {
			if n.headers[i].SequenceNumber != n.headers[i-1].SequenceNumber+1 || int32(n.headers[i].Timestamp-n.headers[i-1].Timestamp) < 0 {
				t.Fatalf("packet %d: %v after %v", i, n.headers[i], n.headers[i-1])
			}
		}
		time.Sleep(stateEvery)
		synctest.Wait()
		if st := state.Stats(); st.Yielding || st.DroppedFrames != 540 {
			t.Errorf("state %+v", st)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// count returns the packets of media and those of padding.
func count(headers []rtp.Header) (media, padding int) {
	for _, h := range headers {
		if h.Padding {
			padding++
		} else {
			media++
		}
	}
	return media, padding
}

// TestYieldOverARealConnection: the first frame after yielding is a keyframe, and the publisher knows
// its budget.
func TestYieldOverARealConnection(t *testing.T) {
	h := newHub(t)
	var yield atomic.Bool
	var state PublishState
	startWith(t, h, newCamera(10, 3000), 5, PublishOptions{Yield: yield.Load, State: &state})
	frames := 0
	var resumed time.Time
	var after []Frame
	_, err := h.play(t.Context(), PlayOptions{}, func(f Frame) bool {
		switch frames++; {
		case frames == 13:
			yield.Store(true)
			resumed = time.Now().Add(time.Second)
			time.AfterFunc(time.Second, func() { yield.Store(false) })
		case frames > 13 && f.At.After(resumed):
			after = append(after, f)
		}
		return len(after) < 20
	})
	if err != nil || len(after) != 20 || !after[0].Keyframe {
		t.Errorf("%d frames after yielding, %v", len(after), err)
	}
	if st := state.Stats(); st.Yields != 1 || st.Budget < minBudget || st.Packets == 0 {
		t.Errorf("state %+v", st)
	}
}

// TestAllowance: publications that share an allowance together send no more than it, whatever the line
// carries and whatever they would need, and none is left out.
func TestAllowance(t *testing.T) {
	for _, allowed := range []float64{0.5e6, 3e6, 6e6, 20e6} {
		synctest.Test(t, func(t *testing.T) {
			a := &Allowance{}
			a.Set(allowed)
			streams := []*testStream{{keyframe: 150_000, frame: 17_000, gop: 50}, {keyframe: 45_000, frame: 4_000, gop: 50}, {keyframe: 10_000, frame: 800, gop: 25}}
			var running sync.WaitGroup
			for _, ts := range streams {
				ts.allowance = a
				running.Go(func() {
					ts.run(t, 100e6, 30, time.Minute, nil, nil)
				})
			}
			running.Wait()
			total := 0
			for _, ts := range streams {
				total += ts.link.bytes
				if least := min(0.8*ts.bitrate(), 0.5*allowed/3); float64(ts.link.bytes)*8/60 < least {
					t.Errorf("%.0f kbit/s allowed: %d kbit/s of a stream of %.0f kbit/s passed, want %.0f", allowed/1000, ts.link.bytes*8/60_000, ts.bitrate()/1000, least/1000)
				}
			}
			if rate := float64(total) * 8 / 60; rate > 1.02*allowed+20_000 {
				t.Errorf("%.0f kbit/s left, %.0f are allowed", rate/1000, allowed/1000)
			}
		})
	}
}
