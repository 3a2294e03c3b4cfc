package webrtc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestAllowanceByPriority: random publications together stay within the rate; none of a higher priority gets less because
// of one of a lower priority, but for leastShare; and all of the rate is used if it is needed.
func TestAllowanceByPriority(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 10))
	for range 2000 {
		a := &Allowance{}
		a.Set(1e6 * (0.1 + 10*r.Float64()))
		parts := map[*allowed]demand{}
		needed := 0.0
		for range 1 + r.IntN(6) {
			d := demand{bits: 1e6 * (0.1 + 5*r.Float64()), priority: r.IntN(4)}
			p := a.join()
			p.share(d)
			parts[p] = d
			needed += d.bits
		}
		used := 0.0
		for p, d := range parts {
			used += min(d.bits, p.share(d))
		}
		if used > 1.0001*a.rate || used < 0.85*min(needed, a.rate) {
			t.Fatalf("%.0f of %.0f bit/s are shared among %+v", used, a.rate, parts)
		}
		alone := &Allowance{}
		alone.Set(a.rate)
		highest := a.priorities()[len(a.priorities())-1]
		for _, d := range parts {
			if d.priority == highest {
				alone.join().share(d)
			}
		}
		with, without := 0.0, 0.0
		for _, d := range parts {
			if d.priority == highest {
				with += min(d.bits, a.part(highest))
				without += min(d.bits, alone.part(highest))
			}
		}
		if with < (1-leastShare)*without-1 {
			t.Fatalf("%.0f bit/s for the highest priority, %.0f without the others: %+v", with, without, parts)
		}
	}
}

// TestDisplacedPublication: on a line without a bound, a publication of a lower priority makes room for one that finds
// the line full.
func TestDisplacedPublication(t *testing.T) {
	a := &Allowance{}
	urgent, other := a.join(), a.join()
	if got := other.share(demand{bits: 4e6}); got != maxBudget {
		t.Errorf("%.0f bit/s while the line is free", got)
	}
	if got := urgent.share(demand{bits: 4e6, priority: 3, congested: true}); got != maxBudget {
		t.Errorf("%.0f bit/s for the urgent one", got)
	}
	if got := other.share(demand{bits: 4e6, congested: true}); got != displacedShare*4e6 {
		t.Errorf("%.0f bit/s while the urgent one finds the line full", got)
	}
	urgent.leave()
	if got := other.share(demand{bits: 4e6, congested: true}); got != maxBudget {
		t.Errorf("%.0f bit/s after it has left", got)
	}
}

// TestUrgentCameraFirst: of four cameras of 2 Mbit/s on 4 Mbit/s, the one with the worst open incident keeps all of its
// frames, and the others show at least some.
func TestUrgentCameraFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &Allowance{}
		a.Set(4e6)
		var running sync.WaitGroup
		list := make([]*testStream, 4)
		for i := range list {
			list[i] = &testStream{keyframe: 60_000, frame: 9_000, gop: 50, allowance: a}
			if i == 2 {
				list[i].priority = 3
			}
			running.Go(func() { list[i].run(t, 100e6, 10, time.Minute, nil, nil) })
		}
		running.Wait()
		for i, ts := range list {
			share := float64(len(ts.link.frames)) / float64(ts.sent)
			t.Logf("camera %d of priority %d: %.2f of the frames, %+v", i, ts.priority, share, ts.last)
			if ts.priority > 0 && share < 0.97 || share < 0.005 {
				t.Errorf("camera %d of priority %d: %.2f of the frames passed", i, ts.priority, share)
			}
		}
	})
}

// TestFourViewsLeaveRoomForAlerts: an edge publishes four cameras of 2 Mbit/s over an uplink of 4 Mbit/s, without a bound
// that is configured. Alerts pass within a second (p95), whether the line's queue is short or long, and every camera
// shows something.
func TestFourViewsLeaveRoomForAlerts(t *testing.T) {
	for _, queue := range []int{64 << 10, 512 << 10} { // 130 ms, 1 s
		t.Run(fmt.Sprint(queue), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				line := newTestLink(t, 4e6, queue, 20*time.Millisecond, newSender(testFeed(), func(uint32) {}))
				a := alerts{bytes: 1200, every: 500 * time.Millisecond}
				var waiting atomic.Bool
				var shared Allowance
				var running sync.WaitGroup
				list := make([]testStream, 4)
				for i := range list {
					list[i] = testStream{keyframe: 60_000, frame: 9_000, gop: 50}
					list[i].line, list[i].allowance = line, &shared
					var each func(time.Duration)
					if i == 0 {
						each = func(now time.Duration) {
							a.each(line, now)
							waiting.Store(len(a.open) > 0)
						}
					}
					running.Go(func() { list[i].run(t, 4e6, 10+12*i, time.Minute, waiting.Load, each) })
				}
				running.Wait()
				slices.Sort(a.waits)
				t.Logf("%d alerts, p50 %v, p95 %v, max %v", len(a.waits), a.waits[len(a.waits)/2], a.p95(), a.waits[len(a.waits)-1])
				if len(a.waits) < 115 || a.p95() > time.Second {
					t.Errorf("%d alerts arrived, p95 %v", len(a.waits), a.p95())
				}
				for i := range list {
					t.Logf("camera %d: %d frames of %d, %+v", i, len(list[i].link.frames), list[i].sent, list[i].last)
					if len(list[i].link.frames) < 20 {
						t.Errorf("camera %d shows %d frames of %d", i, len(list[i].link.frames), list[i].sent)
					}
				}
			})
		})
	}
}
