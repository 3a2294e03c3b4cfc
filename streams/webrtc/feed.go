package webrtc

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

// packet is one RTP payload of a feed and what the headers for all viewers have in common.
type packet struct {
	payload   []byte
	timestamp uint32        // on the feed's clock, 90 kHz
	frame     uint64        // number of its frame, from 1
	marker    bool          // the last of its frame
	keyframe  bool          // of a keyframe
	captured  uint64        // when the publisher had the frame, as NTP time; 0: unknown
	arrived   time.Duration // since the feed was created
}

// Feed holds the last packets of one live stream for any number of viewers. It has one writer
// at a time; each viewer has its own position, so that none waits for another, and one whose position
// was dropped continues with the newest keyframe.
//
// It keeps the current GOP within feedBytes, and before it as much as history allows, but nothing longer than
// feedTime and at most feedPackets; the oldest packets are dropped first.
//
// The zero value is not usable; see NewFeed. It needs no closing.
type Feed struct {
	meter    sourceMeter   // of what is written
	sessions atomic.Uint32 // writers up to now
	audio    *audioFeed    // nil: there is none; set before the feed is used

	created time.Time
	history int // bytes; see feedHistory

	mu               sync.RWMutex
	ring             []*packet // packet i is at i % len; it grows up to feedPackets
	bytes            int       // of the payloads in ring
	oldest           uint64    // index of the oldest packet in ring; next if there is none
	next             uint64    // index of the packet to come, from 1
	gopStart         uint64    // index of the first packet of the newest keyframe; 0: none yet
	newestFrame      uint64    // number of the newest frame
	frameStart       uint64    // index of the first packet of the newest frame
	completeFrame    uint64    // number of the newest frame that is complete
	lastArrival      time.Time // when the newest packet came
	lastTimestamp    uint32    // its timestamp
	captureTime      time.Time // when the publisher had the frame of takenAt; zero: the packets' arrival counts
	captureTimestamp uint32    // its timestamp
	codec            codec
	subscribers      map[wake]struct{}
	stats            FeedStats
}

// FeedStats counts what was written to a Feed.
type FeedStats struct {
	Packets uint64
	Bytes   uint64 // of payload
	Lost    uint64 // packets that never arrived from the publisher

	AudioPackets uint64
}

// Bounds of a Feed. A viewer that joins while the beginning of the current GOP was dropped has to wait for
// the next keyframe: up to 5 Mbit/s that happens in GOPs of more than 12 s.
const (
	feedHistory = 3 << 19          // bytes of payload up to which packets before the current GOP are kept, for retransmissions and for viewers that are behind
	feedTime    = 12 * time.Second // of arrival
	feedBytes   = 8 << 20          // of payload
	feedPackets = 1 << 14
	feedStart   = 1 << 9 // packets that a new ring has room for
)

// notifyEvery is after how many packets of an incomplete frame the viewers are notified.
const notifyEvery = 48

// NewFeed returns an empty feed.
func NewFeed() *Feed {
	return &Feed{
		ring: make([]*packet, feedStart), oldest: 1, next: 1, created: time.Now(), history: feedHistory,
		lastTimestamp: rand.Uint32(), subscribers: make(map[wake]struct{}),
	}
}

// Stats returns the counters.
func (f *Feed) Stats() FeedStats {
	f.mu.RLock()
	defer f.mu.RUnlock()
	stats := f.stats
	if f.audio != nil {
		f.audio.mu.Lock()
		defer f.audio.mu.Unlock()
		stats.AudioPackets = f.audio.packets
	}
	return stats
}

// feedWriter writes what one publisher sends to a feed. The feed's clock continues where the publisher
// before stopped.
type feedWriter struct {
	feed    *Feed
	session uint32
	started bool
	offset  uint32 // from the publisher's clock to the feed's

	sourceTimestamp uint32 // the publisher's timestamp of the frame under way
	inFrame         bool
	isKeyframe      bool
	needKeyframe    bool // packets are dropped until a keyframe starts
	captured        uint64

	frames     int           // of the last reorderFrames
	setbacks   int           // of these, whose timestamp is before that of the frame before
	frameBytes int           // of the frame under way, with the headers of its packets
	elapsed    time.Duration // by the publisher's clock, from the first frame to the one under way
}

func (f *Feed) writer() *feedWriter {
	return &feedWriter{feed: f, session: f.sessions.Add(1), needKeyframe: true}
}

// setCodec sets what the feed carries from now on.
func (f *Feed) setCodec(c codec) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.codec = c
}

func (f *Feed) sourceCodec() codec {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.codec
}

// With B-frames the timestamps go back every few frames; a camera's clock may step back now and then.
const (
	reorderFrames   = 50
	reorderSetbacks = 5
)

