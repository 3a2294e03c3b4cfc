package webrtc

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
)

// Ingest is the session of one publisher (WHIP).
type Ingest struct {
	session *session
	codec   codec
	answer  string
	tracks  chan *webrtc.TrackRemote // of capacity one: the first is used, others are ignored
}

// NewIngest answers a publisher's offer (WHIP). The caller must call Run or Close. The error is
// ErrOffer or ErrCodec where the offer is at fault.
func (e *Engine) NewIngest(offer string) (*Ingest, error) {
	formats, err := offered(offer)
	if err != nil {
		return nil, err
	}
	in := &Ingest{codec: formats[0], tracks: make(chan *webrtc.TrackRemote, 1)}
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
	return in, nil
}

// NewFeed returns an empty feed of the publisher's codec.
func (in *Ingest) NewFeed() *Feed {
	f := NewFeed()
	f.setCodec(in.codec)
	return f
}

// CanContinue reports whether this publisher can continue a feed of another one: they must have the same codec.
func (in *Ingest) CanContinue(f *Feed) bool { return f.sourceCodec().name == in.codec.name }

// receiving creates a session that accepts one video track.
func receiving(api *webrtc.API, tracks chan<- *webrtc.TrackRemote) (*session, error) {
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, fmt.Errorf("creating a peer connection: %w", err)
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
	late := time.NewTimer(framesWithin)
	defer late.Stop()
	select {
	case t := <-tracks:
		return t, nil
	case <-late.C:
		return nil, ErrNoFrames
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Answer returns the session description for the publisher.
func (in *Ingest) Answer() string { return in.answer }

// Run fills f until the publisher is gone or ctx ends, and returns why: ErrLost, ErrClosedByPeer,
// ErrNoConnection, ErrNoFrames or ctx's cause. Only one Run at a time may fill f.
func (in *Ingest) Run(ctx context.Context, f *Feed) error {
	var clock sourceClock
	var reports sync.WaitGroup
	defer reports.Wait()
	return in.session.run(ctx, func(ctx context.Context) error {
		t, err := firstTrack(ctx, in.tracks)
		if err != nil {
			return err
		}
		w := f.writer()
		for _, from := range in.session.pc.GetReceivers() {
			reports.Go(func() { clock.readReports(from) }) // until the peer connection closes
		}
		r := newReceiver(in.session, t)
		r.reports, r.clock = &receptionReport{ssrc: r.ssrc}, &clock
		r.deliver = func(a rtpPacket, lost uint64) {
			if lost > 0 {
				w.lost(lost)
			}
			if !w.inFrame || a.timestamp != w.sourceTimestamp { // the packets of a frame have headers of one size
				w.captured = ntp(clock.captureTime(a.timestamp, time.Now()))
			}
			w.write(a.payload, a.timestamp, a.marker)
			if a.marker && !w.needKeyframe {
				w.setCaptureTime(clock.frameTime(a.timestamp, time.Now()))
			}
			if w.needKeyframe {
				// Without the connection the session cannot continue.
				if err := r.requestKeyframe(time.Now()); err != nil {
					in.session.end(err)
				}
			}
		}
		return r.run(ctx)
	})
}

// Close ends an Ingest whose Run was never called.
func (in *Ingest) Close() { in.session.close() }
