package webrtc

import (
	"context"
	"fmt"
	"sync"

	"github.com/pion/webrtc/v4"
)

// Viewer is a peer to which a feed is sent.
type Viewer struct {
	session *session
	sender  *sender
	send    func(context.Context) error // run of sender, or of the pacedSender around it
	rtp     *webrtc.RTPSender
	answer  string
}

// NewViewer answers a viewer's offer (WHEP). The caller must call Run or Close. The error is
// ErrOffer or ErrCodec where the offer is at fault.
func (e *Engine) NewViewer(f *Feed, offer string) (*Viewer, error) {
	formats, err := offered(offer)
	if err != nil {
		return nil, err
	}
	c, err := choose(f.sourceCodec(), formats)
	if err != nil {
		return nil, err
	}
	v, err := e.newSending(f, c)
	if err != nil {
		return nil, err
	}
	if v.answer, err = v.session.accept(offer); err != nil {
		v.Close()
		return nil, fmt.Errorf("answering a viewer: %w", err)
	}
	return v, nil
}

// newSending creates a peer connection over which f is sent.
func (e *Engine) newSending(f *Feed, c codec) (*Viewer, error) {
	api, err := e.api(c)
	if err != nil {
		return nil, err
	}
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, fmt.Errorf("creating a peer connection: %w", err)
	}
	v := &Viewer{session: newSession(pc), sender: newSender(f, e.flush)}
	v.sender.writeRTCP, v.send = pc.WriteRTCP, v.sender.run
	transceiver, err := pc.AddTransceiverFromTrack(&track{sender: v.sender, codec: c}, webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionSendonly,
	})
	if err != nil {
		v.Close()
		return nil, fmt.Errorf("adding the track: %w", err)
	}
	v.rtp = transceiver.Sender()
	return v, nil
}

// Answer returns the session description for the viewer.
func (v *Viewer) Answer() string { return v.answer }

// Run sends until the viewer is gone or ctx ends, and returns why: ErrLost, ErrClosedByPeer,
// ErrNoConnection or ctx's cause. No goroutine of the viewer is left when it returns.
func (v *Viewer) Run(ctx context.Context) error {
	var reader sync.WaitGroup
	defer reader.Wait()
	return v.session.run(ctx, func(ctx context.Context) error {
		reader.Go(func() { // until the peer connection closes
			v.sender.readFeedback(func(p []byte) (int, error) {
				n, _, err := v.rtp.Read(p)
				return n, err
			})
		})
		err := v.send(ctx)
		if ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", ErrClosedByPeer, err) // writing fails once the connection is closed
		}
		return err
	})
}

// Close ends a viewer whose Run was never called.
func (v *Viewer) Close() { v.session.close() }

// Stats returns the counters.
func (v *Viewer) Stats() SenderStats { return v.sender.stats() }

// track adapts a sender to pion's TrackLocal.
type track struct {
	sender *sender
	codec  codec
}

func (t *track) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	for _, p := range c.CodecParameters() {
		if p.MimeType == t.codec.mime() {
			return p, t.sender.bind(c, p.PayloadType)
		}
	}
	return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
}

func (t *track) Unbind(webrtc.TrackLocalContext) error { return nil }
func (t *track) ID() string                            { return "video" }
func (t *track) RID() string                           { return "" }
func (t *track) StreamID() string                      { return "gridpost" }
func (t *track) Kind() webrtc.RTPCodecType             { return webrtc.RTPCodecTypeVideo }
