package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/devices"
	"gridpost/devices/problem"
	"gridpost/hub/api"
	"gridpost/streams/webrtc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestManyViewersShareOneUpstream(t *testing.T) {
	f := newFixture(t, Options{Linger: 300 * time.Millisecond})
	var players []*player
	for i := range 6 { // concurrent requests wait for the same start
		players = append(players, f.play(fmt.Sprint("viewer-", i), "?incident=42"))
	}
	for _, p := range players {
		f.waitForFrames(p)
	}
	late := f.play("late", "?reason=patrol")
	f.waitForFrames(late)
	if n := f.edge.count(api.CommandPublish); n != 1 {
		t.Errorf("%d publish commands for seven viewers, want 1", n)
	}
	if s := f.relay.Stats(); s.Viewers != 7 || s.Upstreams != 1 || s.Views != 7 || s.PacketsOut == 0 || s.PacketsIn == 0 {
		t.Errorf("stats %+v", s)
	}
	for _, p := range players {
		f.stop(p)
	}
	if n := f.edge.count(api.CommandStop); n != 0 {
		t.Error("the edge was commanded to stop while there was a viewer")
	}
	f.waitForFrames(late)
	f.stop(late)
	select {
	case <-f.edge.stopped:
	case <-time.After(10 * time.Second):
		t.Fatal("the upstream was not stopped after the last viewer")
	}
	f.eventually("the upstream has ended", func() bool { return f.relay.Stats().Upstreams == 0 })

	leases := f.leases.begun()
	if len(leases) != 7 {
		t.Fatalf("%d leases, want 7", len(leases))
	}
	for range leases {
		// The player closes the connection and deletes the session; the relay may notice either first.
		if why := f.ended(); why.Code != "video_viewer_ended" && why.Code != "video_viewer_closed" {
			t.Errorf("a lease ended because %v", why)
		}
	}
	l := leases[6]
	if l.Edge != "gate-7" || l.Device != "yard" || l.User != "late" || l.Reason != "patrol" || l.Incident != "" || l.Until.Sub(l.From) != 10*time.Minute {
		t.Errorf("lease %+v", l)
	}

	again := f.play("again", "?reason=test")
	f.waitForFrames(again)
	if n := f.edge.count(api.CommandPublish); n != 2 {
		t.Errorf("%d publish commands, want a second one", n)
	}
	if l := f.leases.begun()[7]; l.Reason != "test" {
		t.Errorf("lease %+v", l)
	}
	f.stop(again)
}

func TestViewEndsAtItsTimeLimit(t *testing.T) {
	f := newFixture(t, Options{MaxViewTime: 1500 * time.Millisecond})
	p := f.play("anna", "?reason=test")
	f.waitForFrames(p)
	if err := <-p.done; !errors.Is(err, webrtc.ErrClosedByPeer) {
		t.Errorf("the viewer ended with %v, want ErrClosedByPeer", err)
	}
	if why := f.ended(); why.Code != "video_time_limit" || why.Text != "the time limit of 1.5 s was reached" {
		t.Errorf("the lease ended because %v", why)
	}
}

func TestViewersEndWithTheirPublisher(t *testing.T) {
	f := newFixture(t, Options{})
	p := f.play("anna", "?reason=test")
	f.waitForFrames(p)
	f.edge.mu.Lock()
	f.edge.cancel() // the edge ends its session without a command
	f.edge.cancel = nil
	f.edge.mu.Unlock()
	if err := <-p.done; !errors.Is(err, webrtc.ErrClosedByPeer) {
		t.Errorf("the viewer ended with %v, want ErrClosedByPeer", err)
	}
	if why := f.ended(); why.Code != "video_upstream_ended" {
		t.Errorf("the lease ended because %v", why)
	}
	again := f.play("anna", "?reason=test")
	f.waitForFrames(again)
	if n := f.edge.count(api.CommandPublish); n != 2 {
		t.Errorf("%d publish commands, want 2", n)
	}
	f.stop(again)
}

