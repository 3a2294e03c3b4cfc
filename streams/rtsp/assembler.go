package rtsp

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph265"
	"github.com/pion/rtp"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

// maxPackets bounds the packets of one frame. The library bounds a frame's bytes; without this, a camera that
// sends empty fragments without end would fill the memory.
const maxPackets = 16384

// depacketizer returns the NALUs of a frame when packet was its last one.
type depacketizer interface {
	Decode(packet *rtp.Packet) ([][]byte, error)
}

// assembler makes access units of the packets of one session (RFC 6184, RFC 7798). It begins with a
// keyframe; after a lost packet it drops frames up to the next keyframe.
type assembler struct {
	codec      streams.Codec
	session    uint32
	newDecoder func() (depacketizer, error)
	size       atomic.Pointer[[2]int] // width and height, once known

	decoder      depacketizer
	params       *h26x.Params
	clock        clock
	needKeyframe bool

	started          bool
	sequence         uint16 // of the last packet
	pending          int    // packets of the current frame
	timestamp        uint32 // its timestamp
	damaged          bool   // a frame lacks a packet
	damagedTimestamp uint32 // its timestamp
	lost             uint64 // counts since the last resetCount
	dropped          uint64
}

func newAssembler(f format.Format, session uint32) (*assembler, error) {
	a := &assembler{session: session, needKeyframe: true}
	switch f := f.(type) {
	case *format.H264:
		a.codec = streams.H264
		a.newDecoder = func() (depacketizer, error) { return wrapDecoder(f.CreateDecoder()) }
		a.params = h26x.NewParams(a.codec)
		sps, pps := f.SafeParams()
		a.params.Observe(sps)
		a.params.Observe(pps)
	case *format.H265:
		a.codec = streams.H265
		a.newDecoder = func() (depacketizer, error) { return wrapDecoder(f.CreateDecoder()) }
		a.params = h26x.NewParams(a.codec)
		vps, sps, pps := f.SafeParams()
		a.params.Observe(vps)
		a.params.Observe(sps)
		a.params.Observe(pps)
	default:
		return nil, errNoVideo
	}
	return a, a.reset()
}

func wrapDecoder[D depacketizer](d D, err error) (depacketizer, error) {
	if err != nil {
		return nil, fmt.Errorf("reading the parameters of the video: %w", err)
	}
	return d, nil
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
	if err := a.checkSequence(packet); err != nil {
		return nil, err
	}
	if len(packet.Payload) == 0 {
		return nil, nil // some cameras send these to keep a NAT mapping open
	}
	nalus, err := a.decoder.Decode(packet)
	switch {
	case errors.Is(err, rtph264.ErrMorePacketsNeeded), errors.Is(err, rtph265.ErrMorePacketsNeeded):
		if a.pending == 0 {
			a.timestamp = packet.Timestamp
		}
		if a.pending++; a.pending > maxPackets {
			a.needKeyframe = true
			return nil, errors.Join(fmt.Errorf("a frame has more than %d packets", maxPackets), a.reset())
		}
		return nil, nil
	case errors.Is(err, rtph264.ErrNonStartingPacketAndNoPrevious), errors.Is(err, rtph265.ErrNonStartingPacketAndNoPrevious):
		return nil, nil // a session may begin in the middle of a frame
	case err != nil:
		a.damaged, a.damagedTimestamp = true, packet.Timestamp
		return nil, err
	}

	// The H.264 depacketizer returns a frame without a marker bit when the first packet of the next one
	// has arrived; that packet is then the beginning of the current frame.
	timestamp := packet.Timestamp
	if a.pending > 0 {
		timestamp = a.timestamp
	}
	a.pending = 0
	if timestamp != packet.Timestamp {
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

// checkSequence checks the packet's sequence number. A gap damages the current frame, and the one that the packet
// belongs to unless the packet is known to be its first; all frames up to the next keyframe may depend on what was
// lost.
func (a *assembler) checkSequence(packet *rtp.Packet) error {
	gap := packet.SequenceNumber - a.sequence - 1
	first := !a.started
	a.started, a.sequence = true, packet.SequenceNumber
	if first || gap == 0 {
		return nil
	}
	if gap < 1<<15 { // else the number went back: the camera has started again
		a.lost += uint64(gap)
	}
	if a.pending > 0 {
		a.dropped++
	}
	a.needKeyframe = true
	if !h26x.StartsAccessUnit(a.codec, packet.Payload) {
		a.damaged, a.damagedTimestamp = true, packet.Timestamp
	}
	return a.reset()
}

// accessUnit returns an access unit of the NALUs of one frame, nil if it is dropped.
func (a *assembler) accessUnit(nalus [][]byte, timestamp uint32, now time.Time) *streams.AccessUnit {
	nalus, key, ok := a.params.Assemble(nalus)
	if !ok {
		return nil
	}
	if a.needKeyframe && !key {
		if a.clock.started {
			a.dropped++
		}
		return nil
	}
	pts := a.clock.presentationTime(timestamp, now)
	if pts < 0 {
		return nil // shown before the first keyframe: it depends on frames that were never sent
	}
	a.needKeyframe = false
	return &streams.AccessUnit{
		Codec:    a.codec,
		Session:  a.session,
		PTS:      pts,
		Arrived:  now,
		Keyframe: key,
		NALUs:    compactNALUs(nalus),
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
