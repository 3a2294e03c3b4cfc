package webrtc

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
)

// TestLadderModel drives a ladder with random lines and wishes that are fulfilled, or not: it never wants the rung that
// it is on, it steps down after stepDownAfter of pressure at the earliest, and up after stepUpAfter without any.
func TestLadderModel(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 10))
		l := newLadder()
		now := time.Unix(1000, 0)
		l.judge(false, now)
		var bad, good time.Duration // without a pause
		congested := false
		for range 5000 {
			step := time.Duration(20+r.IntN(200)) * time.Millisecond
			now = now.Add(step)
			if r.IntN(40) == 0 {
				congested = r.IntN(2) == 0
			}
			if congested {
				bad, good = bad+step, 0
			} else {
				bad, good = 0, good+step
			}
			l.judge(congested, now)
			select {
			case to := <-l.wanted:
				if to == l.rung {
					t.Fatalf("seed %d: it wants the %s stream, which it has", seed, to)
				}
				if to == MainStream && good < stepUpAfter-judgeLongest {
					t.Fatalf("seed %d: a step up after %v", seed, good)
				}
				if to == SubStream && bad == 0 {
					t.Fatalf("seed %d: a step down while the line carries the stream", seed)
				}
				if r.IntN(3) > 0 {
					l.stepped(to, now)
					bad, good = 0, 0
				}
			default:
			}
			if l.upAfter < stepUpAfter || l.upAfter > stepUpLongest {
				t.Fatalf("seed %d: a step up after %v", seed, l.upAfter)
			}
		}
	}
}

// TestSwitchesAreSeamless switches a viewer at random between two feeds whose clocks have nothing in common, over either
// sender: numbers have no gap, time never runs backwards and stays near the present, each stream begins with a keyframe,
// and retransmissions have the same bytes.
func TestSwitchesAreSeamless(t *testing.T) {
	for _, transport := range []bool{false, true} {
		for seed := range uint64(5) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 11))
				feeds := []*Feed{testFeed(), testFeed()}
				writers := []*feedWriter{feeds[0].writer(), feeds[1].writer()}
				s, to := newTestSender(feeds[0])
				s.writeRTCP = discardRTCP
				run := s.run
				if transport {
					run = newPacedViewer(s).run
				}
				v := &Viewer{sender: s, codec: feeds[0].sourceCodec(), ended: make(chan struct{})}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- run(ctx); close(v.ended) }()
				n := 0
				frames := func(count int) {
					for range count {
						fillFeed(writers[0], n, 1, 50, 4)
						fillFeed(writers[1], n, 1, 25, 2)
						n++
						time.Sleep(frameTime)
						synctest.Wait()
					}
				}
				frames(60)
				for range 20 {
					to := Rung(r.IntN(2))
					switched := make(chan error, 1)
					go func() { switched <- v.Switch(ctx, feeds[to], to) }()
					frames(55)
					if err := <-switched; err != nil || v.Rung() != to || s.feed != feeds[to] {
						t.Fatalf("switching to the %s stream: %v, it is sent the %s stream", to, err, v.Rung())
					}
				}
				checkSeamless(t, to.headers)
				cancel()
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				if err := v.Switch(t.Context(), feeds[0], MainStream); !errors.Is(err, ErrClosedByPeer) {
					t.Error("a switch after the end:", err)
				}
				for i, f := range feeds {
					if len(f.subscribers) > 0 {
						t.Errorf("feed %d still has %d subscribers", i, len(f.subscribers))
					}
				}
			})
		}
	}
}

func checkSeamless(t *testing.T, headers []rtp.Header) {
	t.Helper()
	for i := 1; i < len(headers); i++ {
		a, b := headers[i-1], headers[i]
		if b.SequenceNumber != a.SequenceNumber+1 || int32(b.Timestamp-a.Timestamp) < 0 {
			t.Fatalf("packet %d: %v after %v", i, b, a)
		}
	}
	took := float64(headers[len(headers)-1].Timestamp-headers[0].Timestamp) / clockRate
	if want := (60 + 20*55) * frameTime.Seconds(); took < want-3 || took > want+1 {
		t.Errorf("the timestamps span %.1f s, want about %.1f s", took, want)
	}
}

// TestSwitchIsWithdrawn: a switch to a feed that has no keyframe ends with its context, and nothing changes.
func TestSwitchIsWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main, empty := testFeed(), testFeed()
		fillFeed(main.writer(), 0, 10, 50, 2)
		s, _ := newTestSender(main)
		s.writeRTCP = discardRTCP
		v := &Viewer{sender: s, codec: main.sourceCodec(), ended: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.run(ctx) }()
		limited, stop := context.WithTimeout(ctx, time.Second)
		defer stop()
		if err := v.Switch(limited, empty, SubStream); !errors.Is(err, context.DeadlineExceeded) || v.Rung() != MainStream {
			t.Errorf("%v, it is sent the %s stream", err, v.Rung())
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || len(empty.subscribers) > 0 {
			t.Errorf("%v, %d subscribers of the feed that was not taken", err, len(empty.subscribers))
		}
	})
}
