package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/edge/internal/store"
	"gridpost/hub/api"
	"gridpost/streams"
)

// keeper is a store that can be told to fail.
type keeper struct {
	mu   sync.Mutex
	fail error
	got  []string
}

func (k *keeper) SaveIncident(_ context.Context, inc detection.Incident) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return k.fail
	}
	k.got = append(k.got, fmt.Sprintf("%s/%d", inc.ID, inc.Version))
	return nil
}

func (k *keeper) SaveStatus(_ context.Context, st devices.Status) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return k.fail
	}
	k.got = append(k.got, fmt.Sprintf("%s %s", st.Device, st.State))
	return nil
}

func (k *keeper) set(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fail = err
}

func (k *keeper) all() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Join(k.got, " ")
}

func TestAlertsWaitForAFullDiskInOrder(t *testing.T) {
	k := &keeper{fail: errors.New("the disk is full")}
	s := newSink(k, discard())
	alert := func(id string, v int) []detection.Incident { return []detection.Incident{{ID: id, Version: v}} }
	for _, a := range [][]detection.Incident{alert("a", 1), alert("b", 1), alert("a", 2)} {
		if err := s.save(t.Context(), a); err == nil {
			t.Fatal("an alert that is only in memory was called kept")
		}
	}
	if cause, waiting, _ := s.state(); cause != "the disk is full" || waiting != 3 {
		t.Errorf("%d wait because of %q", waiting, cause)
	}
	k.set(nil)
	must(t, s.save(t.Context(), alert("c", 1)))
	if got := k.all(); got != "a/1 b/1 a/2 c/1" {
		t.Errorf("kept: %s", got)
	}
	if cause, waiting, lost := s.state(); cause != "" || waiting != 0 || lost != 0 {
		t.Errorf("at the end: %q, %d, %d", cause, waiting, lost)
	}
	k.set(errors.New("the disk is full"))
	for range maxPending + 5 {
		_ = s.save(t.Context(), alert("x", 1))
	}
	if _, waiting, lost := s.state(); waiting != maxPending || lost != 5 {
		t.Errorf("%d wait and %d are lost", waiting, lost)
	}
}

func TestBoardKeepsTheNewestState(t *testing.T) {
	k := &keeper{fail: errors.New("the disk is full")}
	b := newBoard(k, discard())
	b.expect("yard")
	first, _ := b.get("yard")
	b.set("yard", devices.Offline, "one")
	b.set("yard", devices.Offline, "two")
	st, _ := b.get("yard")
	if first.State != devices.Unknown || st.Cause.Text != "two" {
		t.Errorf("states: %+v, %+v", first, st)
	}
	b.keep(t.Context())
	k.set(nil)
	b.keep(t.Context())
	b.keep(t.Context())
	if got := k.all(); got != "yard offline" {
		t.Errorf("kept: %q", got)
	}
}

func TestStagesStopInOrder(t *testing.T) {
	s := newStages(t.Context())
	var mu sync.Mutex
	var order []string
	for _, name := range []string{"line", "keep", "hear"} {
		s.add().Go(func(ctx context.Context) error {
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			order = append(order, name)
			return nil
		})
	}
	broken := errors.New("broken")
	s.add().Go(func(context.Context) error { return broken })
	err := s.wait(t.Context(), func(context.Context) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, "drain")
	})
	if !errors.Is(err, broken) || strings.Join(order, " ") != "hear keep drain line" {
		t.Errorf("%v: %v", order, err)
	}
}

