package relay

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/problem"
	"gridpost/streams"
	"gridpost/streams/streamtest"
	"gridpost/streams/webrtc"
)

// twoStreams is an edge whose camera has a main stream and, unless refuse is set, a sub-stream.
type twoStreams struct {
	t      *testing.T
	url    string
	stream *streams.Stream
	sub    *streams.Stream // nil: the sub-stream has the same frames
	refuse bool

	mu       sync.Mutex
	running  map[string]context.CancelFunc // by stream
	commands map[string]int                // publish commands, by stream
	wg       sync.WaitGroup
}

func (e *twoStreams) Command(_ context.Context, edge string, c api.Command) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c.Kind == api.CommandStop || c.Kind == api.CommandStopStream {
		if cancel := e.running[c.Stream]; cancel != nil {
			cancel()
			delete(e.running, c.Stream)
		}
		return nil
	}
	e.commands[c.Stream]++
	if e.refuse && c.Stream == SubStream {
		return Refused{Cause: devices.NewCause("camera_unknown", "edge", edge, "device", c.Device)}
	}
	if e.running[c.Stream] != nil {
		return nil
	}
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.running[c.Stream] = cancel
	stream := e.stream
	if c.Stream == SubStream && e.sub != nil {
		stream = e.sub
	}
	e.wg.Go(func() {
		url := e.url + "/whip/" + edge + "/" + c.Device + "?stream=" + c.Stream
		if err := engine.Publish(ctx, webrtc.PublishOptions{URL: url, Stream: stream}); err != nil {
			e.t.Log("publisher ended:", err)
		}
	})
	return nil
}

func (e *twoStreams) publishes(stream string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.running[stream] != nil
}

func (e *twoStreams) commanded(stream string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.commands[stream]
}

// ladderedViewer wants what the test wants.
type ladderedViewer struct {
	wanted chan webrtc.Rung
	sent   chan webrtc.Rung // what it was switched to
	feeds  chan *webrtc.Feed
	err    error
}

func (v *ladderedViewer) Wanted() <-chan webrtc.Rung { return v.wanted }

func (v *ladderedViewer) Switch(_ context.Context, f *webrtc.Feed, to webrtc.Rung) error {
	if v.err == nil {
		v.feeds <- f
		v.sent <- to
	}
	return v.err
}

// rungsFixture is a relay with such an edge, and a viewer on the main stream.
type rungsFixture struct {
	t      *testing.T
	relay  *Relay
	edge   *twoStreams
	viewer *ladderedViewer
	rungs  *rungs
	ended  chan error // cause of the session's end
	stop   context.CancelFunc
}

func newRungsFixture(t *testing.T, refuse bool) *rungsFixture {
	t.Helper()
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	f := &rungsFixture{
		t:      t,
		edge:   &twoStreams{t: t, stream: streams.New(streams.Options{Name: "gate"}), refuse: refuse, running: map[string]context.CancelFunc{}, commands: map[string]int{}},
		viewer: &ladderedViewer{wanted: make(chan webrtc.Rung), sent: make(chan webrtc.Rung, 10), feeds: make(chan *webrtc.Feed, 10)},
		ended:  make(chan error, 1),
	}
	f.relay = New(Options{Engine: engine, Leases: &leaseRecorder{}, Commander: f.edge, Linger: 10 * time.Millisecond})
	server := httptest.NewServer(routes(f.relay))
	f.edge.url = server.URL
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := f.relay.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() { streamtest.Publish(ctx, f.edge.stream) })
	for f.relay.context() == nil {
		time.Sleep(time.Millisecond)
	}
	key := pathKey{edge: "gate-7", device: "yard"}
	up, release, err := f.relay.acquire(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	session, end := context.WithCancelCause(ctx)
	f.stop = func() { end(errors.New("stopped by the test")) }
	f.rungs = &rungs{relay: f.relay, key: key, viewer: f.viewer, end: end, upstream: up, release: release}
	over := make(chan struct{})
	go func() {
		defer close(over)
		f.rungs.run(session)
		f.ended <- context.Cause(session)
		f.rungs.release()
	}()
	t.Cleanup(func() {
		f.stop()
		<-over
		cancel()
		running.Wait()
		f.edge.mu.Lock()
		for _, cancel := range f.edge.running {
			cancel()
		}
		f.edge.mu.Unlock()
		f.edge.wg.Wait()
		server.Close()
		http.DefaultClient.CloseIdleConnections()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *rungsFixture) until(what string, ok func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatal("timed out waiting until", what)
		}
	}
}

