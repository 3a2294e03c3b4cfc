package rtsp

import (
	"bytes"
	"errors"
	"fmt"
	"image/jpeg"
	"slices"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtp"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

// maxPackets bounds the packets of one frame. The library bounds a frame's bytes; without this, a camera that
// sends empty fragments without end would fill the memory.
const maxPackets = 16384

// assembler makes access units of the video's packets of one session (RFC 6184, RFC 7798, RFC 2435). It begins with
// a keyframe; after a lost packet it drops frames up to the next keyframe.
type assembler struct {
	videoFormat
	session uint32
	track   streams.Track // what is known of the video
	changed bool          // track, since the caller last cleared it

	decoder      depacketizer
	clock        clock
	order        frameOrder
	needKeyframe bool
	skipLeading  bool          // the GOP under way is the first after a start or a loss
	openGOP      bool          // it began with a keyframe that frames shown before it may follow
	keyframePTS  time.Duration // of the GOP under way
	knownSize    bool
	reorders     bool // the parameter set announces that frames are reordered

	sequence         sequence
	marksSlices      bool   // the marker bit ends slices, not frames
	pending          int    // packets of the current frame
	timestamp        uint32 // its timestamp
	damaged          bool   // a frame lacks a packet
	damagedTimestamp uint32 // its timestamp
	lost             uint64 // counts since the last resetCount
	dropped          uint64
}

func newAssembler(f format.Format, session uint32) (*assembler, error) {
	v, err := videoFormatOf(f)
	if err != nil {
		return nil, err
	}
	a := &assembler{videoFormat: v, session: session, needKeyframe: true}
	a.clock.rate = videoClockRate
	a.track = streams.Track{Codec: a.codec, ClockRate: videoClockRate}
	if a.params != nil {
		a.observeSequence(a.params.NALUs())
	}
	return a, a.reset()
}

// reset drops the current, incomplete frame.
func (a *assembler) reset() (err error) {
	a.pending = 0
	a.decoder, err = a.newDecoder()
	return err
}

// resetCount returns a count and sets it to zero.
func (a *assembler) resetCount(count *uint64) uint64 {
	n := *count
	*count = 0
	return n
}

// push adds the next packet, which arrived at now, and returns the access unit that it completes, nil for none.
// An error means that the packet could not be parsed; the next one can be pushed all the same.
func (a *assembler) push(packet *rtp.Packet, now time.Time) (*streams.AccessUnit, error) {
	if use, err := a.checkSequence(packet); !use || err != nil {
		return nil, err
	}
	if len(packet.Payload) == 0 {
		return nil, nil // some cameras send these to keep a NAT mapping open
	}
	if a.marksSlices {
		packet.Marker = false // the frame ends where the next one begins
	}
	nalus, err := a.decoder.Decode(packet)
	switch {
	case isIncomplete(err):
		if a.pending == 0 {
			a.timestamp = packet.Timestamp
		}
		if a.pending++; a.pending > maxPackets {
			a.needKeyframe = true
			return nil, errors.Join(fmt.Errorf("a frame has more than %d packets", maxPackets), a.reset())
		}
		return nil, nil
	case isWithoutStart(err):
		return nil, nil // a session may begin in the middle of a frame
	case err != nil:
		a.damaged, a.damagedTimestamp = true, packet.Timestamp
		return nil, err
	}

	// The depacketizers of H.264 and H.265 return a frame without a marker bit when the first packet of the next
	// one has arrived; that packet is then the beginning of the current frame.
	timestamp := packet.Timestamp
	if a.pending > 0 {
		timestamp = a.timestamp
	}
	a.pending = 0
	if timestamp != packet.Timestamp && a.codec != streams.JPEG { // which ends a frame only at its marker
		a.pending, a.timestamp = 1, packet.Timestamp
	}
	if a.damaged && timestamp == a.damagedTimestamp {
		a.damaged = false
		a.dropped++
		a.needKeyframe = true
		return nil, nil
	}
	return a.accessUnit(nalus, timestamp, now), nil
}

// checkSequence reports whether the packet is of use. A gap before it damages the current frame, and the one that the
// packet belongs to unless the packet is known to be its first; all frames up to the next keyframe may depend on what
// was lost.
func (a *assembler) checkSequence(packet *rtp.Packet) (bool, error) {
	arrival, lost := a.sequence.push(packet.SequenceNumber)
	switch arrival {
	case inOrder:
		return true, nil
	case outdated:
		return false, nil
	}
	a.lost += lost
	if a.pending > 0 {
		a.dropped++
	}
	a.needKeyframe = true
	if !h26x.StartsAccessUnit(a.codec, packet.Payload) {
		a.damaged, a.damagedTimestamp = true, packet.Timestamp
	}
	return true, a.reset()
}

// accessUnit returns the access unit of one frame, nil if it is dropped.
func (a *assembler) accessUnit(frame [][]byte, timestamp uint32, now time.Time) *streams.AccessUnit {
	if a.codec == streams.JPEG {
		return a.image(frame[0], timestamp, now)
	}
	nalus, key, ok := a.params.Assemble(h26x.SplitStartCodes(frame))
	if !ok {
		return nil
	}
	if a.needKeyframe && !key {
		if a.clock.started {
			a.dropped++
		}
		return nil
	}
	if a.continues(nalus, timestamp) {
		// The camera sets the marker bit at the end of each slice, so its frames come in pieces. That is known now.
		a.marksSlices, a.needKeyframe = true, true
		a.dropped++
		return nil
	}
	pts := a.clock.presentationTime(timestamp, now)
	if pts < 0 {
		return nil // shown before the first keyframe: it depends on frames that were never sent
	}
	leading := !key && a.isLeading(nalus, pts)
	if leading && a.skipLeading {
		a.dropped++
		return nil
	}
	if key {
		a.observeSequence(nalus)
		a.skipLeading, a.needKeyframe = a.needKeyframe, false
		a.keyframePTS, a.openGOP = pts, !h26x.IsIDR(a.codec, nalus)
	}
	return &streams.AccessUnit{
		Codec:    a.codec,
		Session:  a.session,
		PTS:      pts,
		DTS:      a.decodingTime(nalus, pts),
		Arrived:  now,
		Keyframe: key,
		Leading:  leading,
		NALUs:    compactNALUs(nalus),
	}
}

// continues reports whether nalus are further slices of the last frame: they have its timestamp, and the first of them
// does not begin the picture (ITU-T H.264, section 7.3.3: first_mb_in_slice is 0 if its first bit is 1; H.265, section
// 7.3.6.1: first_slice_segment_in_pic_flag).
func (a *assembler) continues(nalus [][]byte, timestamp uint32) bool {
	if !a.clock.started || timestamp != a.clock.timestamp {
		return false
	}
	for _, nalu := range nalus {
		t, header := h26x.TypeOf(a.codec, nalu), h26x.HeaderSize(a.codec)
		slice := t == h26x.H264SliceNonIDR || t == h26x.H264SliceIDR
		if a.codec == streams.H265 {
			slice = t <= h26x.H265LastVCL
		}
		if slice && len(nalu) > header {
			return nalu[header]&0x80 == 0
		}
	}
	return false
}

// image returns the access unit of an image of motion JPEG. It depends on no other.
func (a *assembler) image(data []byte, timestamp uint32, now time.Time) *streams.AccessUnit {
	a.needKeyframe = false
	if !a.knownSize {
		if c, err := jpeg.DecodeConfig(bytes.NewReader(data)); err == nil {
			a.setSize(c.Width, c.Height)
		}
	}
	pts := max(0, a.clock.presentationTime(timestamp, now))
	return &streams.AccessUnit{
		Codec: a.codec, Session: a.session, PTS: pts, DTS: pts, Arrived: now, Keyframe: true, Data: slices.Clone(data),
	}
}

// isLeading reports whether a frame is shown before the keyframe of its GOP and may depend on frames before that.
func (a *assembler) isLeading(nalus [][]byte, pts time.Duration) bool {
	if a.codec == streams.H265 {
		return h26x.IsRASL(a.codec, nalus)
	}
	return a.openGOP && pts < a.keyframePTS && h26x.HasBSlices(nalus)
}

// decodingTime returns the DTS of the next frame, and takes note of B-frames.
func (a *assembler) decodingTime(nalus [][]byte, pts time.Duration) time.Duration {
	dts, reordered := a.order.next(pts)
	if !a.track.BFrames && a.isBFrame(nalus, reordered) {
		a.track.BFrames, a.changed = true, true
	}
	return dts
}

// isBFrame reports whether a frame shows that the stream has B-frames. Timestamps that go back are not enough, because a
// camera's clock may step back; nor are B slices, which may be in order. Some cameras number the frames in the order in
// which they send them: then the parameter set must announce a reordering.
func (a *assembler) isBFrame(nalus [][]byte, reordered bool) bool {
	if a.codec == streams.H265 {
		return reordered
	}
	return (reordered || a.reorders) && h26x.HasBSlices(nalus)
}

// observeSequence reads the sequence parameter set among nalus.
func (a *assembler) observeSequence(nalus [][]byte) {
	if w, h, err := h26x.SizeOf(a.codec, nalus); err == nil {
		a.setSize(w, h)
	}
	if depth, known := h26x.ReorderDepth(a.codec, nalus); known {
		a.order.depth, a.reorders = max(a.order.depth, min(depth, maxDepth-1)), depth > 0
	}
}

func (a *assembler) setSize(width, height int) {
	a.knownSize = true
	if a.track.Width != width || a.track.Height != height {
		a.track.Width, a.track.Height, a.changed = width, height, true
	}
}

// compactNALUs copies nalus into one allocation, because they share the much larger buffers of their packets.
func compactNALUs(nalus [][]byte) [][]byte {
	size := 0
	for _, nalu := range nalus {
		size += len(nalu)
	}
	memory := make([]byte, 0, size)
	for i, nalu := range nalus {
		start := len(memory)
		memory = append(memory, nalu...)
		nalus[i] = memory[start:len(memory):len(memory)]
	}
	return nalus
}
