package relay

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"gridpost/streams"
	"gridpost/streams/webrtc"
)

const vanishURL = "GRIDPOST_RELAY_VANISH_URL"

// TestKilledPublisher kills the process that publishes: nothing tells the hub that it has gone
// but silence.
func TestKilledPublisher(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as ICE takes to give a peer up")
	}
	b := newBench(t, Options{})
	b.edge.silent = true // the process takes the edge's part
	edge := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPublisherToKill$")
	edge.Env = append(os.Environ(), vanishURL+"="+b.server.URL+"/whip/gate-7/yard")
	if err := edge.Start(); err != nil {
		t.Fatal(err)
	}
	p := b.play("anna", "")
	b.moves(p)
	if err := edge.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := edge.Wait(); err == nil {
		t.Error("the publisher was not killed")
	}
	if err := <-p.done; !errors.Is(err, webrtc.ErrClosedByPeer) && !errors.Is(err, webrtc.ErrNoFrames) {
		t.Errorf("the viewer sees %v", err)
	}
	why := b.ended()
	t.Log(why)
	if !strings.Contains(why, webrtc.ErrLost.Error()) && !strings.Contains(why, webrtc.ErrNoFrames.Error()) {
		t.Errorf("the lease ended because %q", why)
	}
	b.eventually("the upstream has ended", func() bool { return b.relay.Stats().Upstreams == 0 })
}

// TestPublisherToKill is the other process.
func TestPublisherToKill(t *testing.T) {
	url := os.Getenv(vanishURL)
	if url == "" {
		t.Skip("TestKilledPublisher runs this")
	}
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stream := streams.New(streams.Options{})
	go shoot(context.Background(), stream)
	t.Fatal(engine.Publish(t.Context(), webrtc.PublishOptions{URL: url, Stream: stream}))
}
