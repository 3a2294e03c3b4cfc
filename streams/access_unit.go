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
)

// AccessUnit is one encoded frame of a stream and what describes it.
// An AccessUnit and the bytes that it points to are immutable once published; readers share them.
type AccessUnit struct {
	Codec Codec

	// Session counts the connections to the source, from 1. PTS is comparable only within
	// one session.
	Session uint32

	// PTS is the presentation time since the session's first access unit. It never runs backwards
	// within a session by more than the reordering of frames allows.
	PTS time.Duration

	// Arrived is when the last packet of the access unit reached this machine, by its wall clock.
	Arrived time.Time

	// Keyframe says that decoding can start here. The NALUs of a keyframe begin with the parameter
	// sets in force (SPS and PPS; for H.265 VPS too), even where the source sent them only
	// in its session description.
	Keyframe bool

	// NALUs are the network abstraction layer units of the frame, without start codes
	// and without length prefixes (ITU-T H.264, H.265 section 7.3.1).
	NALUs [][]byte
}

// Size returns the number of encoded bytes.
func (u *AccessUnit) Size() int {
	n := 0
	for _, nalu := range u.NALUs {
		n += len(nalu)
	}
	return n
}
