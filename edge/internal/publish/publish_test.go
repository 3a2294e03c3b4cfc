package publish

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/devices"
	"gridpost/devices/retry"
	"gridpost/hub/api"
	"gridpost/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPublishingOnCommand(t *testing.T) {
	posted := make(chan string, 10)
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		posted <- r.Method + " " + r.URL.Path
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer hub.Close()
	client := hub.Client()
	defer client.CloseIdleConnections()
	yard := streams.New(streams.Options{Name: "yard"})
	site := &testSite{cameras: map[string]*testCamera{
		"yard": {status: devices.Status{State: devices.Online}, stream: yard, stopped: make(chan struct{})},
		"dark": {status: devices.Status{State: devices.Offline, Cause: devices.NewCause("camera_no_frames", "seconds", "20")}, stream: yard},
		"new":  {status: devices.Status{State: devices.Unknown, Cause: devices.NewCause("device_not_heard")}, stream: yard},
	}}
	p, err := New(Options{
		Edge: "gate-7", Hub: testHub{hub.URL, client}, Cameras: site, Logger: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	do := func(c api.Command) api.Result { return p.Command(ctx, c) }

	described := func(track streams.Track) *streams.Stream {
		s := streams.New(streams.Options{})
		s.Describe(streams.Description{Session: 1, Tracks: []streams.Track{track}})
		return s
	}
	site.cameras["jpeg"] = &testCamera{status: devices.Status{State: devices.Online}, stream: described(streams.Track{Codec: streams.JPEG})}
	site.cameras["b"] = &testCamera{status: devices.Status{State: devices.Online}, stream: described(streams.Track{Codec: streams.H264, BFrames: true})}
	for device, want := range map[string]string{
		"jpeg": "the camera sends motion JPEG, which live video in a browser cannot show",
		"b":    "the camera sends B-frames, which live video in a browser cannot show; turn them off in the camera (profile Baseline, or no B-frames)",
		"dark": "dark is not online: connected, but no frames for 20 s",
		"new":  "new is not online: not heard of since the edge started",
		"moon": "gate-7 has no camera moon",
	} {
		if r := do(api.Command{Kind: api.CommandPublish, Device: device}); r.OK || r.Cause.Text != want {
			t.Errorf("%s: %+v, want %q", device, r, want)
		}
	}
	go feed(ctx, yard)
	now := time.Now()
	publish := api.Command{Kind: api.CommandPublish, Device: "yard", Issued: now, Until: now.Add(time.Minute)}
	if r := do(publish); !r.OK {
		t.Errorf("publish: %+v", r)
	}
	if r := do(publish); !r.OK { // twice is the same as once
		t.Errorf("publish again: %+v", r)
	}
	if got := <-posted; got != "POST /whip/gate-7/yard" {
		t.Errorf("the hub got %s", got)
	}
	for range 2 {
		if r := do(api.Command{Kind: api.CommandStop, Device: "yard"}); !r.OK {
			t.Errorf("stop: %+v", r)
		}
	}
	if r := do(api.Command{Kind: "dance", Device: "yard"}); r.OK || !strings.Contains(r.Cause.Text, "does not know") {
		t.Errorf("dance: %+v", r)
	}
	cancel()
	must(t, <-done)
}

// TestPublicationFollowsItsCamera: a camera that restarts is published again from its new stream, and
// one that is removed ends its publication.
func TestPublicationFollowsItsCamera(t *testing.T) {
	posted := make(chan string, 100)
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		posted <- r.URL.Path
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer hub.Close()
	client := hub.Client()
	defer client.CloseIdleConnections()
	// The first stream never has a frame, so that its session waits.
	site := &testSite{cameras: map[string]*testCamera{
		"yard": {status: devices.Status{State: devices.Online}, stream: streams.New(streams.Options{}), stopped: make(chan struct{})},
	}}
	p, err := New(Options{Edge: "gate-7", Hub: testHub{hub.URL, client}, Cameras: site, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	if r := p.Command(ctx, api.Command{Kind: api.CommandPublish, Device: "yard"}); !r.OK {
		t.Fatalf("publish: %+v", r)
	}
	next := &testCamera{status: devices.Status{State: devices.Online}, stream: streams.New(streams.Options{}), stopped: make(chan struct{})}
	go feed(ctx, next.stream)
	old := site.set("yard", next)
	close(old.stopped)
	if got := <-posted; got != "/whip/gate-7/yard" {
		t.Errorf("the hub got %s", got)
	}
	site.set("yard", nil)
	close(next.stopped)
	p.StopAll(ctx)
	if r := p.Command(ctx, api.Command{Kind: api.CommandPublish, Device: "yard"}); r.Cause.Code != "camera_unknown" {
		t.Errorf("publishing a camera that is gone: %+v", r)
	}
	cancel()
	must(t, <-done)
}

type testHub struct {
	url    string
	client *http.Client
}

func (h testHub) URL() string                   { return h.url } // plain HTTP is enough here; TLS is the client's
func (h testHub) Client() (*http.Client, error) { return h.client, nil }

// testSite holds cameras that can be replaced.
type testSite struct {
	mu      sync.Mutex
	cameras map[string]*testCamera
}

type testCamera struct {
	status  devices.Status
	stream  *streams.Stream
	sub     *streams.Stream
	stopped chan struct{}
}

func (s *testSite) set(name string, c *testCamera) (old *testCamera) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old = s.cameras[name]
	s.cameras[name] = c
	return old
}

func (s *testSite) get(name string) *testCamera {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cameras[name]
}

func (s *testSite) Urgency(string) int { return 0 }

func (s *testSite) Stream(camera string) (*streams.Stream, <-chan struct{}) {
	c := s.get(camera)
	if c == nil {
		return nil, nil
	}
	return c.stream, c.stopped
}

func (s *testSite) SubStream(camera string) (*streams.Stream, <-chan struct{}) {
	c := s.get(camera)
	if c == nil || c.sub == nil {
		return nil, nil
	}
	return c.sub, c.stopped
}

func (s *testSite) Status(device string) (devices.Status, bool) {
	c := s.get(device)
	if c == nil {
		return devices.Status{}, false
	}
	return c.status, true
}

// feed publishes keyframes of the least H.264 that has parameter sets.
func feed(ctx context.Context, s *streams.Stream) {
	sps := []byte{0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x47, 0xfe, 0xc8}
	for i := 0; retry.Sleep(ctx, 40*time.Millisecond); i++ {
		s.Publish(&streams.AccessUnit{
			Codec: streams.H264, Session: 1, PTS: time.Duration(i) * 40 * time.Millisecond, Arrived: time.Now(), Keyframe: true,
			NALUs: [][]byte{sps, {0x68, 0xce, 0x3c, 0x80}, {0x65, 0x88, 0x84, 0x00}},
		})
	}
}
