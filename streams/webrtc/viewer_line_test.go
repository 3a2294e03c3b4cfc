package webrtc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// freezes returns for how long the frames that arrived stood still in all and at most, by the definition of
// W3C webrtc-stats (freezeCount): two frames are further apart than three times the average, and by 150 ms more than it.
func freezes(frames []time.Time) (total, longest time.Duration) {
	const limit = max(3*frameTime, frameTime+150*time.Millisecond)
	for i := 1; i < len(frames); i++ {
		if d := frames[i].Sub(frames[i-1]); d > limit {
			total += d
			longest = max(longest, d)
		}
	}
	return total, longest
}

// TestViewerOnLossyLine: a viewer behind 3 % loss, both ways, sees freezes of at most 500 ms in all in a minute with a
// round trip of 50 or 100 ms, and hardly more with 200 ms, whether it sends transport-wide feedback or not.
func TestViewerOnLossyLine(t *testing.T) {
	for _, test := range []struct {
		transport bool
		delay     time.Duration // each way
		total     time.Duration
	}{
		{true, 25 * time.Millisecond, 500 * time.Millisecond},
		{true, 50 * time.Millisecond, 500 * time.Millisecond},
		{true, 100 * time.Millisecond, time.Second},
		{false, 25 * time.Millisecond, 500 * time.Millisecond},
		{false, 50 * time.Millisecond, 500 * time.Millisecond},
		{false, 100 * time.Millisecond, time.Second},
	} {
		t.Run(fmt.Sprintf("transport-wide feedback %t, %v", test.transport, test.delay), func(t *testing.T) {
			for seed := range uint64(2) {
				synctest.Test(t, func(t *testing.T) {
					r := rand.New(rand.NewPCG(seed, 3))
					ts := fourMbit()
					ts.viewer, ts.transport, ts.delay = true, test.transport, test.delay
					ts.loses = func() bool { return r.IntN(100) < 3 }
					ts.losesBack = ts.loses
					ts.run(t, 50e6, 30, time.Minute, nil, nil)
					total, longest := freezes(ts.link.player.shown)
					share := float64(ts.link.bytes) * 8 / 60 / ts.bitrate()
					t.Logf("%d frames of %d, frozen for %v in all and %v at most, playout delay %v, %.2f of the stream's bitrate sent, %+v",
						len(ts.link.frames), ts.sent, total, longest, ts.link.player.delay, share, ts.sender.stats())
					if total > test.total || longest > 500*time.Millisecond {
						t.Errorf("frozen for %v in all and %v at most", total, longest)
					}
					if st := ts.sender.stats(); st.Dropped > 0 || share > 1.35 || len(ts.link.frames) < ts.sent-30 {
						t.Errorf("%d frames of %d arrived, %.2f of the stream's bitrate was sent, %+v", len(ts.link.frames), ts.sent, share, st)
					}
					if d := ts.link.player.delay; d < 2*test.delay || d > playoutMost {
						t.Errorf("the playout delay is %v", d)
					}
				})
			}
		})
	}
}

