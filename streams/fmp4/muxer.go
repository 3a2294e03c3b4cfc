// Package fmp4 writes the video of one camera as fragmented MP4 (ISO/IEC 14496-12), one fragment for each frame, as
// Media Source Extensions read it. It carries video where WebRTC does not get through.
//
// It must not import another adapter of streams.
package fmp4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"

	"gridpost/streams"
)

const (
	timeScale     = 90000 // of all times, in Hz
	trackID       = 1
	usualDuration = timeScale / 25 // of a frame, while no other is known
	maxDuration   = 10 * timeScale
)

// Errors of Append.
var (
	// ErrCodec means that the codec cannot be carried: only H.264 and H.265 can.
	ErrCodec = errors.New("fragmented MP4 carries H.264 and H.265 only")
	// ErrNoKeyframe means that the first frame is no keyframe with its parameter sets.
	ErrNoKeyframe = errors.New("the first frame is no keyframe with parameter sets")
)

// Frame is one access unit.
type Frame struct {
	NALUs    [][]byte // without start codes
	Time     uint64   // presentation time in units of 1/90000 s; it increases from frame to frame
	Keyframe bool
	Captured time.Time // when the camera's site had the frame; zero: unknown
	Sent     time.Time // when the fragment is sent; zero: unknown
}

// Muxer writes frames of one stream. It is for one goroutine.
type Muxer struct {
	header   header
	sequence uint32
	last     uint64 // Frame.Time of the last frame
	duration uint32 // of the last frame
}

// NewMuxer returns a Muxer of a stream without frames.
func NewMuxer(codec streams.Codec) *Muxer {
	return &Muxer{header: header{codec: codec}, duration: usualDuration}
}

// ContentType returns the media type with the codec's parameters (RFC 6381), such as
// video/mp4; codecs="avc1.64001f". It is valid once Append has returned the first fragment.
func (m *Muxer) ContentType() string { return `video/mp4; codecs="` + m.header.params + `"` }

// Append appends the fragment of f to b, and before it an initialization segment if the parameter sets are new. The
// first frame must be a keyframe.
func (m *Muxer) Append(b []byte, f Frame) ([]byte, error) {
	if f.Keyframe {
		init, err := m.header.segment(f.NALUs)
		if err != nil {
			return b, err
		}
		b = append(b, init...)
	}
	if m.header.params == "" {
		return b, ErrNoKeyframe
	}
	payload := appendSample(nil, m.header.codec, f.NALUs)
	// The length of a frame is known only when the next one is there. The last one's length stands for it: each fragment
	// has its own time, so that nothing adds up.
	if step := f.Time - m.last; m.sequence > 0 && step > 0 && step <= maxDuration {
		m.duration = uint32(step)
	}
	m.sequence++
	m.last = f.Time
	part := fmp4.Part{SequenceNumber: m.sequence, Tracks: []*fmp4.PartTrack{{
		ID: trackID, BaseTime: f.Time,
		Samples: []*fmp4.Sample{{Duration: m.duration, IsNonSyncSample: !f.Keyframe, Payload: payload}},
	}}}
	var out seekablebuffer.Buffer
	if err := part.Marshal(&out); err != nil {
		return b, fmt.Errorf("writing a fragment: %w", err)
	}
	b = appendReferenceTime(b, capturedFlag, f.Captured, f.Time)
	b = appendReferenceTime(b, sentFlag, f.Sent, f.Time)
	return append(b, out.Bytes()...), nil
}

// Flags of producer reference time boxes (ISO/IEC 14496-12, section 8.16.5).
const (
	capturedFlag = 0 // the frame's input to the encoder
	sentFlag     = 4 // the fragment was written
)

// appendReferenceTime appends a producer reference time box, which says at which time by NTP a frame of the media time
// had passed the point that flags name. Without the time it appends nothing.
func appendReferenceTime(b []byte, flags byte, at time.Time, media uint64) []byte {
	if at.IsZero() {
		return b
	}
	const epoch = 2208988800 // seconds from 1900 to 1970
	b = append(b, 0, 0, 0, 32, 'p', 'r', 'f', 't', 1, 0, 0, flags)
	b = binary.BigEndian.AppendUint32(b, trackID)
	b = binary.BigEndian.AppendUint32(b, uint32(at.Unix()+epoch))
	b = binary.BigEndian.AppendUint32(b, uint32(uint64(at.Nanosecond())<<32/1e9))
	return binary.BigEndian.AppendUint64(b, media)
}
