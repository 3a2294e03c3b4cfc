package webrtc

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"gridpost/streams"
)

// audioFeed holds the last packets of a feed's audio. Its packets keep their distances in sequence numbers and
// timestamps, so that a viewer's own jitter buffer puts them in order and conceals what is missing: nothing is
// requested again. It has one writer at a time.
type audioFeed struct {
	codec codec

	mu               sync.Mutex
	ring             [audioPackets]*audioPacket // packet i is at i % len; the oldest are dropped
	next             uint64                     // index of the packet to come, from 1
	sequence         uint64                     // highest so far, on the feed's count
	lastTimestamp    uint32                     // of the packet of that number
	lastArrival      time.Time                  // of it
	captureTime      time.Time                  // when the publisher had the packet of captureTimestamp; zero: unknown
	captureTimestamp uint32
	subscribers      map[wake]struct{}
	packets          uint64
}

type audioPacket struct {
	payload   []byte
	sequence  uint64
	timestamp uint32
	marker    bool // the first after a pause
}

// audioPackets is what a feed keeps: more than a second of 10 ms packets. A viewer that is further behind continues
// with the present.
const audioPackets = 128

func newAudioFeed(c codec) *audioFeed {
	return &audioFeed{
		codec: c, next: 1, sequence: 1 << 16, lastTimestamp: rand.Uint32(), subscribers: make(map[wake]struct{}),
	}
}

// ticks converts to the clock of the audio, modulo 2^32.
func (f *audioFeed) ticks(d time.Duration) uint32 {
	return uint32(int64(d/time.Microsecond) * int64(f.codec.rate()) / 1e6)
}

func (f *audioFeed) subscribe(w wake) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subscribers[w] = struct{}{}
}

func (f *audioFeed) unsubscribe(w wake) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.subscribers, w)
}

// read copies packets from index on to into and returns how many, and the index of the packet to come.
func (f *audioFeed) read(index uint64, into []*audioPacket) (n int, next uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n < len(into) && index+uint64(n) < f.next {
		into[n] = f.ring[(index+uint64(n))%audioPackets]
		n++
	}
	return n, f.next
}

// clock returns a time and its timestamp: the capture time, if that is known, else the arrival here.
func (f *audioFeed) clock() (time.Time, uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.captureTime.IsZero() {
		return f.captureTime, f.captureTimestamp
	}
	return f.lastArrival, f.lastTimestamp
}

// audioWriter writes what one publisher sends. The feed's counts continue where the publisher before stopped.
type audioWriter struct {
	feed            *audioFeed
	started         bool
	highest         uint64 // of the publisher's sequence numbers, extended
	sequenceOffset  uint64 // from the publisher's numbers to the feed's
	timestampOffset uint32
}

// write adds one packet. captured is when the publisher had it, zero: unknown. The caller must not change payload any
// more.
func (w *audioWriter) write(payload []byte, sequence uint16, timestamp uint32, marker bool, captured time.Time) {
	f := w.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if !w.started {
		w.started = true
		elapsed := time.Duration(0)
		if !f.lastArrival.IsZero() {
			elapsed = now.Sub(f.lastArrival)
		}
		w.highest = 1<<16 + uint64(sequence)
		w.sequenceOffset = f.sequence + 1 - w.highest // modulo 2^64
		w.timestampOffset = f.lastTimestamp + f.ticks(elapsed) + 1 - timestamp
		marker = true
	}
	full := w.highest + uint64(int64(int16(sequence-uint16(w.highest))))
	p := &audioPacket{payload: payload, sequence: full + w.sequenceOffset, timestamp: timestamp + w.timestampOffset, marker: marker}
	if full >= w.highest {
		w.highest, f.sequence = full, p.sequence
		f.lastTimestamp, f.lastArrival = p.timestamp, now
		f.captureTime, f.captureTimestamp = captured, p.timestamp
	}
	f.ring[f.next%audioPackets] = p
	f.next++
	f.packets++
	for subscriber := range f.subscribers {
		subscriber.ring()
	}
}

