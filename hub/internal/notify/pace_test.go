package notify

import (
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// TestBackOffOutlastsARestart: a hub that is restarted again and again while a target is down goes on probing it with
// one delivery at a time, and sends all that waits as soon as the target works, whatever the next attempts were
// scheduled for.
func TestBackOffOutlastsARestart(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		var down atomic.Bool
		down.Store(true)
		r := &receiver{answer: func(_ int, w http.ResponseWriter) {
			if down.Load() {
				w.WriteHeader(http.StatusBadGateway)
			}
		}}
		b.net.Serve(t, "a.example", r)
		b.start(t)
		const n = 100
		for i := range n {
			b.queue.add(alert(int64(i+1), fmt.Sprintf("inc-%d", i), Opened))
		}
		after(time.Hour)
		for range 10 {
			b.stop()
			b.queue = b.queue.reopened(t)
			before := len(r.requests())
			b.start(t)
			after(2 * time.Minute)
			if got := len(r.requests()) - before; got < 1 || got > 5 {
				t.Errorf("%d requests in the two minutes after a restart, want 1 to 5", got)
			}
		}
		b.stop()
		b.queue = b.queue.reopened(t)
		down.Store(false)
		b.start(t)
		after(maxPause + 30*time.Second)
		for i := range n {
			if s := b.queue.state(strconv.Itoa(i+1), "a"); s != Delivered {
				t.Fatalf("alert %d is %s", i+1, s)
			}
		}
		if p := b.queue.Paces["a"]; p.Failures != 0 {
			t.Errorf("%d failures are stored of a target that works", p.Failures)
		}
	})
}

// TestPauseOutlastsARestart: the pause that a target asked for is in the queue, not in memory.
func TestPauseOutlastsARestart(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		r := &receiver{answer: func(n int, w http.ResponseWriter) {
			if n == 1 {
				w.Header().Set("Retry-After", "600")
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}}
		b.net.Serve(t, "a.example", r)
		b.start(t)
		b.queue.add(alert(1, "inc-1", Opened))
		after(time.Second)
		b.stop()
		b.queue = b.queue.reopened(t)
		b.start(t)
		b.queue.add(alert(2, "inc-2", Opened))
		after(9 * time.Minute)
		if n := len(r.requests()); n != 1 {
			t.Errorf("%d requests within the pause", n)
		}
		after(2 * time.Minute)
		if n := len(r.requests()); n != 3 {
			t.Errorf("%d requests after the pause, want 3", n)
		}
	})
}