// TestFreeLineHasNoPlayoutDelay: where nothing is lost, and where a queue was too short once, frames are shown as they
// arrive.
func TestFreeLineHasNoPlayoutDelay(t *testing.T) {
	for name, lossy := range map[string]bool{"no loss": false, "one full queue": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts := fourMbit()
				ts.viewer, ts.transport, ts.delay = true, true, 50*time.Millisecond
				n := 0
				ts.loses = func() bool { n++; return lossy && n > 2000 && n <= 2010 }
				longest := time.Duration(0)
				ts.run(t, 50e6, 30, 20*time.Second, nil, func(time.Duration) {
					ts.link.mu.Lock()
					defer ts.link.mu.Unlock()
					longest = max(longest, ts.link.player.delay)
				})
				if longest > 0 {
					t.Errorf("a playout delay of %v", longest)
				}
				if st := ts.sender.stats(); lossy != (st.Retransmitted > 0) {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

// TestRetransmissionsDoNotWaitForFeedback: while the first bytes in flight fill the window, what is requested is sent at once.
func TestRetransmissionsDoNotWaitForFeedback(t *testing.T) {
	f := testFeed()
	fillFeed(f.writer(), 0, 1, 50, 200)
	s, n := newTestSender(f)
	s.writeRTCP = discardRTCP
	p := newPacedViewer(s)
	now := time.Now()
	for wait := time.Duration(0); ; now = now.Add(max(wait, time.Millisecond)) {
		var err error
		if wait, err = p.advance(now); err != nil {
			t.Fatal(err)
		}
		if wait > segmentTime {
			break // nothing more is sent before feedback comes
		}
		p.control.window = min(p.control.window, 4096)
	}
	sent := len(n.headers)
	if sent == 0 || sent == 200 {
		t.Fatalf("%d packets of 200 were sent", sent)
	}
	p.onFeedback(feedback{sequences: []uint16{n.headers[0].SequenceNumber}}, now)
	if _, err := p.advance(now); err != nil {
		t.Fatal(err)
	}
	if len(n.headers) != sent+1 || n.headers[sent].SequenceNumber != n.headers[0].SequenceNumber {
		t.Errorf("%d packets were sent, then %d", sent, len(n.headers)-sent)
	}
}

// ladderedStream is a camera with a main stream and a sub-stream, whose viewer is switched as a relay does it.
type ladderedStream struct {
	main, sub testStream
	sub2main  []time.Duration // when the viewer was switched
	main2sub  []time.Duration
}

func (ls *ladderedStream) run(t *testing.T, rate float64, d time.Duration, each func(time.Duration)) {
	ctx, cancel := context.WithCancel(t.Context())
	ls.sub.feed = testFeed()
	w := accessUnitWriter{feed: ls.sub.feed}
	ended := make(chan struct{}, 2)
	go func() {
		defer func() { ended <- struct{}{} }()
		tick := time.NewTicker(frameTime)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				ls.sub.write(&w)
			}
		}
	}()
	begun := time.Now()
	ls.main.viewer, ls.main.transport = true, true
	started := false
	ls.main.run(t, rate, 30, d, nil, func(now time.Duration) {
		if each != nil {
			each(now)
		}
		if started {
			return
		}
		started = true
		v := &Viewer{sender: ls.main.sender, codec: ls.sub.feed.sourceCodec(), ended: make(chan struct{})}
		main := ls.main.feed
		go func() {
			defer func() { ended <- struct{}{} }()
			for {
				select {
				case <-ctx.Done():
					return
				case to := <-v.Wanted():
					feed := main
					if to == SubStream {
						feed = ls.sub.feed
						ls.main2sub = append(ls.main2sub, time.Since(begun))
					} else {
						ls.sub2main = append(ls.sub2main, time.Since(begun))
					}
					limited, stop := context.WithTimeout(ctx, 10*time.Second)
					if err := v.Switch(limited, feed, to); err != nil && ctx.Err() == nil {
						t.Error(err)
					}
					stop()
				}
			}
		}()
	})
	cancel()
	<-ended
	<-ended
}

// TestThinViewerGetsTheSubStream: a viewer on 2 Mbit/s is soon sent the sub-stream of a camera of 4 Mbit/s and keeps
// it, but for a few tries of the main stream; its line is not filled for long.
func TestThinViewerGetsTheSubStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := ladderedStream{main: fourMbit(), sub: testStream{keyframe: 20_000, frame: 2_000, gop: 50}}
		ls.main.queue = 128 << 10 // 500 ms
		ls.run(t, 2e6, 3*time.Minute, nil)
		st := ls.main.sender.stats()
		total, longest := freezes(ls.main.link.frames)
		t.Logf("down at %v, up at %v, %d frames, frozen %v in all, %v at most, queue p95 %v, %+v", ls.main2sub, ls.sub2main, len(ls.main.link.frames), total, longest,
			ls.main.percentile(0.95, 0), st)
		if len(ls.main2sub) == 0 || ls.main2sub[0] > 5*time.Second {
			t.Fatalf("stepped down at %v", ls.main2sub)
		}
		if n := len(ls.sub2main); n > 4 {
			t.Errorf("the main stream was tried %d times in 3 minutes", n)
		}
		if len(ls.main.link.frames) < 170*25*9/10 {
			t.Errorf("%d frames arrived", len(ls.main.link.frames))
		}
		if p := ls.main.percentile(0.95, 10*time.Second); p > 200*time.Millisecond {
			t.Errorf("the line's queue was %v (p95)", p)
		}
	})
}

