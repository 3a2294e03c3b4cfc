package webrtc

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// Ingest is the session of one publisher (WHIP).
type Ingest struct {
	session *session
	codec   codec
	audio   *codec // nil: none is offered
	answer  string
	tracks  tracks
}

// NewIngest answers a publisher's offer (WHIP). The caller must call Run or Close. The error is
// ErrOffer or ErrCodec where the offer is at fault.
func (e *Engine) NewIngest(offer string) (*Ingest, error) {
	offer, err := directed(offer, directionSend)
	if err != nil {
		return nil, err
	}
	usable, err := readOffer(offer)
	if err != nil {
		return nil, err
	}
	in := &Ingest{codec: usable.video[0], tracks: newTracks()}
	codecs := usable.video[:1]
	if len(usable.audio) > 0 {
		in.audio = &usable.audio[0]
		codecs = append(codecs[:1:1], *in.audio)
	}
	if in.session, err = e.receiving(false, in.tracks, in.audio != nil, codecs...); err != nil {
		return nil, err
	}
	if in.answer, err = in.session.accept(offer); err != nil {
		in.Close()
		return nil, fmt.Errorf("answering a publisher: %w", err)
	}
	return in, nil
}

// NewFeed returns an empty feed of the publisher's codecs.
func (in *Ingest) NewFeed() *Feed {
	f := NewFeed()
	f.setCodec(in.codec)
	if in.audio != nil {
		f.audio = newAudioFeed(*in.audio)
	}
	return f
}

// CanContinue reports whether this publisher can continue a feed of another one: they must have the same codecs.
func (in *Ingest) CanContinue(f *Feed) bool {
	if (in.audio == nil) != (f.audio == nil) || in.audio != nil && in.audio.name != f.audio.codec.name {
		return false
	}
	return f.sourceCodec().name == in.codec.name
}

// remoteTrack is a track that a peer sends, and the receiver of its RTCP.
type remoteTrack struct {
	*webrtc.TrackRemote
	receiver *webrtc.RTPReceiver
}

// tracks are those that a peer sends. Each channel is of capacity one: the first track is used, others are ignored.
type tracks struct{ video, audio chan remoteTrack }

func newTracks() tracks {
	return tracks{make(chan remoteTrack, 1), make(chan remoteTrack, 1)}
}

// receiving creates a session that accepts one video track, and one of audio if withAudio; see newConnection.
func (e *Engine) receiving(transport bool, to tracks, withAudio bool, codecs ...codec) (*session, error) {
	pc, _, err := e.newConnection(transport, true, codecs...)
	if err != nil {
		return nil, err
	}
	s := newSession(pc)
	pc.OnTrack(func(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
		into := to.video
		if t.Kind() == webrtc.RTPCodecTypeAudio {
			into = to.audio
		}
		select {
		case into <- remoteTrack{t, r}:
		default:
		}
	})
	kinds := []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo}
	if withAudio {
		kinds = append(kinds, webrtc.RTPCodecTypeAudio)
	}
	for _, kind := range kinds {
		_, err = pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		if err != nil {
			s.close()
			return nil, fmt.Errorf("adding the track: %w", err)
		}
	}
	return s, nil
}

// firstTrack waits for the track that the peer sends.
func firstTrack(ctx context.Context, tracks <-chan remoteTrack) (remoteTrack, error) {
	late := time.NewTimer(framesWithin)
	defer late.Stop()
	select {
	case t := <-tracks:
		return t, nil
	case <-late.C:
		return remoteTrack{}, ErrNoFrames
	case <-ctx.Done():
		return remoteTrack{}, context.Cause(ctx)
	}
}

// Answer returns the session description for the publisher.
func (in *Ingest) Answer() string { return in.answer }

// Run fills a feed until the publisher is gone or ctx ends, and returns why: ErrLost, ErrClosedByPeer,
// ErrNoConnection, ErrNoFrames, ErrBFrames, the error of connected or ctx's cause. It calls connected once the
// connection is established, for the feed. Only one Run at a time may fill a feed. The caller must call Close or
// Dismiss afterwards: if ctx ends before the connection is established, it stays open.
func (in *Ingest) Run(ctx context.Context, connected func(context.Context) (*Feed, error)) error {
	var clock, audioClock sourceClock
	var reports sync.WaitGroup
	defer reports.Wait()
	return in.session.run(ctx, func(ctx context.Context) error {
		f, err := connected(ctx)
		if err != nil {
			return err
		}
		if f.audio != nil {
			audioClock.rate = f.audio.codec.rate()
		}
		if in.audio != nil && f.audio != nil {
			reports.Go(func() { in.receiveAudio(ctx, f.audio, &audioClock, &reports) })
		}
		t, err := firstTrack(ctx, in.tracks.video)
		if err != nil {
			return err
		}
		w := f.writer()
		reports.Go(func() { clock.readReports(t) }) // until the peer connection closes
		r := newReceiver(in.session, t.TrackRemote)
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
			if w.reordered() {
				in.session.end(ErrBFrames)
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

// receiveAudio writes the publisher's audio to f until the session ends.
func (in *Ingest) receiveAudio(ctx context.Context, f *audioFeed, clock *sourceClock, reports *sync.WaitGroup) {
	var t remoteTrack
	select {
	case t = <-in.tracks.audio:
	case <-ctx.Done():
		return
	}
	reports.Go(func() { clock.readReports(t) }) // until the peer connection closes
	w := audioWriter{feed: f}
	buffer := make([]byte, 1600)
	for {
		n, _, err := t.Read(buffer)
		if err != nil {
			return // the track ends with its connection
		}
		var p rtp.Packet
		if err := p.Unmarshal(buffer[:n]); err != nil || len(p.Payload) == 0 {
			continue // the peer is authenticated, so it harms only itself
		}
		w.write(slices.Clone(p.Payload), p.SequenceNumber, p.Timestamp, p.Marker, clock.frameTime(p.Timestamp, time.Now()))
	}
}

// Close ends an Ingest whose Run was never called, or has returned.
func (in *Ingest) Close() { in.session.close() }

// Dismiss closes the connection after Run. A publisher that was still connecting is let connect first, for at
// most 15 s and while ctx lasts, so that it learns from the connection that its session has ended. Its media is
// not read.
func (in *Ingest) Dismiss(ctx context.Context) { in.session.dismiss(ctx) }
