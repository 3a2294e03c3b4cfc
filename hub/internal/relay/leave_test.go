package relay

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gridpost/devices"
)

// TestAbruptLeaves: a thousand viewers come and go without a word, in every way that there is. Nothing of them
// is left: no session, goroutine, descriptor or memory, and no lease that has not ended.
func TestAbruptLeaves(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the ICE timeout")
	}
	const joins = 1000
	f := newFixture(t, Options{MaxViewers: joins, Linger: 200 * time.Millisecond})
	f.leases.ended = make(chan devices.Cause, 2*joins)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	first := f.play("first", "?reason=test") // what the first viewer creates for good is no leak
	f.waitForFrames(first)
	f.stop(first)
	f.until("the path is removed", func() bool { return f.paths() == 0 })
	goroutines, files, heap := runtime.NumGoroutine(), descriptors(t), heapBytes()

	var viewers sync.WaitGroup
	var answered atomic.Int64
	turn := make(chan struct{}, 24)
	for i := range joins {
		turn <- struct{}{}
		viewers.Go(func() {
			defer func() { <-turn }()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%8 == 1 { // gives up, mostly before the answer
				defer time.AfterFunc(time.Duration(i%50)*time.Millisecond, cancel).Stop()
			}
			if abrupt(ctx, client, f.server.URL, i%8 < 2) {
				answered.Add(1)
			}
		})
	}
	viewers.Wait()
	if answered.Load() < joins/2 {
		t.Fatalf("only %d of %d viewers were answered", answered.Load(), joins)
	}
	f.until("all sessions have ended", func() bool { s := f.relay.Stats(); return s.Viewers == 0 && s.Upstreams == 0 })
	f.until("all leases have ended", func() bool { return len(f.leases.ended) == len(f.leases.begun()) })
	f.until("the path is removed", func() bool { return f.paths() == 0 })
	f.until("the goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines+8 })
	f.until("the descriptors are closed", func() bool { return descriptors(t) <= files+4 })
	f.until("the memory is free", func() bool { return heapBytes() < heap+16<<20 })
	for len(f.leases.ended) > 0 {
		if why := <-f.leases.ended; strings.Contains(why.Text, "twice") {
			t.Error(why.Text)
		}
	}
	again := f.play("again", "?reason=test")
	f.waitForFrames(again)
	f.stop(again)
}

// TestLeavesBeforeTheAnswer: a viewer whose page is closed before the answer has come cannot end its session by a request.
// It is recorded that the viewer has left, not that a connection was lost.
func TestLeavesBeforeTheAnswer(t *testing.T) {
	for _, c := range []struct {
		name string
		whep bool
		want string
	}{{"WHEP", true, "video_viewer_ended"}, {"HTTP", false, "video_viewer_closed"}} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, Options{})
			ctx, leave := context.WithCancel(t.Context())
			f.leases.during = func(request context.Context) {
				leave()
				<-request.Done()
			}
			if abrupt(ctx, http.DefaultClient, f.server.URL, c.whep) {
				t.Fatal("the viewer was answered")
			}
			if why := f.ended(); why.Code != c.want {
				t.Errorf("ended with %s: %s; want %s", why.Code, why.Text, c.want)
			}
		})
	}
}

// TestNeverConnects: a viewer that was answered and to which no connection comes about was never connected, so that no
// connection to it was lost.
func TestNeverConnects(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the ICE timeout")
	}
	f := newFixture(t, Options{})
	f.request("POST", "/whep/gate-7/yard?reason=test", typeSDP, offer(), http.StatusCreated, "Who", "anna")
	if why := f.ended(); why.Code != "video_viewer_unreachable" || why.Params["cause_code"] != "session_not_connected" {
		t.Errorf("ended with %s %v: %s", why.Code, why.Params, why.Text)
	}
}

// abrupt joins by WHEP or over HTTP, and then just leaves. It reports whether it was let in.
func abrupt(ctx context.Context, client *http.Client, server string, whep bool) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	method, url, body := http.MethodGet, server+"/live/gate-7/yard?reason=test", ""
	if whep {
		method, url, body = http.MethodPost, server+"/whep/gate-7/yard?reason=test", offer()
	}
	q, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return false
	}
	q.Header.Set("Content-Type", typeSDP)
	q.Header.Set("Who", "anna")
	response, err := client.Do(q)
	if err != nil {
		return false
	}
	_, err = io.CopyN(io.Discard, response.Body, 2000)
	return errors.Join(err, response.Body.Close()) == nil && response.StatusCode/100 == 2
}

// until waits for a state for as long as timeouts of ICE take.
func (f *fixture) until(what string, ok func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatal("timed out waiting until", what)
		}
	}
}

func (f *fixture) paths() int {
	f.relay.mu.Lock()
	defer f.relay.mu.Unlock()
	return len(f.relay.paths)
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc:", err)
	}
	return len(all)
}

func heapBytes() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
