package relay

import (
	"context"
	"time"

	"gridpost/streams/webrtc"
)

// laddered is an output that can be sent either of a camera's streams: a webrtc.Viewer.
type laddered interface {
	Wanted() <-chan webrtc.Rung
	Switch(ctx context.Context, f *webrtc.Feed, to webrtc.Rung) error
}

// rungs keeps a viewer on that stream of the camera which the viewer's line carries. It holds the upstream that the
// viewer is sent, and for the moment of a switch the other one too.
type rungs struct {
	relay    *Relay
	key      pathKey // of the main stream
	viewer   laddered
	end      context.CancelCauseFunc // ends the viewer's session
	on       webrtc.Rung
	upstream *upstream // of on
	release  func()    // of upstream

	refusals int // of the sub-stream
}

const (
	stepLimit   = 20 * time.Second // for the start of an upstream, and its next keyframe
	maxRefusals = 2                // of the sub-stream: then there is none for this viewer
)

// run fulfils the viewer's wishes until ctx ends, and ends the session when the upstream does that the viewer is sent,
// unless another one can take its place.
func (s *rungs) run(ctx context.Context) {
	var wanted <-chan webrtc.Rung
	if s.viewer != nil {
		wanted = s.viewer.Wanted()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case to := <-wanted:
			s.step(ctx, to)
		case <-s.upstream.ctx.Done():
			if s.on == webrtc.MainStream || !s.step(ctx, webrtc.MainStream) {
				s.end(context.Cause(s.upstream.ctx))
				return
			}
		}
	}
}

// step switches the viewer and reports whether it did. The viewer goes on with what it is sent meanwhile, and if that
// fails: a camera may have no sub-stream, or one of another codec, and its edge may be busy.
func (s *rungs) step(ctx context.Context, to webrtc.Rung) bool {
	if to == s.on || to == webrtc.SubStream && s.refusals >= maxRefusals {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	if s.on == webrtc.MainStream { // the session ends with the main stream
		defer context.AfterFunc(s.upstream.ctx, cancel)()
	}
	key := s.key
	if to == webrtc.SubStream {
		key.stream = SubStream
	}
	up, release, err := s.relay.acquire(ctx, key)
	if err == nil {
		if err = s.viewer.Switch(ctx, up.feed, to); err != nil {
			release()
		}
	}
	if err != nil {
		if to == webrtc.SubStream {
			s.refusals++
		}
		s.relay.o.Logger.Info("switching a viewer to another stream", "device", key.String(), "stream", to.String(), "error", err)
		return false
	}
	s.release()
	s.on, s.upstream, s.release = to, up, release
	return true
}