// TestThinViewerDisturbsNoOther: of two viewers of a camera of 4 Mbit/s, the one on 2 Mbit/s is soon sent the sub-stream,
// and the other every frame of the main stream, of which no packet is lost or sent again.
func TestThinViewerDisturbsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := ladderedStream{main: fourMbit(), sub: testStream{keyframe: 20_000, frame: 2_000, gop: 50}}
		ls.main.queue = 128 << 10
		ctx, cancel := context.WithCancel(t.Context())
		var free *testLink
		var other *sender
		var running sync.WaitGroup
		ls.run(t, 2e6, time.Minute, func(time.Duration) {
			if free != nil {
				return
			}
			other = newSender(ls.main.feed, func(uint32) {})
			free = newViewerLink(t, 100e6, 1<<20, 10*time.Millisecond, other)
			running.Go(func() {
				if err := newPacedViewer(other).run(ctx); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
			running.Go(func() { free.watch(ctx) })
		})
		cancel()
		running.Wait()
		free.running.Wait()
		total, longest := freezes(free.player.shown)
		st := other.stats()
		t.Logf("stepped down at %v; the other viewer: %d frames of %d, frozen %v in all and %v at most, %+v", ls.main2sub, len(free.frames), ls.main.sent, total, longest, st)
		if len(ls.main2sub) == 0 || ls.main2sub[0] > 5*time.Second || ls.main.sender.stats().Switches == 0 {
			t.Errorf("the viewer on the thin line stepped down at %v", ls.main2sub)
		}
		if st.Dropped > 0 || st.Retransmitted > 0 || st.PLIs > 0 || st.Switches > 0 || free.lost > 0 || free.receiver.lost > 0 {
			t.Errorf("the other viewer: %d packets lost, %+v", free.lost, st)
		}
		if missing := ls.main.sent - len(free.frames); missing > 2 || total > 0 { // a frame may be on its way at the end
			t.Errorf("the other viewer: %d frames of %d arrived, frozen for %v", len(free.frames), ls.main.sent, total)
		}
	})
}

// TestViewerStepsUpAgain: when the line carries the main stream again, the viewer is sent that again.
func TestViewerStepsUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := ladderedStream{main: fourMbit(), sub: testStream{keyframe: 20_000, frame: 2_000, gop: 50}}
		ls.run(t, 20e6, 3*time.Minute, func(now time.Duration) {
			switch now {
			case 30 * time.Second:
				ls.main.link.setRate(2e6)
			case time.Minute:
				ls.main.link.setRate(20e6)
			}
		})
		t.Logf("down at %v, up at %v, %+v", ls.main2sub, ls.sub2main, ls.main.sender.stats())
		if len(ls.main2sub) == 0 || ls.main2sub[0] < 30*time.Second || ls.main2sub[0] > 35*time.Second {
			t.Errorf("stepped down at %v, want soon after 30 s", ls.main2sub)
		}
		if last := ls.sub2main; len(last) == 0 || last[len(last)-1] < time.Minute || last[len(last)-1] > 2*time.Minute {
			t.Errorf("stepped up at %v, want soon after 60 s", last)
		}
		if len(ls.main2sub) != len(ls.sub2main) || ls.main.sender.ladder.rung != MainStream {
			t.Errorf("at the end it is sent the %s stream", ls.main.sender.ladder.rung)
		}
	})
}

// TestGoodLineStaysOnMain: a viewer whose line carries the stream is never sent another.
func TestGoodLineStaysOnMain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 5))
		ls := ladderedStream{main: fourMbit(), sub: testStream{keyframe: 20_000, frame: 2_000, gop: 50}}
		ls.main.loses = func() bool { return r.IntN(100) < 2 }
		ls.run(t, 8e6, 2*time.Minute, nil)
		if len(ls.main2sub) > 0 || ls.main.sender.stats().Dropped > 0 {
			t.Errorf("stepped down at %v, %+v", ls.main2sub, ls.main.sender.stats())
		}
	})
}
