package webrtc

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// SenderStats counts what one peer was sent.
type SenderStats struct {
	Packets       uint64
	Bytes         uint64 // of RTP payload
	Dropped       uint64 // packets skipped because the peer was too slow
	Retransmitted uint64
	PLIs          uint64 // requests for a keyframe (RFC 4585, section 6.3.1; RFC 5104, section 4.3.1)
	Switches      uint64 // between the streams of the camera
}

// sender sends a feed to one peer. It begins with the current GOP, whose timestamps are compressed so
// that it ends at the present, and continues live.
//
// It answers the peer's NACKs from the feed's ring, and a PLI with what is known to be missing or with the
// current GOP, because there is no encoder to ask. Its sequence numbers have no gaps. All that it sends is paced.
type sender struct {
	feed  *Feed
	audio *audioSender // nil: the peer gets none
	flush func(uint32) // called with an SSRC after the last of its packets that leave together

	// Set by bind, before the connection is established.
	write           webrtc.TrackLocalWriter
	writeRTCP       func([]rtcp.Packet) error
	plain           rtp.Header // of packets without the playout delay
	delayed         rtp.Header // with the playout delay: of packets of keyframes, and of all others while there is one
	playoutValue    [3]byte    // value of the extension in delayed and delayedTimed
	withCaptureTime bool       // the peer supports abs-capture-time
	captureTime     [8]byte    // value of the extension in the headers below
	plainTimed      rtp.Header // plain and delayed with the capture time
	delayedTimed    rtp.Header
	withTransport   bool    // the peer sends transport-wide feedback
	transport       [2]byte // transport-wide sequence number in the headers above

	ladder *ladder // its channels; the rest only run's goroutine uses

	// Only run's goroutine uses these.
	wake          wake           // rung for feed, audio, the feed of pending, feedback and ladder.requests
	alarm         *alarm         // rings it
	held          atomic.Bool    // run sleeps although there are packets
	reportAt      time.Time      // when the next sender report is due
	pending       *switchRequest // nil: none
	switchedAt    time.Time      // when the last one was fulfilled
	cursor        uint64         // index of the next packet to send
	sequence      uint64         // of it, extended: the header has the lower 16 bits
	joined        bool           // cursor is within a GOP
	spans         []span         // what was sent as which sequence number; the newest last
	offset        uint32         // from the feed's clock to the peer's
	lastTimestamp uint32         // sent
	burstTo       uint64         // packets before this index were there at the beginning
	pacer         pacer
	trip          windowedMin // round trip, as receiver reports have it; the pacedSender does not use it
	playout       playoutDelay

	nacked            []uint16                // requested again; at most maxNACKed, more are dropped: peers repeat their requests
	repeated          [repeatSlots]repetition // missing packets, by sequence number; older ones are overwritten
	keyframeRequested bool                    // the current GOP is sent again
	recovery          recovery

	feedback      chan feedback // from the reader of RTCP; bounded, more is dropped: peers repeat their requests
	packets       atomic.Uint64
	bytes         atomic.Uint64
	dropped       atomic.Uint64
	retransmitted atomic.Uint64
	plis          atomic.Uint64
	switches      atomic.Uint64
	rung          atomic.Int32 // that of ladder
}

// span is a run of packets whose sequence numbers rise with their index.
type span struct {
	index    uint64 // of the first packet
	sequence uint64 // of the first packet, extended
	count    uint64

	// The frames up to squeezed end at anchor and are step ticks apart; later ones keep their timestamp.
	squeezed uint64
	anchor   uint32
	step     uint32

	feed   *Feed  // of the packets
	offset uint32 // from its clock to the peer's
}

const (
	squeezeStep = clockRate / 1000 // 1 ms per frame
	keepSpans   = 8
	maxLag      = 2048            // packets behind; then the sender continues with the newest keyframe
	reportEvery = 2 * time.Second // between sender reports
	maxNACKed   = 512
	repeatSlots = 512
)

func newSender(f *Feed, flush func(uint32)) *sender {
	return &sender{
		feed: f, flush: flush, pacer: newPacer(&f.meter), offset: rand.Uint32(), sequence: 1<<16 + uint64(rand.Uint32()&0x7fff),
		plain: rtp.Header{Version: 2}, feedback: make(chan feedback, 32), ladder: newLadder(), wake: newWake(),
		recovery: recovery{longest: viewerGOPQuiet},
	}
}

// bind is called once codec and extensions are negotiated.
func (s *sender) bind(t webrtc.TrackLocalContext, payloadType webrtc.PayloadType) error {
	s.write = t.WriteStream()
	s.plain.SSRC = uint32(t.SSRC())
	s.plain.PayloadType = uint8(payloadType)
	return s.setExtensions(t.HeaderExtensions())
}

