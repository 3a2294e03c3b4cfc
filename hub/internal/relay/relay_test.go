package relay

import (
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

func TestManyViewersCostOneUpstream(t *testing.T) {
	b := newBench(t, Options{Linger: 300 * time.Millisecond})
	var players []*player
	for i := range 6 { // at once: their requests meet in the same wait
		players = append(players, b.play(fmt.Sprint("viewer-", i), "?incident=42"))
	}
	for _, p := range players {
		b.moves(p)
	}
	late := b.play("late", "?reason=patrol")
	b.moves(late)
	if n := b.edge.count(api.CommandPublish); n != 1 {
		t.Errorf("%d publish commands for seven viewers, want 1", n)
	}
	if s := b.relay.Stats(); s.Viewers != 7 || s.Upstreams != 1 || s.Views != 7 || s.PacketsOut == 0 || s.PacketsIn == 0 {
		t.Errorf("stats %+v", s)
	}
	for _, p := range players {
		b.stop(p)
	}
	if n := b.edge.count(api.CommandStop); n != 0 {
		t.Error("stopped while one was watching")
	}
	b.moves(late)
	b.stop(late)
	select {
	case <-b.edge.stopped:
	case <-time.After(10 * time.Second):
		t.Fatal("the upstream was not stopped after the last viewer")
	}
	b.eventually("the upstream has ended", func() bool { return b.relay.Stats().Upstreams == 0 })

	leases := b.record.begun()
	if len(leases) != 7 {
		t.Fatalf("%d leases, want 7", len(leases))
	}
	for range leases {
		// The player closes the connection and deletes the resource; either may be seen first.
		if why := b.ended(); why != "the viewer ended it" && why != "the viewer closed the connection" {
			t.Errorf("a lease ended because %q", why)
		}
	}
	l := leases[6]
	if l.Edge != "gate-7" || l.Device != "yard" || l.Who != "late" || l.Reason != "patrol" || l.Incident != "" || l.Until.Sub(l.From) != 10*time.Minute {
		t.Errorf("lease %+v", l)
	}

	again := b.play("again", "")
	b.moves(again)
	if n := b.edge.count(api.CommandPublish); n != 2 {
		t.Errorf("%d publish commands, want a second one", n)
	}
	if l := b.record.begun()[7]; l.Reason != "unspecified" {
		t.Errorf("lease without a reason: %+v", l)
	}
	b.stop(again)
}

func TestViewEndsAtItsLimit(t *testing.T) {
	b := newBench(t, Options{MaxView: 1500 * time.Millisecond})
	p := b.play("anna", "")
	b.moves(p)
	if err := <-p.done; !errors.Is(err, webrtc.ErrClosedByPeer) {
		t.Errorf("the viewer sees %v, want ErrLeft", err)
	}
	if why := b.ended(); why != "the time limit of 1.5s was reached" {
		t.Errorf("the lease ended because %q", why)
	}
}

func TestPublisherVanishes(t *testing.T) {
	b := newBench(t, Options{})
	p := b.play("anna", "")
	b.moves(p)
	b.edge.mu.Lock()
	b.edge.cancel() // the edge ends its session by itself
	b.edge.cancel = nil
	b.edge.mu.Unlock()
	if err := <-p.done; !errors.Is(err, webrtc.ErrClosedByPeer) {
		t.Errorf("the viewer sees %v, want ErrLeft", err)
	}
	if why := b.ended(); !strings.HasPrefix(why, "the picture from the edge ended: ") {
		t.Errorf("the lease ended because %q", why)
	}
	again := b.play("anna", "")
	b.moves(again)
	if n := b.edge.count(api.CommandPublish); n != 2 {
		t.Errorf("%d publish commands, want 2", n)
	}
	b.stop(again)
}

// TestStrayPublisher has an edge send what nobody has asked for: it is served to who comes, and
// stopped when nobody does.
func TestStrayPublisher(t *testing.T) {
	b := newBench(t, Options{Unattended: 400 * time.Millisecond})
	if err := b.edge.Command(t.Context(), "gate-7", api.Command{Kind: api.CommandPublish, Device: "yard"}); err != nil {
		t.Fatal(err)
	}
	b.eventually("the stray is there", func() bool { return b.relay.Stats().Upstreams == 1 })
	p := b.play("anna", "")
	b.moves(p)
	if n := b.edge.count(api.CommandPublish); n != 1 {
		t.Errorf("%d publish commands, want only the test's own", n)
	}
	b.stop(p)
	b.eventually("the stray is told to stop", func() bool { return b.edge.count(api.CommandStop) == 1 })
	b.eventually("the stray has ended", func() bool { return b.relay.Stats().Upstreams == 0 })
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
		{"without words", func(e *edge) { e.refuse = errors.New("database is locked") }, "the edge does not answer"},
		{"never begins", func(e *edge) { e.silent = true }, "the edge has not begun to send within 300ms"},
	} {
		t.Run(x.name, func(t *testing.T) {
			b := newBench(t, Options{Start: 300 * time.Millisecond})
			b.edge.mu.Lock()
			x.set(b.edge)
			b.edge.mu.Unlock()
			err := <-b.play("anna", "").done
			var refusal *problem.Error
			if !errors.As(err, &refusal) || refusal.Status != http.StatusServiceUnavailable || refusal.Detail != x.detail {
				t.Errorf("got %v, want 503 with %q", err, x.detail)
			}
			if len(b.record.begun()) != 0 {
				t.Error("a view that never was is on record")
			}
		})
	}
}

func TestUnrecordedViewDoesNotHappen(t *testing.T) {
	b := newBench(t, Options{})
	b.record.fail = errors.New("disk full")
	err := <-b.play("anna", "").done
	var refusal *problem.Error
	if !errors.As(err, &refusal) || refusal.Status != http.StatusInternalServerError || refusal.Detail != "" {
		t.Errorf("got %v, want 500 without detail", err)
	}
}

func TestViewersAreBounded(t *testing.T) {
	b := newBench(t, Options{MaxViewers: 1})
	p := b.play("anna", "")
	b.moves(p)
	err := <-b.play("ben", "").done
	var refusal *problem.Error
	if !errors.As(err, &refusal) || refusal.Status != http.StatusServiceUnavailable || !strings.Contains(refusal.Detail, "limit of 1 viewers") {
		t.Errorf("got %v, want 503", err)
	}
	b.stop(p)
}
