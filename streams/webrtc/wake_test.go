package webrtc

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// TestAlarm: a goroutine that sets its alarm again after each ring is never woken later than the time it asked for last,
// and not much more often than it asks.
func TestAlarm(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		synctest.Test(t, func(t *testing.T) {
			w := newWake()
			a := newAlarm(w)
			defer a.stop()
			rings, asked := 0, 0
			for range 200 {
				wait := time.Duration(random.IntN(1000)) * time.Millisecond
				due := time.Now().Add(wait)
				asked++
				a.ringIn(wait, time.Now())
				if random.IntN(2) == 0 { // something else wakes it first
					time.Sleep(time.Duration(random.Int64N(int64(wait) + 1)))
					continue
				}
				for time.Now().Before(due) {
					a.ringIn(time.Until(due), time.Now())
					<-w
					rings++
				}
				if late := time.Since(due); late > 0 {
					t.Fatalf("seed %d: rang %v late", seed, late)
				}
			}
			if rings > 2*asked {
				t.Errorf("seed %d: %d rings for %d times", seed, rings, asked)
			}
		})
	}
}

// TestWakeOnEnd: the end of a context wakes, but not once nobody waits any more.
func TestWakeOnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWake()
		ctx, cancel := context.WithCancel(t.Context())
		stop := w.onEnd(ctx)
		w.ring()
		<-w
		cancel()
		<-w
		stop()

		ctx, cancel = context.WithCancel(t.Context())
		w.onEnd(ctx)()
		cancel()
		synctest.Wait()
		select {
		case <-w:
			t.Error("woken after stop")
		default:
		}
	})
}
