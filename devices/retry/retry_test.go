package retry_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"gridpost/devices/retry"
)

func TestBackoffDoublesWithJitterUpToTheLongest(t *testing.T) {
	for range 100 {
		b := retry.Policy{First: time.Second, Longest: 5 * time.Second}.New()
		for i, base := range []time.Duration{1, 2, 4, 5, 5} {
			base *= time.Second
			if d := b.Next(); d < base/2 || d > base {
				t.Fatalf("wait %d is %v, not within %v and %v", i, d, base/2, base)
			}
		}
		b.Reset()
		if d := b.Next(); d > time.Second {
			t.Fatalf("after a success the wait is %v", d)
		}
	}
}

func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := retry.Policy{First: time.Second}.New()
		began := time.Now()
		if !b.WaitAtLeast(ctx, time.Minute) || time.Since(began) < time.Minute || time.Since(began) > 75*time.Second {
			t.Errorf("the peer asked for 1 m, the wait was %v", time.Since(began))
		}
		wake := make(chan struct{}, 1)
		wake <- struct{}{}
		began = time.Now()
		if !b.WaitOr(ctx, wake) || time.Since(began) != 0 {
			t.Errorf("a wake-up did not end the wait: %v", time.Since(began))
		}
		cancel()
		if b.Wait(ctx) || b.WaitOr(ctx, nil) || retry.Sleep(ctx, time.Hour) {
			t.Error("a wait outlived its context")
		}
	})
}
