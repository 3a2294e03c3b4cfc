package webrtc

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"gridpost/devices/problem"
	"gridpost/streams"
)

// start has a camera publish to h, after a part of its GOP.
func start(t *testing.T, h *hub, c *camera, before int) {
	t.Helper()
	startWith(t, h, c, before, PublishOptions{})
}

// startWith is start with options for the publisher.
func startWith(t *testing.T, h *hub, c *camera, before int, o PublishOptions) {
	t.Helper()
	for range before {
		c.publishFrame()
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.run(ctx) })
	published := h.publishWith(ctx, c.stream, o)
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := <-published; err != nil {
			t.Error("publishing ended with", err)
		}
	})
}

func TestLostPacketsAreSentAgain(t *testing.T) {
	h := newHub(t)
	start(t, h, newCamera(25, 20_000), 40)
	seen := make(map[uint16]bool)
	dropped := 0
	drop := func(sequence uint16) bool {
		if seen[sequence] || sequence%13 != 0 {
			return false
		}
		seen[sequence] = true
		dropped++
		return true
	}
	var got frameCollector
	whole := true
	stats, err := h.play(t.Context(), PlayOptions{OnPacket: got.add, drop: drop}, func(f Frame) bool {
		whole = whole && f.Complete
		return len(got.numbers) < 60
	})
	if err != nil {
		t.Fatal(err)
	}
	if dropped == 0 || stats.Lost != 0 || !whole || stats.RetransmissionRequests < uint64(dropped)/2 {
		t.Errorf("%d packets dropped, then %+v, all whole: %t", dropped, stats, whole)
	}
	for i, n := range got.numbers {
		if n != got.numbers[0]+uint64(i) || got.sizes[i] != 20_000 {
			t.Fatalf("frame %d is number %d of %d bytes", i, n, got.sizes[i])
		}
	}
	if s := h.viewer(0).Stats(); s.Retransmitted < uint64(dropped)/2 {
		t.Errorf("%d packets dropped, the viewer's %+v", dropped, s)
	}
}

