// Package streams carries encoded media from one source to many readers.
//
// A Stream never waits for a reader: the camera alone sets the pace. A reader that cannot follow
// loses whole GOPs (groups of pictures: a keyframe and the frames that depend on it), and the loss
// is counted.
//
// The package knows no transport and no codec library: rtsp, webrtc and simcam adapt to it.
// It must not import edge, hub, detection or any of its own adapters.
package streams

import "time"

// Codec names a codec as SDP does (RFC 8866, the encoding name of "a=rtpmap").
type Codec string

// The codecs that an AccessUnit can carry.
const (
	H264 Codec = "H264"
	H265 Codec = "H265"
	JPEG Codec = "JPEG" // motion JPEG (RFC 2435)

	PCMU Codec = "PCMU" // G.711 mu-law
	PCMA Codec = "PCMA" // G.711 A-law
	Opus Codec = "opus"
)

// IsAudio reports whether the codec is one of audio.
func (c Codec) IsAudio() bool { return c == PCMU || c == PCMA || c == Opus }

// Name returns the codec as people write it.
func (c Codec) Name() string {
	switch c {
	case H264:
		return "H.264"
	case H265:
		return "H.265"
	case JPEG:
		return "motion JPEG"
	case PCMU:
		return "G.711 mu-law"
	case PCMA:
		return "G.711 A-law"
	case Opus:
		return "Opus"
	}
	return string(c)
}

// AccessUnit is one encoded frame of a track, or one packet of audio, and what describes it.
// An AccessUnit and the bytes that it points to are immutable once published; readers share them.
type AccessUnit struct {
	// Track is the index of the track in the stream's Description; 0 is the video.
	Track int
	Codec Codec

	// Session counts the connections to the source, from 1. PTS and DTS are comparable only within
	// one session.
	Session uint32

	// PTS is the presentation time since the first frame of the session's video, for all tracks. It never
	// runs backwards within a track by more than the reordering of frames allows.
	PTS time.Duration

	// DTS is the decoding time: at most PTS, and rising within a session's track. It differs from PTS only in
	// a stream with B-frames, and can be negative for the first frames of one.
	DTS time.Duration

	// Arrived is when the last packet of the access unit reached this machine, by its wall clock.
	Arrived time.Time

	// CaptureTime is when the source captured the frame, by the source's clock (RTCP sender reports, RFC 3550
	// section 6.4.1); zero: unknown.
	CaptureTime time.Time

	// Keyframe says that decoding can start here. The NALUs of a keyframe begin with the parameter
	// sets in force (SPS and PPS; for H.265 VPS too), even where the source sent them only
	// in its session description. Every frame of motion JPEG is one; audio never is.
	Keyframe bool

	// Leading says that the frame is shown before the keyframe that it follows and depends on frames before
	// that (RASL of H.265; H.264 likewise where a recovery point starts a GOP). It cannot be decoded by who
	// starts at that keyframe.
	Leading bool

	// NALUs are the network abstraction layer units of a frame of H.264 or H.265, without start codes
	// and without length prefixes (ITU-T H.264, H.265 section 7.3.1).
	NALUs [][]byte

	// Data is a complete image of motion JPEG, or the payload of one RTP packet of audio. It is nil if NALUs
	// are set.
	Data []byte
}

// Size returns the number of encoded bytes.
func (u *AccessUnit) Size() int {
	n := len(u.Data)
	for _, nalu := range u.NALUs {
		n += len(nalu)
	}
	return n
}
