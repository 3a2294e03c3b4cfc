package webrtc

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/pion/webrtc/v4"
)

// Viewer is a peer to which a feed is sent.
type Viewer struct {
	session *session
	sender  *sender
	send    func(context.Context) error // run of sender, or of the pacedSender around it
	rtp     []*webrtc.RTPSender         // of the video, and of the audio if there is any
	answer  string
	codec   codec         // of the video
	ended   chan struct{} // closed when Run returns
}

// NewViewer answers a viewer's offer (WHEP). The caller must call Run or Close. The error is
// ErrOffer or ErrCodec where the offer is at fault.
func (e *Engine) NewViewer(f *Feed, offer string) (*Viewer, error) {
	offer, err := directed(offer, directionReceive)
	if err != nil {
		return nil, err
	}
	usable, err := readOffer(offer)
	if err != nil {
		return nil, err
	}
	c, err := choose(f.sourceCodec(), usable.video)
	if err != nil {
		return nil, err
	}
	codecs := []codec{c}
	if audio, ok := chooseAudio(f.audio, usable.audio); ok {
		codecs = append(codecs, audio)
	}
	v, err := e.newSending(f, true, codecs...)
	if err != nil {
		return nil, err
	}
	if v.answer, err = v.session.accept(offer); err != nil {
		v.Close()
		return nil, fmt.Errorf("answering a viewer: %w", err)
	}
	if !v.bound() {
		v.Close()
		return nil, fmt.Errorf("answering a viewer: %w: it does not receive the video", ErrOffer)
	}
	if v.sender.withTransport {
		v.send = newPacedViewer(v.sender).run
	}
	return v, nil
}

// bound reports whether the peer receives the video, and leaves the audio out if the peer does not receive that. It is
// called once both descriptions are set.
func (v *Viewer) bound() bool {
	if a := v.sender.audio; a != nil && a.stream == nil {
		v.sender.audio = nil
	}
	return v.sender.write != nil
}

// newSending creates a peer connection over which f is sent: its video with the first codec, its audio with the second,
// if there is one. transport says whether transport-wide feedback is wanted, if the peer can send it.
func (e *Engine) newSending(f *Feed, transport bool, codecs ...codec) (*Viewer, error) {
	pc, flush, err := e.newConnection(transport, false, codecs...)
	if err != nil {
		return nil, err
	}
	v := &Viewer{session: newSession(pc), sender: newSender(f, flush), codec: codecs[0], ended: make(chan struct{})}
	v.sender.writeRTCP, v.send = pc.WriteRTCP, v.sender.run
	for i, c := range codecs {
		t := &track{bind: v.sender.bind, codec: c}
		if i > 0 {
			v.sender.audio = newAudioSender(f.audio)
			t.bind = v.sender.audio.bind
		}
		transceiver, err := pc.AddTransceiverFromTrack(t, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		if err != nil {
			v.Close()
			return nil, fmt.Errorf("adding the track: %w", err)
		}
		v.rtp = append(v.rtp, transceiver.Sender())
	}
	return v, nil
}

// Answer returns the session description for the viewer.
func (v *Viewer) Answer() string { return v.answer }

// Run sends until the viewer is gone or ctx ends, and returns why: ErrLost, ErrClosedByPeer,
// ErrNoConnection or ctx's cause. The caller must call Close or Dismiss afterwards: if ctx ends before the connection is
// established, it stays open. No other goroutine of the viewer is left when Run returns.
func (v *Viewer) Run(ctx context.Context) error {
	var reader sync.WaitGroup
	defer reader.Wait()
	defer close(v.ended)
	return v.session.run(ctx, func(ctx context.Context) error {
		reader.Go(func() { // until the peer connection closes
			v.sender.readFeedback(func(p []byte) (int, error) {
				n, _, err := v.rtp[0].Read(p)
				return n, err
			})
		})
		for _, audio := range v.rtp[1:] {
			reader.Go(func() { discardFeedback(audio) })
		}
		err := v.send(ctx)
		if ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", ErrClosedByPeer, err) // writing fails once the connection is closed
		}
		return err
	})
}

// Close ends a viewer whose Run was never called, or has returned.
func (v *Viewer) Close() { v.session.close() }

// Dismiss closes the connection after Run. A viewer that was still connecting is let connect first, for at most
// 15 s and while ctx lasts, so that it learns from the connection that its session has ended. It is sent nothing.
func (v *Viewer) Dismiss(ctx context.Context) { v.session.dismiss(ctx) }

// Rung returns which of the camera's streams the viewer is sent.
func (v *Viewer) Rung() Rung { return Rung(v.sender.rung.Load()) }

// Stats returns the counters.
func (v *Viewer) Stats() SenderStats { return v.sender.stats() }

// discardFeedback reads RTCP that nobody needs until the peer connection closes, so that it does not pile up.
func discardFeedback(from *webrtc.RTPSender) {
	buffer := make([]byte, 1500)
	for {
		if _, _, err := from.Read(buffer); err != nil {
			return
		}
	}
}

// track adapts a sender to pion's TrackLocal.
type track struct {
	bind  func(webrtc.TrackLocalContext, webrtc.PayloadType) error
	codec codec
}

func (t *track) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	for _, p := range c.CodecParameters() {
		if strings.EqualFold(p.MimeType, t.codec.mime()) { // it is written as in the offer
			return p, t.bind(c, p.PayloadType)
		}
	}
	return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
}

func (t *track) Unbind(webrtc.TrackLocalContext) error { return nil }
func (t *track) ID() string                            { return t.codec.kind().String() }
func (t *track) RID() string                           { return "" }
func (t *track) Kind() webrtc.RTPCodecType             { return t.codec.kind() }

// StreamID differs between video and audio: a browser delays the tracks of one stream until they are in step, and the
// video must not wait for the audio's jitter buffer.
func (t *track) StreamID() string { return "gridpost-" + t.ID() }
