package rtsp

import (
	"slices"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtp"

	"gridpost/streams"
)

// maxAudioPacket bounds the payload of one packet of audio in bytes: half a second of G.711.
const maxAudioPacket = 4000

// audioTrack makes access units of the packets of an audio track: one of each packet (RFC 3551, RFC 7587). A lost
// packet costs only itself.
type audioTrack struct {
	track   streams.Track
	session uint32
	index   int // of the track in the description
	clock   clock
	offset  time.Duration // from the audio's first packet to the video's first frame
}

// audioTrackOf returns the track of a format that can be passed on unchanged; ok is false for any other.
func audioTrackOf(f format.Format) (t streams.Track, ok bool) {
	switch f := f.(type) {
	case *format.G711:
		t = streams.Track{Codec: streams.PCMA, ClockRate: f.SampleRate, Channels: f.ChannelCount}
		if f.MULaw {
			t.Codec = streams.PCMU
		}
	case *format.Opus:
		if f.ChannelCount > 2 {
			return t, false
		}
		t = streams.Track{Codec: streams.Opus, ClockRate: f.ClockRate(), Channels: max(1, f.ChannelCount)}
	default:
		return t, false
	}
	return t, t.ClockRate > 0
}

// push returns the access unit of packet, which arrived at now, nil if it has no content. videoAt is when the
// session's first frame arrived: both clocks begin there, because the two timestamps have no relation before the
// first sender reports.
func (a *audioTrack) push(packet *rtp.Packet, now, videoAt time.Time) *streams.AccessUnit {
	if len(packet.Payload) == 0 || len(packet.Payload) > maxAudioPacket {
		return nil
	}
	if !a.clock.started {
		a.clock.rate = a.track.ClockRate
		a.offset = now.Sub(videoAt)
	}
	pts := a.offset + a.clock.presentationTime(packet.Timestamp, now)
	return &streams.AccessUnit{
		Track: a.index, Codec: a.track.Codec, Session: a.session,
		PTS: pts, DTS: pts, Arrived: now, Data: slices.Clone(packet.Payload),
	}
}
