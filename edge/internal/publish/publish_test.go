package publish

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
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
	states := map[string]devices.Status{
		"yard": {State: devices.Online},
		"dark": {State: devices.Offline, Cause: devices.Cause{Text: "no frames for 20 s"}},
		"new":  {State: devices.Unknown, Cause: devices.Cause{Text: "not heard of since the edge started"}},
	}
	p, err := New(Options{
		Hub: hub.URL, Edge: "gate-7", Logger: slog.New(slog.DiscardHandler),
		Client: func() (*http.Client, error) { return client, nil }, // plain HTTP is enough here; TLS is the client's
		Stream: func(camera string) *streams.Stream {
			if _, ok := states[camera]; !ok {
				return nil
			}
			return yard
		},
		Status: func(device string) (devices.Status, bool) { st, ok := states[device]; return st, ok },
	})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	do := func(c api.Command) api.Result { return p.Command(ctx, c) }

	for device, want := range map[string]string{
		"dark": "dark is offline: no frames for 20 s",
		"new":  "new is unknown: not heard of since the edge started",
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
	select {
	case got := <-posted:
		if got != "POST /whip/gate-7/yard" {
			t.Errorf("the hub got %s", got)
		}
	case <-time.After(20 * time.Second):
		t.Error("nothing was posted")
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
