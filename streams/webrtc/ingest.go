package webrtc

import (
	"context"
	"fmt"
	"time"

	"github.com/pion/webrtc/v4"
)

// Ingest is one publisher that fills a feed.
type Ingest struct {
	session *session
	feed    *Feed
	codec   codec
	answer  string
	tracks  chan *webrtc.TrackRemote // of capacity one: the first is taken, others are ignored
}

// NewIngest answers a publisher's offer (WHIP). The feed is filled while Run runs; the caller
// ends one Ingest before it runs the next of the same feed. The caller must call Run or
// Close. The error is ErrOffer or ErrCodec where the offer is at fault.
func (e *Engine) NewIngest(f *Feed, offer string) (*Ingest, error) {
	formats, err := offered(offer)
	if err != nil {
		return nil, err
	}
	in := &Ingest{feed: f, codec: formats[0], tracks: make(chan *webrtc.TrackRemote, 1)}
	api, err := e.api(in.codec)
	if err != nil {
		return nil, err
	}
	if in.session, err = receiving(api, in.tracks); err != nil {
		return nil, err
	}
	if in.answer, err = in.session.accept(offer); err != nil {
		in.Close()
		return nil, fmt.Errorf("answering a publisher: %w", err)
	}
	f.setCodec(in.codec)
	return in, nil
}

// receiving makes a session that takes one video track.
func receiving(api *webrtc.API, tracks chan<- *webrtc.TrackRemote) (*session, error) {
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, fmt.Errorf("making a peer connection: %w", err)
	}
	s := newSession(pc)
	pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		select {
		case tracks <- t:
		default:
		}
	})
	_, err = pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionRecvonly,
	})
	if err != nil {
		s.close()
		return nil, fmt.Errorf("adding the track: %w", err)
	}
	return s, nil
}

// firstTrack waits for the track that the peer sends.
func firstTrack(ctx context.Context, tracks <-chan *webrtc.TrackRemote) (*webrtc.TrackRemote, error) {
	late := time.NewTimer(picturesWithin)
	defer late.Stop()
	select {
	case t := <-tracks:
		return t, nil
	case <-late.C:
		return nil, ErrNoPictures
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Answer returns the session description for the publisher.
func (in *Ingest) Answer() string { return in.answer }

// Run fills the feed until the publisher has gone or ctx ends, and returns why: ErrLost,
// ErrLeft, ErrNoConnection, ErrNoPictures or ctx's cause.
func (in *Ingest) Run(ctx context.Context) error {
	return in.session.watch(ctx, func(ctx context.Context) error {
		t, err := firstTrack(ctx, in.tracks)
		if err != nil {
			return err
		}
		w := in.feed.writer()
		r := &receiver{session: in.session, track: t}
		r.deliver = func(a arrived, lost uint64) {
			if lost > 0 {
				w.lost(lost)
			}
			w.write(a.payload, a.timestamp, a.marker)
			if w.needKey {
				// An error ends the session by itself soon.
				if err := r.askKey(time.Now()); err != nil {
					in.session.end(err)
				}
			}
		}
		return r.run(ctx)
	})
}

// Close ends an Ingest that Run was never called for.
func (in *Ingest) Close() { in.session.close() }
