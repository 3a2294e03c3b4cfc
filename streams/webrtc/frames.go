package webrtc

import (
	"context"
	"encoding/binary"
	"time"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

// FeedFrame is one complete frame of a feed.
type FeedFrame struct {
	NALUs    [][]byte // of the access unit, without start codes; immutable
	Time     uint64   // of presentation, in units of 1/90000 s since the reader's first frame; it increases
	Keyframe bool
	Captured time.Time // when the publisher had the frame; zero: unknown
}

// FrameReader reads the frames of a feed's video in order, for outputs that are not RTP. It begins with the newest
// keyframe. A reader that is slow loses frames up to a newer keyframe, and slows nobody down. It is for one goroutine.
type FrameReader struct {
	feed  *Feed
	codec streams.Codec
	wake  wake

	index    uint64 // of the next packet; 0: a keyframe must be found first
	packets  []*packet
	buffer   [64]*packet
	frame    assembly
	ready    []FeedFrame // at most two
	broken   bool        // frames are dropped until a keyframe
	started  bool
	previous uint32 // timestamp of the last frame
	time     uint64 // FeedFrame.Time of the last frame
	dropped  uint64
}

// assembly is a frame whose packets are being read.
type assembly struct {
	number   uint64
	first    *packet
	nalus    [][]byte
	fragment []byte // of a NALU that is split over packets; nil: none
	bad      bool   // a part of it is missing
}

// maxBehind is how far a reader may be behind the newest packet before it continues with a newer keyframe.
const maxBehind = 2 * time.Second

// Frames returns a reader of the feed's frames. The caller must Close it.
func (f *Feed) Frames() *FrameReader {
	r := &FrameReader{feed: f, codec: f.sourceCodec().name, wake: newWake(), broken: true}
	f.subscribe(r.wake)
	return r
}

// Codec returns the codec of the frames.
func (r *FrameReader) Codec() streams.Codec { return r.codec }

// Dropped returns how many packets were skipped because the reader was slow.
func (r *FrameReader) Dropped() uint64 { return r.dropped }

// Close ends the reader.
func (r *FrameReader) Close() { r.feed.unsubscribe(r.wake) }

// Next waits for the next frame. It returns the cause of ctx once that has ended.
func (r *FrameReader) Next(ctx context.Context) (FeedFrame, error) {
	for {
		if len(r.ready) > 0 {
			f := r.ready[0]
			r.ready = r.ready[1:]
			return f, nil
		}
		if err := context.Cause(ctx); err != nil {
			return FeedFrame{}, err
		}
		if len(r.packets) > 0 {
			p := r.packets[0]
			r.packets = r.packets[1:]
			r.add(p)
			continue
		}
		if r.fill() {
			continue
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
		}
	}
}

// fill reads more packets; false: there are none.
func (r *FrameReader) fill() bool {
	if g, ok := r.feed.current(); ok && (r.index == 0 || g.index > r.index && r.behind(g)) {
		r.restart(g.index)
	}
	if r.index == 0 {
		return false
	}
	n, ok := r.feed.read(r.index, r.buffer[:])
	if !ok {
		g, found := r.feed.current()
		if !found {
			r.restart(0) // until the next keyframe
			return false
		}
		r.restart(g.index)
		return true
	}
	r.packets, r.index = r.buffer[:n], r.index+uint64(n)
	return n > 0
}

// behind reports whether the GOP g should be read instead of what is left before it.
func (r *FrameReader) behind(g gop) bool {
	_, newest := r.feed.newest()
	return r.started && time.Duration(int32(newest-r.previous))*time.Second/clockRate > maxBehind
}

// restart continues at a packet of another index. 0: at the next keyframe.
func (r *FrameReader) restart(index uint64) {
	if r.index != 0 && index > r.index {
		r.dropped += index - r.index
	}
	r.index, r.packets, r.frame, r.broken = index, nil, assembly{}, true
}

// add adds a packet to its frame, and completes frames.
func (r *FrameReader) add(p *packet) {
	a := &r.frame
	if a.first != nil && p.frame != a.number { // its last packet was lost, or the publisher sets no marker
		if p.keyframe {
			*a = assembly{} // nothing needs it any more
		} else {
			r.complete()
		}
	}
	if a.first == nil {
		*a = assembly{number: p.frame, first: p}
	}
	a.add(r.codec, p.payload)
	if p.marker {
		r.complete()
	}
}

// complete appends the frame to ready if it is whole and can be decoded.
func (r *FrameReader) complete() {
	a := r.frame
	r.frame = assembly{}
	if a.bad || a.fragment != nil || len(a.nalus) == 0 {
		r.broken = true
		return
	}
	if r.broken && !a.first.keyframe {
		return
	}
	r.broken = false
	if r.started {
		// The timestamps of a camera may stand still or go back.
		r.time += uint64(max(1, int64(int32(a.first.timestamp-r.previous))))
	}
	r.started, r.previous = true, a.first.timestamp
	f := FeedFrame{NALUs: a.nalus, Time: r.time, Keyframe: a.first.keyframe}
	if a.first.captured != 0 {
		f.Captured = fromNTP(a.first.captured)
	}
	r.ready = append(r.ready, f)
}

// add adds the NALUs of an RTP payload (RFC 6184, section 5; RFC 7798, section 4.4).
func (a *assembly) add(codec streams.Codec, payload []byte) {
	header := h26x.HeaderSize(codec)
	if len(payload) <= header {
		a.bad = true
		return
	}
	switch t := h26x.TypeOf(codec, payload); {
	case codec == streams.H264 && t == h26x.RTPH264STAPA, codec == streams.H265 && t == h26x.RTPH265AP:
		for rest := payload[header:]; len(rest) > 0; {
			if len(rest) < 2 || int(binary.BigEndian.Uint16(rest)) > len(rest)-2 {
				a.bad = true
				return
			}
			size := 2 + int(binary.BigEndian.Uint16(rest))
			if size > 2 {
				a.nalus = append(a.nalus, rest[2:size])
			}
			rest = rest[size:]
		}
	case codec == streams.H264 && t == h26x.RTPH264FUA:
		a.addFragment(payload[1], []byte{payload[0]&0xe0 | payload[1]&0x1f}, payload[2:])
	case codec == streams.H265 && t == h26x.RTPH265FU:
		if len(payload) < 3 {
			a.bad = true
			return
		}
		a.addFragment(payload[2], []byte{payload[0]&0x81 | payload[2]&0x3f<<1, payload[1]}, payload[3:])
	default:
		a.nalus = append(a.nalus, payload)
	}
}

// addFragment adds a part of a NALU; mark is the FU header.
func (a *assembly) addFragment(mark byte, header, part []byte) {
	const start, end = 0x80, 0x40
	if mark&start != 0 {
		a.bad = a.bad || a.fragment != nil
		a.fragment = header
	} else if a.fragment == nil {
		a.bad = true
		return
	}
	a.fragment = append(a.fragment, part...)
	if mark&end != 0 {
		a.nalus, a.fragment = append(a.nalus, a.fragment), nil
	}
}
