package notify

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

func TestGone(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		r := &receiver{answer: status(410)}
		b.net.Serve(t, "a.example", r)
		b.start(t)
		b.queue.add(alert(1, "inc-1", Opened))
		b.queue.add(alert(2, "inc-1", Closed))
		after(time.Hour)
		if n := len(r.requests()); n != 1 {
			t.Errorf("%d requests, expected that 410 ends them", n)
		}
		if b.queue.disabled["a"] == "" || b.queue.state("1", "a") != Dead || b.queue.state("2", "a") != Dead {
			t.Error("the target is not disabled, or its deliveries are still pending")
		}
	})
}

func TestTooMany(t *testing.T) {
	for name, c := range map[string]struct {
		value func() string
		wait  time.Duration
	}{
		"seconds": {func() string { return "120" }, 2 * time.Minute},
		"date":    {func() string { return time.Now().Add(3 * time.Minute).UTC().Format(http.TimeFormat) }, 3*time.Minute - time.Second},
		"nothing": {func() string { return "" }, 5 * time.Second * 3 / 4},
		"garbage": {func() string { return "soon" }, 5 * time.Second * 3 / 4},
		"years":   {func() string { return "4000000000" }, LongestPause},
		"aeons":   {func() string { return "99999999999999999999999" }, LongestPause},
	} {
		for _, code := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
			if code == http.StatusServiceUnavailable && c.wait < time.Minute {
				continue // without a wish of the target only its own delivery waits
			}
			t.Run(fmt.Sprintf("%d %s", code, name), func(t *testing.T) { testRetryAfter(t, code, c.value, c.wait) })
		}
	}
}

// TestRetryAfterDateByTheTargetsClock: a date counts from the Date header of the same response.
func TestRetryAfterDateByTheTargetsClock(t *testing.T) {
	wrong := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	h := http.Header{"Date": {wrong.Format(http.TimeFormat)}, "Retry-After": {wrong.Add(2 * time.Minute).Format(http.TimeFormat)}}
	if d := parseRetryAfter(h.Get("Retry-After"), senderTime(h, time.Now())); d != 2*time.Minute {
		t.Errorf("%s, want 2m", d)
	}
}

func testRetryAfter(t *testing.T, code int, value func() string, least time.Duration) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		r := &receiver{answer: func(n int, w http.ResponseWriter) {
			if n == 1 {
				w.Header().Set("Retry-After", value())
				w.WriteHeader(code)
			}
		}}
		b.net.Serve(t, "a.example", r)
		b.start(t)
		b.queue.add(alert(1, "inc-1", Opened))
		after(time.Second)
		b.queue.add(alert(2, "inc-2", Opened)) // waits too: it is the target that has enough
		after(least + 10*time.Second)
		got := r.requests()
		if len(got) != 3 {
			t.Fatalf("%d requests, expected 3", len(got))
		}
		if wait := got[1].at.Sub(got[0].at); wait < least || wait > least+6*time.Second {
			t.Errorf("waited %s, expected %s", wait, least)
		}
		if b.queue.state("1", "a") != Delivered || b.queue.state("2", "a") != Delivered {
			t.Error("not delivered in the end")
		}
	})
}

func TestUnsupportedMediaType(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		r := &receiver{answer: status(415, 204)}
		b.net.Serve(t, "a.example", r)
		b.start(t)
		b.queue.add(alert(1, "inc-1", Opened))
		b.queue.add(alert(2, "inc-1", Closed))
		after(time.Second)
		if b.queue.state("1", "a") != Dead || b.queue.state("2", "a") != Delivered || len(r.requests()) != 2 {
			t.Errorf("states %s, %s after %d requests", b.queue.state("1", "a"), b.queue.state("2", "a"), len(r.requests()))
		}
	})
}