// noteOrder takes note of the timestamp of the next frame.
func (w *feedWriter) noteOrder(timestamp uint32) {
	if w.frames++; w.frames > reorderFrames {
		w.frames, w.setbacks = 0, 0
	}
	if int32(timestamp-w.sourceTimestamp) < 0 {
		w.setbacks++
	}
}

// reordered reports whether the publisher sends B-frames, which browsers do not show.
func (w *feedWriter) reordered() bool { return w.setbacks >= reorderSetbacks }

// lost reports that n packets before the next one will not arrive: nothing can be decoded before the
// next keyframe.
func (w *feedWriter) lost(n uint64) {
	w.needKeyframe = true
	w.inFrame = false
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	w.feed.stats.Lost += n
}

// write adds one packet. The caller must not change payload any more.
func (w *feedWriter) write(payload []byte, timestamp uint32, marker bool) {
	if len(payload) == 0 {
		return // padding, as pacers send it
	}
	f := w.feed
	starts := h26x.StartsKeyframe(f.sourceCodec().name, payload)
	if w.needKeyframe && !starts {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !w.started {
		w.started, w.sourceTimestamp = true, timestamp
		elapsed := time.Duration(0)
		if !f.lastArrival.IsZero() {
			elapsed = time.Since(f.lastArrival)
		}
		w.offset = f.lastTimestamp + ticks(elapsed) + 1 - timestamp
	}
	if !w.inFrame || timestamp != w.sourceTimestamp {
		w.measure()
		w.noteOrder(timestamp)
		w.elapsed += time.Duration(int32(timestamp-w.sourceTimestamp)) * time.Second / clockRate
		w.inFrame, w.isKeyframe, w.sourceTimestamp = true, false, timestamp
		f.completeFrame = f.newestFrame // also where the marker was missing
		f.newestFrame++
		f.frameStart = f.next
	}
	if starts && !w.isKeyframe {
		w.isKeyframe, w.needKeyframe = true, false
		f.gopStart = f.frameStart
	}
	f.lastArrival = time.Now()
	p := &packet{
		payload: payload, timestamp: timestamp + w.offset, frame: f.newestFrame, marker: marker, keyframe: w.isKeyframe,
		captured: w.captured, arrived: f.lastArrival.Sub(f.created),
	}
	f.add(p)
	f.lastTimestamp = p.timestamp
	f.stats.Packets++
	f.stats.Bytes += uint64(len(payload))
	w.frameBytes += len(payload) + packetOverhead
	if marker {
		w.measure()
		f.completeFrame, w.inFrame = f.newestFrame, false
	}
	if marker || (f.next-f.frameStart)%notifyEvery == 0 {
		f.notify()
	}
}

// add adds p to the ring and drops what exceeds the bounds. mu is held.
func (f *Feed) add(p *packet) {
	if f.next-f.oldest == uint64(len(f.ring)) {
		if len(f.ring) < feedPackets {
			f.grow()
		} else {
			f.dropOldest()
		}
	}
	f.ring[f.next%uint64(len(f.ring))] = p
	f.next++
	f.bytes += len(p.payload)
	for f.oldest+1 < f.next {
		age := p.arrived - f.at(f.oldest).arrived
		most := f.history
		if f.oldest >= f.gopStart {
			most = feedBytes
		}
		if f.bytes <= most && age <= feedTime {
			return
		}
		f.dropOldest()
	}
}

// dropOldest drops the oldest packet. mu is held.
func (f *Feed) dropOldest() {
	slot := &f.ring[f.oldest%uint64(len(f.ring))]
	f.bytes -= len((*slot).payload)
	*slot = nil
	f.oldest++
}

// grow doubles the room of the ring. mu is held.
func (f *Feed) grow() {
	ring := make([]*packet, 2*len(f.ring))
	for i := f.oldest; i < f.next; i++ {
		ring[i%uint64(len(ring))] = f.at(i)
	}
	f.ring = ring
}

// measure ends the frame under way, if there is one, for the feed's meter.
func (w *feedWriter) measure() {
	if w.frameBytes > 0 {
		w.feed.meter.frame(w.session, w.elapsed, w.isKeyframe, w.frameBytes)
	}
	w.frameBytes = 0
}

// notify wakes every viewer. mu is held; a viewer that has not reacted to the last call needs no second
// one.
func (f *Feed) notify() {
	for w := range f.subscribers {
		w.ring()
	}
}

// subscribe lets w ring when there are packets, until unsubscribe.
func (f *Feed) subscribe(w wake) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subscribers[w] = struct{}{}
}

func (f *Feed) unsubscribe(w wake) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.subscribers, w)
}

