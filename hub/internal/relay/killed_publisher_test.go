package relay

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"

	"gridpost/streams"
	"gridpost/streams/streamtest"
	"gridpost/streams/webrtc"
)

const publishURL = "GRIDPOST_RELAY_VANISH_URL"

// TestKilledPublisherIsDetected kills the publisher's process, which sends no end of session: the hub
// can only detect that no packets arrive.
func TestKilledPublisherIsDetected(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the ICE timeout")
	}
	f := newFixture(t, Options{})
	f.edge.silent = true // the other process publishes instead of the edge
	edge := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPublisherToKill$")
	edge.Env = append(os.Environ(), publishURL+"="+f.server.URL+"/whip/gate-7/yard")
	if err := edge.Start(); err != nil {
		t.Fatal(err)
	}
	p := f.play("anna", "?reason=test")
	f.waitForFrames(p)
	if err := edge.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := edge.Wait(); err == nil {
		t.Error("the publisher was not killed")
	}
	if err := <-p.done; !errors.Is(err, webrtc.ErrClosedByPeer) && !errors.Is(err, webrtc.ErrNoFrames) {
		t.Errorf("the viewer ended with %v", err)
	}
	why := f.ended()
	t.Log(why)
	if cause := why.Params["cause_code"]; cause != "session_lost" && cause != "session_no_frames" {
		t.Errorf("the lease ended because %v", why)
	}
	f.eventually("the upstream has ended", func() bool { return f.relay.Stats().Upstreams == 0 })
}

// TestPublisherToKill runs in the other process.
func TestPublisherToKill(t *testing.T) {
	url := os.Getenv(publishURL)
	if url == "" {
		t.Skip("TestKilledPublisherIsDetected runs this")
	}
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stream := streams.New(streams.Options{})
	go streamtest.Publish(context.Background(), stream)
	t.Fatal(engine.Publish(t.Context(), webrtc.PublishOptions{URL: url, Stream: stream}))
}
