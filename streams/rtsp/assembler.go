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

// maxPackets bounds how many packets one picture may take. The library bounds a picture's bytes; without this,
// a camera that sends empty fragments for ever would fill the memory.
const maxPackets = 16384

// depacketizer gives the NALUs of a picture when packet was its last one.
type depacketizer interface {
	Decode(packet *rtp.Packet) ([][]byte, error)
}

// assembler makes units of the packets of one session (RFC 6184, RFC 7798). It begins with a key
// picture; after a lost packet it leaves out pictures up to the next key picture.
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
	pending          int    // packets of the picture under way
	timestamp        uint32 // its time stamp
	damaged          bool   // a picture lacks a packet
	damagedTimestamp uint32 // its time stamp
	lost             uint64 // counts since the last take
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
		return nil, fmt.Errorf("reading how the video is packed: %w", err)
	}
	return d, nil
}

// reset forgets the picture under way.
func (a *assembler) reset() (err error) {
	a.pending = 0
	a.decoder, err = a.newDecoder()
	return err
}

// take returns a count and begins it anew.
func (a *assembler) resetCount(count *uint64) uint64 {
	n := *count
	*count = 0
	return n
}

// push takes the next packet, which arrived at now, and returns the unit that it completes, nil for none. An
// error says that the packet is unreadable; the next one may well be readable.
func (a *assembler) push(packet *rtp.Packet, now time.Time) (*streams.AccessUnit, error) {
	if err := a.checkSequence(packet); err != nil {
		return nil, err
	}
	if len(packet.Payload) == 0 {
		return nil, nil // some cameras keep a path open so
	}
	nalus, err := a.decoder.Decode(packet)
	switch {
	case errors.Is(err, rtph264.ErrMorePacketsNeeded), errors.Is(err, rtph265.ErrMorePacketsNeeded):
		if a.pending == 0 {
			a.timestamp = packet.Timestamp
		}
		if a.pending++; a.pending > maxPackets {
			a.needKeyframe = true
			return nil, errors.Join(fmt.Errorf("a picture has more than %d packets", maxPackets), a.reset())
		}
		return nil, nil
	case errors.Is(err, rtph264.ErrNonStartingPacketAndNoPrevious), errors.Is(err, rtph265.ErrNonStartingPacketAndNoPrevious):
		return nil, nil // a session may begin in the middle of a picture
	case err != nil:
		a.damaged, a.damagedTimestamp = true, packet.Timestamp
		return nil, err
	}

	// The H.264 depacketizer gives a picture without an end mark when the first packet of the next one
	// has come; that packet is then under way.
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

// follow looks at the packet's number. A gap breaks the picture under way, and the one that the packet belongs to
// unless it is seen to be its first; whatever comes up to the next key picture may build on what was lost.
func (a *assembler) checkSequence(packet *rtp.Packet) error {
	gap := packet.SequenceNumber - a.sequence - 1
	first := !a.started
	a.started, a.sequence = true, packet.SequenceNumber
	if first || gap == 0 {
		return nil
	}
	if gap < 1<<15 { // else the number went back: a camera that began anew
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

// unit makes a unit of the NALUs of one picture; nil if it is not to be shown.
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
		return nil // shown before the first picture: it builds on what was never sent
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

// compact copies nalus into one piece of memory, because they share the much larger buffers of their packets.
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