// setExtensions makes the headers with the negotiated extensions. A one-byte header extension has no higher number
// than 14.
func (s *sender) setExtensions(extensions []webrtc.RTPHeaderExtensionParameter) (err error) {
	s.delayed = s.plain.Clone()
	for _, x := range extensions {
		if x.URI != captureTimeURI || x.ID > 14 {
			continue
		}
		for _, h := range []*rtp.Header{&s.plainTimed, &s.delayedTimed} {
			if *h, err = withExtension(s.plain, x.ID, s.captureTime[:]); err != nil {
				return err
			}
		}
		s.withCaptureTime = true
	}
	for _, x := range extensions {
		if x.URI != playoutDelayURI || x.ID > 14 {
			continue
		}
		for _, h := range []*rtp.Header{&s.delayed, &s.delayedTimed} {
			if err := h.SetExtension(uint8(x.ID), s.playoutValue[:]); err != nil {
				return fmt.Errorf("setting the playout delay: %w", err)
			}
		}
	}
	for _, x := range extensions {
		if x.URI != transportURI || x.ID > 14 {
			continue
		}
		for _, h := range []*rtp.Header{&s.plain, &s.delayed, &s.plainTimed, &s.delayedTimed} {
			if err := h.SetExtension(uint8(x.ID), s.transport[:]); err != nil {
				return fmt.Errorf("setting the transport-wide sequence number: %w", err)
			}
		}
		s.withTransport = true
	}
	return nil
}

// run sends until ctx ends or a write fails. The connection must be established.
func (s *sender) run(ctx context.Context) error {
	defer s.start(ctx)()
	var batch [maxSegment]*packet
	reported := false
	for ctx.Err() == nil {
		now := time.Now()
		s.readMessages(func(f feedback) {
			s.adaptPace(f.reports, f.at)
			s.adaptPlayout(s.handleFeedback(f, f.at), s.trip.value(), f.at)
		})
		if _, err := s.sendAudio(false); err != nil {
			return err
		}
		if s.selectPosition(); s.joined && !reported { // before the first packet, so that the receiver knows its age
			reported = true
			if err := s.sendReport(); err != nil {
				return err
			}
		}
		if s.reportDue(now) {
			s.ladder.judge(s.pacer.heavyLosses >= heavyReports, now)
			if err := s.sendReport(); err != nil {
				return err
			}
		}
		wait := s.pacer.wait(now)
		if wait == 0 {
			n, err := s.step(batch[:])
			if err != nil {
				return err
			}
			if n == len(batch) || len(s.nacked) > 0 { // nothing rings for what is left
				wait = s.pacer.wait(time.Now())
			} else {
				wait = idleWait
			}
		}
		s.sleep(wait, s.reportAt, now)
	}
	return context.Cause(ctx)
}

// sendAudio sends the audio that has come, or drops it if hold is true, and returns its bytes.
func (s *sender) sendAudio(hold bool) (bytes int, err error) {
	if s.audio == nil {
		return 0, nil
	}
	bytes, err = s.audio.send(hold)
	if bytes > 0 {
		s.flush(s.audio.header.SSRC)
	}
	return bytes, err
}

// step sends the next packets, if there are any, and returns how many. Retransmissions come first and
// count too.
func (s *sender) step(batch []*packet) (int, error) {
	resent, err := s.retransmit(len(batch))
	if err != nil {
		return 0, err
	}
	if resent > 0 {
		s.flush(s.plain.SSRC)
		return resent, nil
	}
	s.selectPosition()
	if !s.joined {
		return 0, nil
	}
	n, ok := s.feed.read(s.cursor, batch)
	if !ok {
		s.joined = false // overwritten in the ring; the next step joins again
		return 0, nil
	}
	now := time.Now()
	for _, p := range batch[:n] {
		if err := s.sendNext(p); err != nil {
			return 0, err
		}
		s.pacer.sent(len(p.payload)+packetOverhead, now)
	}
	if n > 0 {
		s.flush(s.plain.SSRC)
	}
	return n, nil
}

// selectPosition decides where to continue: with the current GOP if the peer has just joined, is too far
// behind or has requested a keyframe; else after the last packet.
func (s *sender) selectPosition() {
	s.trySwitch(time.Now())
	g, ok := s.feed.current()
	if !ok {
		return
	}
	behind := g.index > s.cursor
	switch {
	case !g.live && (!s.joined || s.keyframeRequested): // an old GOP is not the present: wait for a packet
	case !s.joined, behind && g.next-s.cursor > maxLag:
		if from := s.cursor; s.join(g) && from != 0 && behind {
			s.dropped.Add(g.index - from)
		}
	case s.keyframeRequested && behind:
		s.keyframeRequested = false // the peer has not reached the newest keyframe yet
	case s.keyframeRequested && s.join(g):
		s.keyframeRequested = false
	}
}