// audioSender sends a feed's audio to one peer, beginning with the present. The goroutine of the video's sender runs it.
type audioSender struct {
	feed *audioFeed

	// Set by bind, before the connection is established.
	stream webrtc.TrackLocalWriter
	header rtp.Header

	cursor          uint64 // index of the next packet; 0: not started
	running         bool   // packets are sent without a pause
	sequence        uint64 // sent last
	sequenceOffset  uint64 // from the feed's numbers to the peer's
	timestampOffset uint32
	packets, bytes  uint32
}

func newAudioSender(f *audioFeed) *audioSender {
	return &audioSender{
		feed: f, header: rtp.Header{Version: 2},
		sequence: 1<<16 + uint64(rand.Uint32()&0x7fff), timestampOffset: rand.Uint32(),
	}
}

func (s *audioSender) bind(t webrtc.TrackLocalContext, payloadType webrtc.PayloadType) error {
	s.stream = t.WriteStream()
	s.header.SSRC, s.header.PayloadType = uint32(t.SSRC()), uint8(payloadType)
	return nil
}

// begin lets w ring for the feed until end is called. Both may be called without audio.
func (s *audioSender) begin(w wake) {
	if s != nil {
		s.feed.subscribe(w)
	}
}

func (s *audioSender) end(w wake) {
	if s != nil {
		s.feed.unsubscribe(w)
	}
}

// send sends the packets that have come and returns their bytes with headers. If hold is true it drops them; the peer
// sees no gap in their numbers. The first call only finds the present.
func (s *audioSender) send(hold bool) (bytes int, err error) {
	var batch [16]*audioPacket
	for {
		n, next := s.feed.read(s.cursor, batch[:])
		if hold || s.cursor == 0 || next-s.cursor > audioPackets {
			s.cursor, s.running = next, false
			return bytes, nil
		}
		if n == 0 {
			return bytes, nil
		}
		for _, p := range batch[:n] {
			if err := s.sendOne(p); err != nil {
				return bytes, err
			}
			bytes += len(p.payload) + packetOverhead
		}
		s.cursor += uint64(n)
	}
}

func (s *audioSender) sendOne(p *audioPacket) error {
	h := s.header
	h.Marker = p.marker
	if !s.running { // after a pause
		s.running, h.Marker = true, true
		s.sequenceOffset = s.sequence + 1 - p.sequence // modulo 2^64
	}
	number := p.sequence + s.sequenceOffset
	s.sequence = max(s.sequence, number)
	h.SequenceNumber, h.Timestamp = uint16(number), p.timestamp+s.timestampOffset
	s.packets++
	s.bytes += uint32(len(p.payload))
	_, err := s.stream.WriteRTP(&h, p.payload)
	return err
}

// report returns a sender report (RFC 3550, section 6.4.1), nil before the first packet or without audio.
func (s *audioSender) report(now time.Time) *rtcp.SenderReport {
	if s == nil || s.packets == 0 {
		return nil
	}
	at, stamp := s.feed.clock()
	return &rtcp.SenderReport{
		SSRC: s.header.SSRC, NTPTime: ntp(now), RTPTime: stamp + s.timestampOffset + s.feed.ticks(now.Sub(at)),
		PacketCount: s.packets, OctetCount: s.bytes,
	}
}

// audioUnitWriter packetises a camera's audio and writes it to a feed. Each session of the stream gets a new
// audioWriter.
type audioUnitWriter struct {
	feed     *audioFeed
	writer   *audioWriter
	session  uint32
	sequence uint16
}

// maxAudioPayload is the largest RTP payload of G.711, in bytes: 60 ms (RFC 3551, section 4.2, recommends 20 ms).
const maxAudioPayload = 480

func (w *audioUnitWriter) write(u *streams.AccessUnit) {
	if w.feed == nil || u.Codec != w.feed.codec.name {
		return
	}
	if w.writer == nil || u.Session != w.session {
		w.writer, w.session = &audioWriter{feed: w.feed}, u.Session
	}
	rest, timestamp := u.Data, w.feed.ticks(u.PTS)
	for len(rest) > 0 {
		part := rest
		if u.Codec != streams.Opus { // a sample of G.711 is a byte, a packet of Opus cannot be divided
			part = rest[:min(len(rest), maxAudioPayload)]
		}
		w.sequence++
		w.writer.write(part, w.sequence, timestamp, false, u.Arrived)
		rest, timestamp = rest[len(part):], timestamp+uint32(len(part))
	}
}