func TestReadingsThatCannotBeKeptAreNotAcknowledged(t *testing.T) {
	k := &keeper{fail: errors.New("the disk is full")}
	e := testEdge(t, "edge: a\nsensors: [{name: river, topic: r, rules: [{name: flood, kind: above, value: 1, severity: minor}]}]\n")
	e.sink = newSink(k, discard())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.sensors.run(ctx) }()
	m := devices.Message{Topic: "r", Payload: []byte("2"), Durable: true, Received: time.Now()}
	if err := e.sensors.handle(ctx, m); err == nil {
		t.Error("a reading whose incident is only in memory was acknowledged")
	}
	k.set(nil)
	must(t, e.sensors.handle(ctx, m))
	cancel()
	must(t, <-done)
	if !strings.Contains(k.all(), "/1") {
		t.Errorf("kept: %q", k.all())
	}
}

func TestRetainedMessages(t *testing.T) {
	e := testEdge(t, "edge: a\nsensors: [{name: river, topic: r, every: 30s}, {name: door, topic: d}]\n")
	at := time.Now()
	for topic, want := range map[string]int{"r": 0, "d": 1} {
		m := devices.Message{Topic: topic, Payload: []byte("1"), Retained: true, Received: at}
		if got := e.sensors.current(e.sensors.decoder.Decode(m), m); len(got) != want {
			t.Errorf("%s: %d readings, want %d", topic, len(got), want)
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		30 * time.Second: "30s", 90 * time.Second: "1m30s", 2 * time.Minute: "2m", 3 * time.Hour: "3h", 10 * time.Minute: "10m", 500 * time.Millisecond: "500ms",
	} {
		if got := short(d); got != want {
			t.Errorf("%v is written %s", d, got)
		}
	}
}

func TestPublishingOnCommand(t *testing.T) {
	posted := make(chan string, 10)
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		posted <- r.Method + " " + r.URL.Path
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer hub.Close()
	e := testEdge(t, "edge: gate-7\ncameras: [{name: yard, url: \"rtsp://127.0.0.1:1/x\"}, {name: dark, url: \"rtsp://127.0.0.1:1/y\"}]\n")
	e.o.Document.Hub.URL = hub.URL // plain HTTP is enough here; TLS is the client's
	client := hub.Client()
	defer client.CloseIdleConnections()
	e.publish.client = func() (*http.Client, error) { return client, nil }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.publish.run(ctx) }()
	do := func(c api.Command) api.Result { return e.publish.command(ctx, c) }

	e.board.set("dark", devices.Offline, "no pictures for 20 s")
	for device, want := range map[string]string{
		"dark": "dark is offline: no pictures for 20 s",
		"yard": "yard is unknown: not heard of since the edge started",
		"moon": "gate-7 has no camera moon",
	} {
		if r := do(api.Command{Kind: api.CommandPublish, Device: device}); r.OK || r.Cause.Text != want {
			t.Errorf("%s: %+v, want %q", device, r, want)
		}
	}
	e.board.set("yard", devices.Online, "")
	go feed(ctx, e.cameras[0].stream)
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

// feed publishes key pictures of the least H.264 that has parameter sets.
func feed(ctx context.Context, s *streams.Stream) {
	sps := []byte{0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x47, 0xfe, 0xc8}
	for i := 0; sleep(ctx, 40*time.Millisecond); i++ {
		s.Publish(&streams.AccessUnit{
			Codec: streams.H264, Session: 1, PTS: time.Duration(i) * 40 * time.Millisecond, Arrived: time.Now(), Keyframe: true,
			NALUs: [][]byte{sps, {0x68, 0xce, 0x3c, 0x80}, {0x65, 0x88, 0x84, 0x00}},
		})
	}
}

// testEdge makes an edge's parts without starting them.
func testEdge(t *testing.T, text string) *edge {
	t.Helper()
	o := Options{Document: document(t, text), Dir: t.TempDir()}.withDefaults()
	l, err := newLink(o)
	must(t, err)
	st := openStore(t, o.Dir)
	e, err := newEdge(t.Context(), o, st, l)
	must(t, err)
	return e
}

func openStore(t *testing.T, dir string) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: dir})
	must(t, err)
	t.Cleanup(func() { must(t, st.Close()) })
	return st
}
