package webrtc

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

// PlayOptions configure Play.
type PlayOptions struct {
	Client *http.Client // nil: http.DefaultClient
	URL    string       // of the WHEP endpoint
	Header http.Header  // sent with every request

	// The callbacks are called in order from one goroutine; each may be nil.
	OnReady  func()       // the endpoint has answered
	OnPacket func(Packet) // the callee may keep its payload
	OnFrame  func(Frame)

	drop func(sequence uint16) bool // tests lose packets by it
}

// Packet is one RTP packet, in order.
type Packet struct {
	Timestamp uint32
	Marker    bool
	Payload   []byte
	Lost      uint64 // packets before it that never arrived
}

// Frame describes one frame as it arrived; it is not decoded.
type Frame struct {
	At        time.Time // when its last packet arrived
	Timestamp uint32    // 90 kHz
	Keyframe  bool      // decoding can start at it
	Complete  bool      // nothing of it was lost
	Bytes     int       // of payload
	Packets   int
}

// PlayStats counts what arrived until Play returned.
type PlayStats struct {
	Packets                uint64
	Bytes                  uint64 // of payload
	Frames                 uint64
	Lost                   uint64 // packets that never arrived
	RetransmissionRequests uint64 // packets requested again
}

// playerCodecs returns what a player offers: H.264 in the profiles that Chromium offers without
// hardware decoding, in its order, and H.265.
func playerCodecs() []codec {
	var list []codec
	for i, profile := range []string{"42001f", "42e01f", "4d001f", "f4001f"} {
		fmtp := "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profile
		list = append(list, codec{name: streams.H264, fmtp: fmtp, payloadType: uint8(96 + i)})
	}
	return append(list, codec{name: streams.H265, payloadType: 100})
}

// Play plays from a WHEP endpoint until ctx ends or the session dies, and deletes the resource
// at the end. It returns nil when ctx ended and the resource is gone, else why the session
// ended: an *problem.Error when the endpoint refuses, and those of Ingest.Run. Many can run at once
// on one Engine without Listen.
func (e *Engine) Play(ctx context.Context, o PlayOptions) (PlayStats, error) {
	tracks := newTracks()
	s, err := e.receiving(true, tracks, false, playerCodecs()...)
	if err != nil {
		return PlayStats{}, err
	}
	to := endpoint{client: o.Client, url: o.URL, header: o.Header}
	resource, err := to.negotiate(ctx, s)
	if err != nil {
		s.close()
		return PlayStats{}, errors.Join(unlessDone(ctx, err), to.remove(ctx, resource))
	}
	if o.OnReady != nil {
		o.OnReady()
	}
	p := player{options: o}
	err = s.run(ctx, func(ctx context.Context) error {
		t, err := firstTrack(ctx, tracks.video)
		if err != nil {
			return err
		}
		p.coding = streams.H264
		if strings.EqualFold(t.Codec().MimeType, "video/H265") {
			p.coding = streams.H265
		}
		r := newReceiver(s, t.TrackRemote)
		r.drop, r.deliver = o.drop, p.deliver
		for _, x := range t.receiver.GetParameters().HeaderExtensions {
			if x.URI == transportURI {
				r.transport = newTransportReport(uint8(x.ID))
			}
		}
		defer func() { p.stats.Lost, p.stats.RetransmissionRequests = r.lost, r.nacked }()
		return r.run(ctx)
	})
	s.close()
	return p.stats, errors.Join(unlessDone(ctx, err), to.remove(ctx, resource))
}

// player counts what a receiver delivers and calls the callbacks.
type player struct {
	options PlayOptions
	coding  streams.Codec
	stats   PlayStats
	frame   Frame // under way
}

func (p *player) deliver(a rtpPacket, lost uint64) {
	p.stats.Packets++
	p.stats.Bytes += uint64(len(a.payload))
	if p.options.OnPacket != nil {
		p.options.OnPacket(Packet{Timestamp: a.timestamp, Marker: a.marker, Payload: a.payload, Lost: lost})
	}
	f := &p.frame
	if f.Packets == 0 || f.Timestamp != a.timestamp {
		*f = Frame{Timestamp: a.timestamp, Complete: true}
	}
	f.Packets++
	f.Bytes += len(a.payload)
	f.Complete = f.Complete && lost == 0
	f.Keyframe = f.Keyframe || h26x.StartsKeyframe(p.coding, a.payload)
	if !a.marker {
		return
	}
	p.stats.Frames++
	if p.options.OnFrame != nil {
		f.At = time.Now()
		p.options.OnFrame(*f)
	}
	*f = Frame{}
}