// join begins a span with the GOP g. The timestamps of the first span may begin anywhere; those of a
// later one have to fit between the last frame sent and the newest one, because timestamps must not
// run backwards. It reports false where there is no room; the next frame makes some.
func (s *sender) join(g gop) bool {
	step := uint32(squeezeStep)
	anchor := g.timestamp + s.offset
	if len(s.spans) > 0 {
		room := anchor - s.lastTimestamp
		if room >= 1<<31 {
			return false
		}
		step = min(step, room/uint32(g.newest-g.first+1))
		if step == 0 {
			return false
		}
	}
	s.spans = append(s.spans, span{index: g.index, sequence: s.sequence, squeezed: g.newest, anchor: anchor, step: step, feed: s.feed, offset: s.offset})
	if len(s.spans) > keepSpans {
		s.spans = append(s.spans[:0], s.spans[1:]...)
	}
	s.cursor, s.joined, s.burstTo = g.index, true, g.next
	return true
}

// sendNext sends p as the next packet.
func (s *sender) sendNext(p *packet) error {
	sp := &s.spans[len(s.spans)-1]
	if err := s.send(p, sp, s.sequence); err != nil {
		return err
	}
	sp.count++
	s.sequence++
	s.cursor++
	s.lastTimestamp = sp.timestamp(p)
	return nil
}

func (sp *span) timestamp(p *packet) uint32 {
	if p.frame <= sp.squeezed {
		return sp.anchor - uint32(sp.squeezed-p.frame)*sp.step
	}
	return p.timestamp + sp.offset
}

// send writes p. A retransmitted packet must have the same bytes, because it is encrypted with the
// same nonce (RFC 7714, section 8.1).
func (s *sender) send(p *packet, sp *span, sequence uint64) error {
	h := s.header(p, sequence)
	h.SequenceNumber, h.Timestamp, h.Marker = uint16(sequence), sp.timestamp(p), p.marker
	binary.BigEndian.PutUint16(s.transport[:], uint16(sequence))
	_, err := s.write.WriteRTP(h, p.payload)
	s.packets.Add(1)
	s.bytes.Add(uint64(len(p.payload)))
	return err
}

// header returns the header of p, in which send sets what differs from packet to packet.
func (s *sender) header(p *packet, sequence uint64) *rtp.Header {
	delay := s.playout.at(sequence)
	s.playoutValue = playoutValue(delay)
	delayed := p.keyframe || delay > 0
	if s.withCaptureTime && p.captured != 0 {
		binary.BigEndian.PutUint64(s.captureTime[:], p.captured)
		if delayed {
			return &s.delayedTimed
		}
		return &s.plainTimed
	}
	if delayed {
		return &s.delayed
	}
	return &s.plain
}

// sendReport sends a sender report, which maps timestamps to time (RFC 3550, section 6.4.1).
func (s *sender) sendReport() error {
	if !s.joined {
		return nil
	}
	now := time.Now()
	at, stamp := s.feed.clock()
	err := s.writeRTCP([]rtcp.Packet{&rtcp.SenderReport{
		SSRC:        s.plain.SSRC,
		NTPTime:     ntp(now),
		RTPTime:     stamp + s.offset + ticks(now.Sub(at)),
		PacketCount: uint32(s.packets.Load()),
		OctetCount:  uint32(s.bytes.Load()),
	}})
	if audio := s.audio.report(now); audio != nil && err == nil {
		err = s.writeRTCP([]rtcp.Packet{audio})
	}
	return err
}

// ntp returns seconds since 1900 in 32.32 fixed point.
func ntp(t time.Time) uint64 {
	const epoch = 2208988800 // seconds from 1900 to 1970
	return uint64(t.Unix()+epoch)<<32 | uint64(t.Nanosecond())<<32/1e9
}

// add adds what was counted between before and now.
func (s *SenderStats) add(now, before SenderStats) {
	s.Packets += now.Packets - before.Packets
	s.Bytes += now.Bytes - before.Bytes
	s.Dropped += now.Dropped - before.Dropped
	s.Retransmitted += now.Retransmitted - before.Retransmitted
	s.PLIs += now.PLIs - before.PLIs
	s.Switches += now.Switches - before.Switches
}

func (s *sender) stats() SenderStats {
	return SenderStats{
		Packets: s.packets.Load(), Bytes: s.bytes.Load(), Dropped: s.dropped.Load(),
		Retransmitted: s.retransmitted.Load(), PLIs: s.plis.Load(),
		Switches: s.switches.Load(),
	}
}