// TestSteppingDownAndUp: a viewer that wants the sub-stream is sent that, and the edge stops the main stream that nobody
// is sent any more; and back.
func TestSteppingDownAndUp(t *testing.T) {
	f := newRungsFixture(t, false)
	main := f.rungs.upstream.feed
	f.viewer.wanted <- webrtc.SubStream
	if to, feed := <-f.viewer.sent, <-f.viewer.feeds; to != webrtc.SubStream || feed == main {
		t.Fatalf("switched to the %s stream, another feed: %t", to, feed != main)
	}
	f.until("the main stream has stopped", func() bool { return !f.edge.publishes("") && f.edge.publishes(SubStream) })
	select {
	case err := <-f.ended:
		t.Fatal("the session ended with the main stream, which it was not sent any more:", err)
	default:
	}
	f.viewer.wanted <- webrtc.MainStream
	if to := <-f.viewer.sent; to != webrtc.MainStream {
		t.Fatalf("switched to the %s stream", to)
	}
	f.until("the sub-stream has stopped", func() bool { return f.edge.publishes("") && !f.edge.publishes(SubStream) })
}

// TestSubStreamEnds: a viewer whose sub-stream ends goes on with the main stream.
func TestSubStreamEnds(t *testing.T) {
	f := newRungsFixture(t, false)
	f.viewer.wanted <- webrtc.SubStream
	<-f.viewer.sent
	f.until("the main stream has stopped", func() bool { return !f.edge.publishes("") })
	f.edge.mu.Lock()
	f.edge.running[SubStream]()
	delete(f.edge.running, SubStream)
	f.edge.mu.Unlock()
	if to := <-f.viewer.sent; to != webrtc.MainStream {
		t.Errorf("switched to the %s stream", to)
	}
}

// TestMainStreamEnds: a viewer whose main stream ends, ends with its cause.
func TestMainStreamEnds(t *testing.T) {
	f := newRungsFixture(t, false)
	f.edge.mu.Lock()
	f.edge.running[""]()
	f.edge.mu.Unlock()
	var coded *problem.Error
	if err := <-f.ended; !errors.As(err, &coded) || coded.Reason.Code != "video_upstream_ended" {
		t.Error("the session ended with", err)
	}
}

// TestNoSubStream: a camera without a sub-stream is not asked for it again and again, and the viewer stays.
func TestNoSubStream(t *testing.T) {
	f := newRungsFixture(t, true)
	for range 5 {
		f.viewer.wanted <- webrtc.SubStream
	}
	f.viewer.wanted <- webrtc.MainStream // all before it were handled
	if n := f.edge.commanded(SubStream); n != maxRefusals {
		t.Errorf("%d publish commands for the sub-stream, want %d", n, maxRefusals)
	}
	if len(f.viewer.sent) > 0 || !f.edge.publishes("") {
		t.Error("the viewer was switched to another stream")
	}
}

// TestSwitchThatFails gives the upstream up that it was for.
func TestSwitchThatFails(t *testing.T) {
	f := newRungsFixture(t, false)
	f.viewer.err = webrtc.CodecError{Codec: streams.H265}
	f.viewer.wanted <- webrtc.SubStream
	f.viewer.wanted <- webrtc.MainStream // the step before it is over
	f.until("the sub-stream has stopped", func() bool { return f.edge.commanded(SubStream) == 1 && !f.edge.publishes(SubStream) })
	if !f.edge.publishes("") {
		t.Error("the main stream has ended")
	}
}
