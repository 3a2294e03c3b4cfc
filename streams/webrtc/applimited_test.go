package webrtc

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// busyMachine returns when its processes run next, from a time on: they run for up to 65 ms, and then wait for a
// processor for up to longest.
func busyMachine(r *rand.Rand, longest time.Duration) func(time.Time) time.Time {
	var stops, goesOn time.Time
	return func(at time.Time) time.Time {
		for !goesOn.After(at) {
			if stops = goesOn; goesOn.IsZero() {
				stops = at
			}
			stops = stops.Add(time.Duration(5+r.IntN(60)) * time.Millisecond)
			goesOn = stops.Add(time.Duration(r.Int64N(int64(longest))))
		}
		if at.Before(stops) {
			return at
		}
		return goesOn
	}
}

// slowMachine needs a time for everything from the tenth second on.
func slowMachine(needs time.Duration) func(time.Time) time.Time {
	began := time.Now()
	return func(at time.Time) time.Time {
		if at.Sub(began) < 10*time.Second {
			return at
		}
		return at.Add(needs)
	}
}

// TestBusyMachine: a line that carries the stream many times over is not taken for a full one because the processes
// at its ends wait for a processor.
func TestBusyMachine(t *testing.T) {
	machines := map[string]func(seed uint64) func(time.Time) time.Time{"slow": func(uint64) func(time.Time) time.Time { return slowMachine(80 * time.Millisecond) }}
	for _, longest := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond} {
		machines[fmt.Sprintf("pauses up to %v", longest)] = func(seed uint64) func(time.Time) time.Time {
			return busyMachine(rand.New(rand.NewPCG(seed, 7)), longest) // repeatable
		}
	}
	for name, machine := range machines {
		for _, size := range [][3]int{{150_000, 17_000, 50}, {45_000, 4_000, 50}, {20_000, 4_000, 10}} {
			t.Run(fmt.Sprintf("%s, frames of %d bytes", name, size[1:]), func(t *testing.T) {
				for seed := range uint64(2) {
					synctest.Test(t, func(t *testing.T) {
						ts := testStream{keyframe: size[0], frame: size[1], gop: size[2], runs: machine(seed)}
						congested := 0
						ts.run(t, 200e6, 30, 30*time.Second, nil, func(time.Duration) {
							if ts.state.Stats().Congested {
								congested++
							}
						})
						if passed := len(ts.link.frames); passed < ts.sent*97/100 || congested > 0 || ts.last.DroppedFrames > 0 {
							t.Errorf("%d of %d frames passed; congested for %d ms, %+v", passed, ts.sent, 20*congested, ts.last)
						}
					})
				}
			})
		}
	}
}

// TestLineThatBreaksDown: a line that carries less than the camera sends from one moment on, and has room for many
// seconds of it, is noticed although the camera limits what is sent.
func TestLineThatBreaksDown(t *testing.T) {
	for _, test := range []struct {
		carries float64       // of the stream
		least   float64       // share of the frames that pass
		longest time.Duration // that a packet waits
	}{
		{0.1, 0.15, 3500 * time.Millisecond},
		{0.3, 0.15, time.Second},
		{0.5, 0.18, 700 * time.Millisecond},
		{0.8, 0.6, 800 * time.Millisecond},
		{0.95, 0.8, 600 * time.Millisecond},
		{1.05, 0.9, 600 * time.Millisecond},
		{1.3, 0.99, 400 * time.Millisecond},
		{2, 0.99, 300 * time.Millisecond},
	} {
		t.Run(fmt.Sprint(test.carries), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts := testStream{keyframe: 45_000, frame: 4_000, gop: 50, queue: 1 << 20}
				ts.run(t, 20e6, 30, 2*time.Minute, nil, func(now time.Duration) {
					if now == 20*time.Second {
						ts.link.setRate(test.carries * ts.bitrate())
					}
				})
				share, longest := float64(len(ts.link.frames))/float64(ts.sent), ts.percentile(1, 0)
				t.Logf("%.2f of the frames passed, packets waited for %v at most, %v (p95), %+v", share, longest, ts.percentile(0.95, 21*time.Second), ts.last)
				if share < test.least || longest > test.longest || ts.percentile(0.95, 25*time.Second) > 500*time.Millisecond {
					t.Errorf("%.2f of the frames passed, want %.2f; packets waited for %v, want %v", share, test.least, longest, test.longest)
				}
			})
		})
	}
}