// read copies packets from index on to into, and returns how many. ok is false if the packet of this
// index was dropped.
func (f *Feed) read(index uint64, into []*packet) (n int, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if index < f.oldest {
		return 0, false
	}
	for n < len(into) && index+uint64(n) < f.next {
		into[n] = f.ring[(index+uint64(n))%uint64(len(f.ring))]
		n++
	}
	return n, true
}

// GOP under way, for who joins or starts again.
type gop struct {
	index     uint64 // of its first packet
	first     uint64 // number of its keyframe
	newest    uint64 // number of the newest complete frame of it, or first while that is coming
	timestamp uint32 // timestamp of newest
	next      uint64 // index of the packet to come
	live      bool   // its newest packet arrived within streams.LiveWithin: who joins may begin with it
}

// current returns the current GOP; ok is false if there is none, or its beginning was dropped.
func (f *Feed) current() (g gop, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.gopStart < f.oldest || f.gopStart == f.next {
		return gop{}, false
	}
	first := f.at(f.gopStart)
	g = gop{index: f.gopStart, first: first.frame, newest: first.frame, timestamp: first.timestamp, next: f.next}
	g.live = time.Since(f.lastArrival) <= streams.LiveWithin
	// The newest complete frame ends right before the incomplete one, or is the last.
	end := f.next
	if f.completeFrame < f.newestFrame {
		end = f.frameStart
	}
	if end > f.gopStart {
		p := f.at(end - 1)
		g.newest, g.timestamp = p.frame, p.timestamp
	}
	return g, true
}

// keyframeArrived returns when the first packet of the newest keyframe arrived here; zero if the feed does not have it.
func (f *Feed) keyframeArrived() time.Time {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.gopStart < f.oldest || f.gopStart == f.next {
		return time.Time{}
	}
	return f.created.Add(f.at(f.gopStart).arrived)
}

// clock returns a time and its timestamp: the capture time, if that is known, else the arrival here.
func (f *Feed) clock() (time.Time, uint32) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if !f.captureTime.IsZero() {
		return f.captureTime, f.captureTimestamp
	}
	return f.lastArrival, f.lastTimestamp
}

// newest returns when the newest packet arrived here, and its timestamp.
func (f *Feed) newest() (arrival time.Time, timestamp uint32) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.lastArrival, f.lastTimestamp
}

// setCaptureTime sets when the publisher had the frame of the packet that was written last.
func (w *feedWriter) setCaptureTime(at time.Time) {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	w.feed.captureTime, w.feed.captureTimestamp = at, w.feed.lastTimestamp
}

func (f *Feed) at(index uint64) *packet { return f.ring[index%uint64(len(f.ring))] }

// accessUnitWriter packetises the access units of a camera's stream and writes them to a feed. Each session
// of the stream gets a new feedWriter.
type accessUnitWriter struct {
	feed    *Feed
	writer  *feedWriter
	session uint32
	audio   audioUnitWriter

	stream *streams.Stream // nil: B-frames are not looked for
	latest time.Duration   // largest PTS of the session
}

// errSourceChanged ends a publication whose camera has reconnected with other codecs; the next one offers those.
var errSourceChanged = errors.New("the codecs of the camera have changed")

// changed reports whether the session that begins with u has other codecs than the feed.
func (w *accessUnitWriter) changed(u *streams.AccessUnit) bool {
	var audio streams.Codec
	if track, _, ok := w.stream.Description().Audio(); ok {
		if c, ok := audioCodecOf(track); ok {
			audio = c.name
		}
	}
	was := streams.Codec("")
	if w.audio.feed != nil {
		was = w.audio.feed.codec.name
	}
	return u.Codec != w.feed.sourceCodec().name || audio != was
}

// write returns ErrBFrames if u is the first frame that shows that the stream has B-frames, errSourceChanged if it has
// other codecs than the feed.
func (w *accessUnitWriter) write(u *streams.AccessUnit) error {
	if u.Codec.IsAudio() {
		w.audio.write(u)
		return nil
	}
	if w.writer == nil || u.Session != w.session {
		if w.stream != nil && w.changed(u) {
			return errSourceChanged
		}
		w.writer, w.session, w.latest = w.feed.writer(), u.Session, u.PTS
	}
	if w.stream != nil && u.PTS < w.latest && w.stream.Description().Video().BFrames { // a camera's clock may step back too
		return ErrBFrames
	}
	w.latest = max(w.latest, u.PTS)
	payloads := packetize(u)
	for i, p := range payloads {
		w.writer.write(p, ticks(u.PTS), i == len(payloads)-1)
	}
	if !u.Arrived.IsZero() && len(payloads) > 0 {
		w.writer.setCaptureTime(u.Arrived) // access units of a backfill are older than now
	}
	return nil
}

// ticks converts to the 90 kHz clock, modulo 2^32.
func ticks(d time.Duration) uint32 {
	return uint32(int64(d/time.Microsecond) * 9 / 100)
}
