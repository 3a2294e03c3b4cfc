package relay

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gridpost/streams"
	"gridpost/streams/webrtc"
)

// twoViewers is what two viewers of one camera of 4 Mbit/s were sent: one behind a line of 2 Mbit/s, the other behind a
// free one.
type twoViewers struct {
	SteppedDown float64 `json:"stepped_down_s"` // after the thin viewer's first frame
	ThinMain    int     `json:"thin_main_frames"`
	ThinSub     int     `json:"thin_sub_frames"`
	ThinQueued  int     `json:"thin_packets"`
	ThinLost    int     `json:"thin_packets_overflowed"`

	Hub     int64  `json:"hub_frames"`        // of the main stream, that the hub had while the free viewer watched
	Free    int    `json:"free_frames"`       // whole frames that the free viewer has
	Broken  int    `json:"free_incomplete"`   // frames of which it lacks packets
	Missing int    `json:"free_missing"`      // frames between these that it lacks
	Lost    uint64 `json:"free_lost_packets"` // that never arrived
	Dropped uint64 `json:"free_dropped"`      // packets that the hub did not send it
	Resent  uint64 `json:"free_sent_again"`
	Rung    string `json:"free_stream"`
}

const patience = 90 * time.Second // of a test on a busy machine

// watcher is a viewer with the frames that it has.
type watcher struct {
	frames atomic.Int64
	broken int
	last   uint32   // timestamp of the last frame
	steps  []uint32 // between the timestamps of frames
	stats  webrtc.PlayStats
}

func (w *watcher) frame(f webrtc.Frame) {
	if !f.Complete {
		w.broken++
	}
	if w.frames.Add(1) > 1 {
		w.steps = append(w.steps, f.Timestamp-w.last)
	}
	w.last = f.Timestamp
}

// play plays until ctx ends.
func (w *watcher) play(ctx context.Context, t *testing.T, url, who, line string) {
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{})
	if err != nil {
		t.Error(err)
		return
	}
	w.stats, err = engine.Play(ctx, webrtc.PlayOptions{
		URL: url + "/whep/gate-7/yard?reason=test", Header: http.Header{"Who": {who}, "Line": {line}}, OnFrame: w.frame,
	})
	if err != nil {
		t.Errorf("%s: %v", who, err)
	}
}

// viewerOf returns the WebRTC viewer of a user; nil: there is none.
func viewerOf(r *Relay, user string) *webrtc.Viewer {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sessions {
		if v, ok := s.viewer.(*webrtc.Viewer); ok && s.user == user {
			return v
		}
	}
	return nil
}

// watchTogether lets the two watch until the thin one has got so many frames of the sub-stream.
func watchTogether(t *testing.T, frames int) (got twoViewers) {
	t.Helper()
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	edge := &twoStreams{
		t: t, stream: streams.New(streams.Options{Name: "yard"}), sub: streams.New(streams.Options{Name: "yard sub"}),
		running: map[string]context.CancelFunc{}, commands: map[string]int{},
	}
	relay := New(Options{Engine: engine, Leases: noRecords{}, Commander: edge})
	thin := &line{delay: 10 * time.Millisecond, rate: 2e6, queue: 128 << 10}
	server := httptest.NewServer(behindLines(t, routes(relay), engine.Addr(), map[string]*line{"thin": thin}))
	edge.url = server.URL
	ctx, cancel := context.WithCancel(context.Background())
	var running, watching sync.WaitGroup
	running.Go(func() { _ = relay.Run(ctx) })
	running.Go(func() { publishNoise(ctx, edge.stream, 500_000, 50) })
	running.Go(func() { publishNoise(ctx, edge.sub, 50_000, 50) })
	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("timed out waiting until", what)
			}
		}
	}
	watchCtx, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		watching.Wait()
		cancel()
		running.Wait()
		edge.mu.Lock()
		for _, end := range edge.running {
			end()
		}
		edge.mu.Unlock()
		edge.wg.Wait()
		server.Close()
		http.DefaultClient.CloseIdleConnections()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	}()
	until("the relay runs", func() bool { return relay.context() != nil })

	up, release, err := relay.acquire(ctx, pathKey{edge: "gate-7", device: "yard"})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	var free, slow watcher
	watching.Go(func() { free.play(watchCtx, t, server.URL, "free", "") })
	until("the free viewer plays", func() bool { return free.frames.Load() >= 25 })

	// What the hub has from now on, the free viewer must have too.
	var hub atomic.Int64
	reader := up.feed.Frames()
	defer reader.Close()
	watching.Go(func() {
		for {
			if _, err := reader.Next(watchCtx); errors.Is(err, context.Canceled) {
				return
			} else if err != nil {
				t.Error(err)
				return
			}
			hub.Add(1)
		}
	})
	until("the hub has frames", func() bool { return hub.Load() > 0 })
	hubFrom, freeFrom := hub.Load(), free.frames.Load()

	watching.Go(func() { slow.play(watchCtx, t, server.URL, "thin", "thin") })
	until("the thin viewer plays", func() bool { return slow.frames.Load() > 0 })
	begun := time.Now()
	viewer := viewerOf(relay, "thin")
	until("the thin viewer is sent the sub-stream", func() bool { return viewer.Rung() == webrtc.SubStream })
	got.SteppedDown = time.Since(begun).Seconds()
	got.ThinMain = int(slow.frames.Load())
	until("the thin viewer has frames of the sub-stream", func() bool { return slow.frames.Load() >= int64(got.ThinMain+frames) })
	got.ThinSub = int(slow.frames.Load()) - got.ThinMain
	got.Hub = hub.Load() - hubFrom
	until("the free viewer plays on", func() bool { return free.frames.Load()-freeFrom >= got.Hub })

	other := viewerOf(relay, "free")
	got.Dropped, got.Resent, got.Rung = other.Stats().Dropped, other.Stats().Retransmitted, other.Rung().String()
	stop()
	watching.Wait()
	counted := thin.counted()
	got.ThinQueued, got.ThinLost = counted.packets, counted.overflowed
	got.Free, got.Broken, got.Lost = int(free.frames.Load())-free.broken, free.broken, free.stats.Lost
	for _, step := range free.steps[freeFrom-1:] {
		if step > 3600 {
			got.Missing += int(step+1800)/3600 - 1
		}
	}
	return got
}

// check fails the test where the thin viewer has disturbed the other one.
func (v twoViewers) check(t *testing.T) {
	t.Helper()
	if v.Lost > 0 || v.Broken > 0 || v.Dropped > 0 || v.Missing > 0 || v.Rung != webrtc.MainStream.String() {
		t.Errorf("the viewer on the free line: %+v", v)
	}
}

// TestThinViewerGetsTheSubStream: of two viewers of one camera, one on a line of 2 Mbit/s is sent the sub-stream, while the
// other plays on. That the other lacks nothing is tested in virtual time, in package webrtc, and measured by
// TestRelayLines: here a machine that is short of processors would lose packets too.
func TestThinViewerGetsTheSubStream(t *testing.T) {
	got := watchTogether(t, 50)
	t.Logf("%+v", got)
	if got.ThinMain == 0 || got.ThinSub < 50 || got.Free < 50 {
		t.Errorf("%+v", got)
	}
}