// TestPLI requests a keyframe in the middle of a long GOP: the GOP is sent again, with rising
// timestamps.
func TestPLI(t *testing.T) {
	h := newHub(t)
	start(t, h, newCamera(1000, 5000), 20)
	var got frameCollector
	var frames []Frame
	keys := 0
	asked := false
	_, err := h.play(t.Context(), PlayOptions{OnPacket: got.add}, func(f Frame) bool {
		if n := len(frames); n > 0 && int32(f.Timestamp-frames[n-1].Timestamp) <= 0 {
			t.Errorf("time runs backwards at frame %d by %d", n, frames[n-1].Timestamp-f.Timestamp)
		}
		frames = append(frames, f)
		if f.Keyframe {
			keys++
		}
		if len(frames) > 50 && !asked {
			asked = true
			v := h.viewer(0)
			v.sender.receive(feedback{keyframe: true})
		}
		return keys < 2 || len(frames) < 160
	})
	if err != nil {
		t.Fatal(err)
	}
	again := 0
	for i := 1; i < len(got.numbers); i++ {
		if got.numbers[i] == 0 {
			again = i
		}
	}
	if again == 0 {
		t.Fatal("the GOP was not sent again")
	}
	for i := again + 1; i < len(got.numbers); i++ {
		if got.numbers[i] != got.numbers[i-1]+1 {
			t.Fatalf("after the keyframe number %d follows %d", got.numbers[i], got.numbers[i-1])
		}
	}
	last := len(frames) - 1
	if d := frames[last].Timestamp - frames[last-1].Timestamp; d != 3600 {
		t.Errorf("live again, frames are %d ticks apart, want 3600", d)
	}
	if s := h.viewer(0).Stats(); s.PLIs != 1 || s.Dropped != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestViewerOverTCP(t *testing.T) {
	h := newHub(t)
	start(t, h, newCamera(25, 20_000), 10)
	engine, err := NewEngine(EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	engine.settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Second, errors.New("the test waited 20 s"))
	defer cancel()
	frames := 0
	stats, err := engine.Play(ctx, PlayOptions{URL: h.server.URL + "/whep", OnFrame: func(Frame) {
		if frames++; frames == 40 {
			cancel()
		}
	}})
	if err != nil || frames < 40 || stats.Lost != 0 {
		t.Errorf("%d frames over TCP, %+v, %v", frames, stats, err)
	}
}

// TestPublisherBeginsAnew has a second publisher take over: viewers go on.
func TestPublisherBeginsAnew(t *testing.T) {
	h := newHub(t)
	ctx, cancel := context.WithCancel(t.Context())
	first := newCamera(25, 3000)
	first.publishFrame()
	published := h.publish(ctx, first.stream)
	var frames []Frame
	var again sync.WaitGroup
	defer again.Wait()
	second, stop := context.WithCancel(t.Context())
	defer stop()
	shooting, still := context.WithCancel(t.Context())
	defer still()
	again.Go(func() { first.run(shooting) })
	_, err := h.play(t.Context(), PlayOptions{}, func(f Frame) bool {
		if n := len(frames); n > 0 && int32(f.Timestamp-frames[n-1].Timestamp) <= 0 {
			t.Errorf("time runs backwards by %d", frames[n-1].Timestamp-f.Timestamp)
		}
		if frames = append(frames, f); len(frames) == 30 {
			cancel()
			again.Go(func() {
				if err := <-published; err != nil {
					t.Error(err)
				}
				<-h.ended
				next := newCamera(25, 3000)
				next.publishFrame()
				done := h.publish(second, next.stream)
				next.run(second)
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		}
		return len(frames) < 80
	})
	if err != nil {
		t.Error(err)
	}
	still()
	stop()
	cancel()
}

func TestPublishIsRefused(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"title":"Forbidden","status":403,"detail":"this edge may not publish that"}`))
	}))
	defer server.Close()
	engine, err := NewEngine(EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := newCamera(25, 1000)
	c.publishFrame()
	err = engine.Publish(t.Context(), PublishOptions{URL: server.URL, Stream: c.stream, Client: server.Client()})
	var refusal *problem.Error
	if !errors.As(err, &refusal) || refusal.Status != 403 || !strings.Contains(err.Error(), "this edge may not publish that") {
		t.Errorf("publishing: %v", err)
	}
}

func TestPublishWithoutFrames(t *testing.T) {
	engine, err := NewEngine(EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := engine.Publish(ctx, PublishOptions{URL: "http://127.0.0.1:1", Stream: streams.New(streams.Options{})}); err != nil {
		t.Errorf("ended by its context: %v, want nil", err)
	}
}

func TestEngineOptions(t *testing.T) {
	if e, err := NewEngine(EngineOptions{Listen: "127.0.0.1:0", PublicAddresses: []string{"hub.example"}}); err == nil {
		t.Error("a name was taken for an address", e.Close())
	}
	if _, err := NewEngine(EngineOptions{Listen: "192.0.2.1:0"}); err == nil {
		t.Error("an address of no interface could be bound")
	}
	e, err := NewEngine(EngineOptions{Listen: "127.0.0.1:0", PublicAddresses: []string{"192.0.2.7"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	f := NewFeed()
	f.setCodec(codec{name: streams.H264, fmtp: "packetization-mode=1;profile-level-id=640028", payloadType: 96})
	v, err := e.NewViewer(f, offerOf(t))
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for _, want := range []string{"192.0.2.7", "127.0.0.1", " tcp "} {
		if !strings.Contains(v.Answer(), want) {
			t.Errorf("the answer lacks %s:\n%s", want, v.Answer())
		}
	}
}

// offerOf returns a player's offer.
func offerOf(t *testing.T) string {
	t.Helper()
	e, err := NewEngine(EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.receiving(false, newTracks(), false, playerCodecs()...)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	offer, err := s.offer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return offer
}

// TestEveryInterface listens on all addresses, as a hub does by default.
func TestEveryInterface(t *testing.T) {
	h := newHubAt(t, ":0")
	start(t, h, newCamera(25, 3000), 10)
	frames := 0
	if _, err := h.play(t.Context(), PlayOptions{}, func(Frame) bool { frames++; return frames < 15 }); err != nil || frames < 15 {
		t.Errorf("%d frames, %v", frames, err)
	}
}
