package webrtc

import (
	"math/rand/v2"
	"sync"
	"time"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

// packet is one RTP payload of a feed and what the headers for all viewers have in common.
type packet struct {
	payload   []byte
	timestamp uint32 // on the feed's clock, 90 kHz
	frame     uint64 // number of its frame, from 1
	marker    bool   // the last of its frame
	keyframe  bool   // of a keyframe
	captured  uint64 // when the publisher had the frame, as NTP time; 0: unknown
}

// Feed holds the last packets of one live frame for any number of viewers. It has one writer
// at a time; each viewer has its own position, so that none waits for another, and one whose position
// was overwritten continues with the newest keyframe.
//
// The zero value is not usable; see NewFeed. It needs no closing.
type Feed struct {
	mu               sync.RWMutex
	ring             []*packet // packet i is at i % len; the oldest are dropped
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
	subscribers      map[chan struct{}]struct{}
	stats            FeedStats
}

// FeedStats counts what was written to a Feed.
type FeedStats struct {
	Packets uint64
	Bytes   uint64 // of payload
	Lost    uint64 // packets that never arrived from the publisher
}

// feedPackets is what a feed keeps: at 1.2 kB a packet about 20 MB, 40 s of 4 Mbit/s. A viewer
// that joins late in a longer GOP has to wait for the next keyframe.
const feedPackets = 1 << 14

// notifyEvery is after how many packets of an incomplete frame the viewers are notified.
const notifyEvery = 48

// NewFeed returns an empty feed.
func NewFeed() *Feed {
	return &Feed{
		ring: make([]*packet, feedPackets), next: 1,
		lastTimestamp: rand.Uint32(), subscribers: make(map[chan struct{}]struct{}),
	}
}

// Stats returns the counters.
func (f *Feed) Stats() FeedStats {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.stats
}

// feedWriter writes what one publisher sends to a feed. The feed's clock continues where the publisher
// before stopped.
type feedWriter struct {
	feed    *Feed
	started bool
	offset  uint32 // from the publisher's clock to the feed's

	sourceTimestamp uint32 // the publisher's timestamp of the frame under way
	inFrame         bool
	isKeyframe      bool
	needKeyframe    bool // packets are dropped until a keyframe starts
	captured        uint64
}

func (f *Feed) writer() *feedWriter { return &feedWriter{feed: f, needKeyframe: true} }

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
		w.started = true
		elapsed := time.Duration(0)
		if !f.lastArrival.IsZero() {
			elapsed = time.Since(f.lastArrival)
		}
		w.offset = f.lastTimestamp + ticks(elapsed) + 1 - timestamp
	}
	if !w.inFrame || timestamp != w.sourceTimestamp {
		w.inFrame, w.isKeyframe, w.sourceTimestamp = true, false, timestamp
		f.completeFrame = f.newestFrame // also where the marker was missing
		f.newestFrame++
		f.frameStart = f.next
	}
	if starts && !w.isKeyframe {
		w.isKeyframe, w.needKeyframe = true, false
		f.gopStart = f.frameStart
	}
	p := &packet{payload: payload, timestamp: timestamp + w.offset, frame: f.newestFrame, marker: marker, keyframe: w.isKeyframe, captured: w.captured}
	f.ring[f.next%uint64(len(f.ring))] = p
	f.next++
	f.lastArrival, f.lastTimestamp = time.Now(), p.timestamp
	f.stats.Packets++
	f.stats.Bytes += uint64(len(payload))
	if marker {
		f.completeFrame, w.inFrame = f.newestFrame, false
	}
	if marker || (f.next-f.frameStart)%notifyEvery == 0 {
		f.notify()
	}
}

// notify wakes every viewer. mu is held; a viewer that has not reacted to the last call needs no second
// one.
func (f *Feed) notify() {
	for c := range f.subscribers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// subscribe registers c, of capacity one, for notifications.
func (f *Feed) subscribe(c chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subscribers[c] = struct{}{}
}

func (f *Feed) unsubscribe(c chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.subscribers, c)
}

// read copies packets from index on to into, and returns how many. ok is false if the packet of this
// index was overwritten.
func (f *Feed) read(index uint64, into []*packet) (n int, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if index+uint64(len(f.ring)) < f.next {
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
}

// current returns the current GOP; ok is false if there is none, or its beginning was overwritten.
func (f *Feed) current() (g gop, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.gopStart == 0 || f.gopStart+uint64(len(f.ring)) < f.next {
		return gop{}, false
	}
	first := f.at(f.gopStart)
	g = gop{index: f.gopStart, first: first.frame, newest: first.frame, timestamp: first.timestamp, next: f.next}
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
	meter   *sourceMeter // nil: nobody asks for the bitrate
}

func (w *accessUnitWriter) write(u *streams.AccessUnit) {
	if w.writer == nil || u.Session != w.session {
		w.writer, w.session = w.feed.writer(), u.Session
	}
	payloads := packetize(u)
	if w.meter != nil && len(payloads) > 0 {
		w.meter.frame(u.Session, u.PTS, u.Keyframe, u.Size()+len(payloads)*packetOverhead)
	}
	for i, p := range payloads {
		w.writer.write(p, ticks(u.PTS), i == len(payloads)-1)
	}
	if !u.Arrived.IsZero() && len(payloads) > 0 {
		w.writer.setCaptureTime(u.Arrived) // access units of a backfill are older than now
	}
}

// ticks converts to the 90 kHz clock, modulo 2^32.
func ticks(d time.Duration) uint32 {
	return uint32(int64(d/time.Microsecond) * 9 / 100)
}
