package fmp4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"

	"gridpost/streams"
)

// Bounds of the fragments of a recording.
const (
	leastFragment     = timeScale     // shorter GOPs share a fragment
	mostFragment      = 2 * timeScale // a longer GOP is cut, so that a crash costs no more
	mostFragmentBytes = 8 << 20
	longestFrame      = timeScale // what a frame is shown for; more is a gap
	longestPause      = 24 * time.Hour
)

// maxReferences is how many entries the index of a file has room for. Fragments share entries where there are more.
const maxReferences = 340

// ErrChanged says that the video goes on with another codec or other parameter sets. A file has one of each, because players
// read them once: what follows belongs into another file.
var ErrChanged = errors.New("the codec or its parameter sets have changed")

// Recording writes the video of one camera into a file as fragmented MP4, one Write for each fragment of one to two seconds.
// What has been written is a valid file at any time but for a torn end, which Scan finds. The length and an index, without
// which browsers do not seek, are unknown until the end: room is left for them, and Seal fills it.
//
// A recording is for one goroutine. It holds the access units of one fragment in memory.
type Recording struct {
	w      io.Writer
	header header

	began    bool
	sequence uint32
	pending  []*streams.AccessUnit // of the fragment that is being made
	times    []uint64              // decoding times of pending in the file, in units of 1/90000 s
	bytes    int                   // of pending

	session uint32
	origin  time.Duration // decoding time of the session's first frame
	offset  uint64        // and its time in the file
	arrived time.Time     // of the last frame
	last    uint64        // time of the last frame
	usual   uint64        // what frames last
}

// NewRecording returns a recording that writes to w. The codec must be H.264 or H.265.
func NewRecording(w io.Writer, codec streams.Codec) *Recording {
	return &Recording{w: w, header: header{codec: codec}, usual: usualDuration}
}

// Write adds a frame, of which the first must be a keyframe. Audio is left out. It returns ErrChanged for a frame that cannot
// be in the same file, and ErrCodec or ErrNoKeyframe for a video that cannot be recorded; after any other error of the writer
// the file may end with a torn fragment.
func (r *Recording) Write(u *streams.AccessUnit) error {
	if u.Codec.IsAudio() {
		return nil
	}
	if u.Codec != r.header.codec {
		if r.began {
			return ErrChanged
		}
		return ErrCodec
	}
	if err := r.begin(u); err != nil {
		return err
	}
	at := r.time(u)
	if n := len(r.pending); n > 0 {
		length := at - r.times[0]
		if u.Keyframe && length >= leastFragment || length >= mostFragment || r.bytes >= mostFragmentBytes {
			if err := r.flush(at - r.last); err != nil {
				return err
			}
		}
	}
	if step := at - r.last; len(r.times) > 0 && step > 0 && step <= longestFrame {
		r.usual = step
	}
	r.pending, r.times = append(r.pending, u), append(r.times, at)
	r.bytes += u.Size()
	r.last, r.arrived = at, u.Arrived
	return nil
}

// begin writes the beginning of the file before the first frame, and looks for other parameter sets later.
func (r *Recording) begin(u *streams.AccessUnit) error {
	if !u.Keyframe {
		if !r.began {
			return ErrNoKeyframe
		}
		return nil
	}
	segment, err := r.header.segment(u.NALUs)
	switch {
	case err != nil:
		return err
	case segment == nil:
		return nil
	case r.began:
		return ErrChanged
	}
	if segment, err = withRoom(segment); err != nil {
		return err
	}
	r.began = true
	r.session, r.origin = u.Session, u.DTS
	_, err = r.w.Write(segment)
	return err
}

// time returns the decoding time of a frame in the file. Times of another session follow by when the frames arrived, because
// presentation times compare only within one.
func (r *Recording) time(u *streams.AccessUnit) uint64 {
	if u.Session != r.session {
		pause := min(max(u.Arrived.Sub(r.arrived), 0), longestPause)
		r.session, r.origin, r.offset = u.Session, u.DTS, r.last+max(ticks(pause), r.usual)
	}
	at := r.offset + ticks(max(u.DTS-r.origin, 0))
	if len(r.times) > 0 && at <= r.last {
		at = r.last + 1
	}
	return at
}

func ticks(d time.Duration) uint64 { return uint64(d/time.Microsecond) * timeScale / 1e6 }

// flush writes the fragment that is being made. next is the time from its last frame to the one that follows, 0 if none does.
func (r *Recording) flush(next uint64) error {
	if len(r.pending) == 0 {
		return nil
	}
	if next == 0 || next > longestFrame {
		next = r.usual
	}
	samples := make([]*fmp4.Sample, len(r.pending))
	for i, u := range r.pending {
		duration := next
		if i+1 < len(r.times) {
			duration = r.times[i+1] - r.times[i]
		}
		samples[i] = &fmp4.Sample{
			Duration: uint32(duration), PTSOffset: int32(ticks(max(u.PTS-u.DTS, 0))), IsNonSyncSample: !u.Keyframe,
			Payload: appendSample(nil, r.header.codec, u.NALUs),
		}
	}
	r.sequence++
	part := fmp4.Part{SequenceNumber: r.sequence, Tracks: []*fmp4.PartTrack{{ID: trackID, BaseTime: r.times[0], Samples: samples}}}
	var out seekablebuffer.Buffer
	if err := part.Marshal(&out); err != nil {
		return fmt.Errorf("writing a fragment: %w", err)
	}
	b := append(make([]byte, checksumBox, checksumBox+referenceBox+len(out.Bytes())), appendReferenceTime(nil, capturedFlag, r.pending[0].Arrived, r.times[0])...)
	b = append(b, out.Bytes()...)
	putChecksum(b)
	clear(r.pending)
	r.pending, r.times, r.bytes = r.pending[:0], r.times[:0], 0
	_, err := r.w.Write(b)
	return err
}

// Close writes the last fragment. It does not close the writer.
func (r *Recording) Close() error { return r.flush(0) }

// Began reports whether anything has been written.
func (r *Recording) Began() bool { return r.began }

// withRoom returns an initialization segment with room for what is known at the end: the length (movie extends header, ISO/IEC
// 14496-12 section 8.8.2) and the index (segment index, section 8.16.3), in whose place a free box stands.
func withRoom(segment []byte) ([]byte, error) {
	moov, ok := child(segment, box{size: len(segment)}, "moov")
	mvex, ok2 := child(segment, moov, "mvex")
	if !ok || !ok2 {
		return nil, errors.New("the initialization segment has no movie extends box")
	}
	at := mvex.start + boxHeader
	out := append([]byte(nil), segment[:at]...)
	out = binary.BigEndian.AppendUint32(out, lengthBox)
	out = append(out, "mehd\x01\x00\x00\x00"...)
	out = binary.BigEndian.AppendUint64(out, 0)
	out = append(out, segment[at:]...)
	for _, b := range []box{moov, mvex} {
		binary.BigEndian.PutUint32(out[b.start:], uint32(b.size+lengthBox))
	}
	room := make([]byte, indexRoom)
	binary.BigEndian.PutUint32(room, indexRoom)
	copy(room[4:], "free")
	return append(out, room...), nil
}