// TestUnrequestedPublisherIsStopped: video of an edge that publishes without a command is sent to
// viewers; without viewers, the edge is commanded to stop.
func TestUnrequestedPublisherIsStopped(t *testing.T) {
	f := newFixture(t, Options{Unattended: 400 * time.Millisecond})
	if err := f.edge.Command(t.Context(), "gate-7", api.Command{Kind: api.CommandPublish, Device: "yard"}); err != nil {
		t.Fatal(err)
	}
	f.eventually("the upstream has started", func() bool { return f.relay.Stats().Upstreams == 1 })
	p := f.play("anna", "?reason=test")
	f.waitForFrames(p)
	if n := f.edge.count(api.CommandPublish); n != 1 {
		t.Errorf("%d publish commands, want only the test's own", n)
	}
	f.stop(p)
	f.eventually("the edge is commanded to stop", func() bool { return f.edge.count(api.CommandStop) == 1 })
	f.eventually("the upstream has ended", func() bool { return f.relay.Stats().Upstreams == 0 })
}

func TestEdgeRefuses(t *testing.T) {
	for _, x := range []struct {
		name   string
		set    func(*edge)
		detail string
	}{
		{"with a cause", func(e *edge) { e.refuse = Refused{Cause: devices.NewCause("camera_not_online", "device", "yard")} }, "yard is not online"},
		{"wrapped", func(e *edge) {
			e.refuse = fmt.Errorf("commanding: %w", Refused{Cause: devices.Cause{Text: "the edge is not connected"}})
		}, "the edge is not connected"},
		{"with an internal error", func(e *edge) { e.refuse = errors.New("database is locked") }, "the edge does not answer"},
		{"does not publish", func(e *edge) { e.silent = true }, "the edge has not begun to send within 300 ms"},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := newFixture(t, Options{StartTimeout: 300 * time.Millisecond})
			f.edge.mu.Lock()
			x.set(f.edge)
			f.edge.mu.Unlock()
			err := <-f.play("anna", "?reason=test").done
			var refusal *problem.Error
			if !errors.As(err, &refusal) || refusal.Status != http.StatusServiceUnavailable || refusal.Detail != x.detail {
				t.Errorf("got %v, want 503 with %q", err, x.detail)
			}
			if len(f.leases.begun()) != 0 {
				t.Error("a lease was stored although there was no session")
			}
		})
	}
}

func TestViewIsRefusedWhenItsLeaseCannotBeStored(t *testing.T) {
	f := newFixture(t, Options{})
	f.leases.fail = errors.New("disk full")
	err := <-f.play("anna", "?reason=test").done
	var refusal *problem.Error
	if !errors.As(err, &refusal) || refusal.Status != http.StatusInternalServerError || refusal.Detail != "" {
		t.Errorf("got %v, want 500 without detail", err)
	}
}

func TestNumberOfViewersIsLimited(t *testing.T) {
	f := newFixture(t, Options{MaxViewers: 1})
	p := f.play("anna", "?reason=test")
	f.waitForFrames(p)
	err := <-f.play("ben", "?reason=test").done
	var refusal *problem.Error
	if !errors.As(err, &refusal) || refusal.Status != http.StatusServiceUnavailable || !strings.Contains(refusal.Detail, "limit of 1 viewers") {
		t.Errorf("got %v, want 503", err)
	}
	f.stop(p)
	for range 50 { // the place is free once the DELETE is answered
		at := f.request("POST", "/whep/gate-7/yard?reason=test", typeSDP, offer(), 201, "Who", "anna").header.Get("Location")
		f.request("DELETE", at, "", "", 200, "Who", "anna")
	}
}

func TestViewWithoutAReasonIsRefused(t *testing.T) {
	f := newFixture(t, Options{})
	err := <-f.play("anna", "").done
	var refusal *problem.Error
	if !errors.As(err, &refusal) || refusal.Status != http.StatusBadRequest || refusal.Code != "video_reason_missing" {
		t.Errorf("got %v, want 400", err)
	}
	if f.edge.count(api.CommandPublish) != 0 || len(f.leases.begun()) != 0 {
		t.Error("the edge was commanded, or a lease stored")
	}
}

// TestPublisherThatDoesNotConnectReplacesNone: an offer alone must not end the video of a camera.
func TestPublisherThatDoesNotConnectReplacesNone(t *testing.T) {
	f := newFixture(t, Options{})
	p := f.play("anna", "?reason=test")
	f.waitForFrames(p)
	at := f.request("POST", "/whip/gate-7/yard", typeSDP, publishOffer(), 201, "Who", "user:1").header.Get("Location")
	before := f.relay.Stats().PacketsIn
	f.eventually("more packets arrive from the edge", func() bool { return f.relay.Stats().PacketsIn > before+300 })
	if f.edge.count(api.CommandStop) != 0 {
		t.Error("the edge was commanded to stop")
	}
	f.request("DELETE", at, "", "", 200)
	f.waitForFrames(p)
	f.stop(p)
}

func TestNumberOfPublishersIsLimited(t *testing.T) {
	f := newFixture(t, Options{})
	var sessions []string
	for range maxPublishers {
		sessions = append(sessions, f.request("POST", "/whip/gate-7/yard", typeSDP, publishOffer(), 201, "Who", "user:1").header.Get("Location"))
	}
	f.request("POST", "/whip/gate-7/yard", typeSDP, publishOffer(), 503, "Who", "user:1")
	for range 100 { // the place is free once the DELETE is answered
		f.request("DELETE", sessions[0], "", "", 200)
		sessions[0] = f.request("POST", "/whip/gate-7/yard", typeSDP, publishOffer(), 201, "Who", "user:1").header.Get("Location")
	}
	for _, at := range sessions {
		f.request("DELETE", at, "", "", 200)
	}
}

// publicationRecorder records publications in memory.
type publicationRecorder struct {
	fail  error
	begun chan Publication
	ended chan Publication
}

func (r publicationRecorder) Begin(_ context.Context, p Publication) (func(devices.Cause), error) {
	if r.fail != nil {
		return nil, r.fail
	}
	r.begun <- p
	return func(devices.Cause) { r.ended <- p }, nil
}

func TestPublicationsAreRecorded(t *testing.T) {
	records := publicationRecorder{begun: make(chan Publication, 10), ended: make(chan Publication, 10)}
	f := newFixture(t, Options{Publications: records})
	at := f.request("POST", "/whip/gate-7/yard", typeSDP, publishOffer(), 201, "Who", "user:1").header.Get("Location")
	if p := <-records.begun; p.By != "user:1" || p.Edge != "gate-7" || p.Device != "yard" || len(records.ended) != 0 {
		t.Errorf("%+v", p)
	}
	f.request("DELETE", at, "", "", 200)
	if p := <-records.ended; p.By != "user:1" {
		t.Errorf("%+v", p)
	}
	view := f.play("anna", "?reason=test") // the edge's own publication follows from the view
	f.waitForFrames(view)
	if p := <-records.begun; !p.ByEdge() || p.Device != "yard" || len(records.ended) != 0 {
		t.Errorf("%+v", p)
	}
	f.stop(view)
	if p := <-records.ended; !p.ByEdge() {
		t.Errorf("%+v", p)
	}
}

func TestPublicationIsRefusedWhenItCannotBeRecorded(t *testing.T) {
	f := newFixture(t, Options{Publications: publicationRecorder{fail: errors.New("disk full")}})
	f.request("POST", "/whip/gate-7/yard", typeSDP, publishOffer(), 500, "Who", "user:1")
	if n := len(f.relay.publishers) + len(f.relay.publishing); n != 0 {
		t.Errorf("%d publishers are left", n)
	}
}
