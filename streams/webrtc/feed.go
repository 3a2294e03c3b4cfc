package webrtc

import (
	"math/rand/v2"
	"sync"
	"time"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

// packet is one RTP payload of a feed and what every viewer's header says the same of.
type packet struct {
	payload   []byte
	timestamp uint32 // on the feed's clock, 90 kHz
	frame     uint64 // number of the picture, from 1
	marker    bool   // the picture's last
	keyframe  bool   // of a picture that decoding can start at
	captured  uint64 // when the publisher had the picture, as NTP says it; 0: not known
}

// Feed holds the last packets of one live picture for any number of viewers. It has one writer
// at a time; each viewer has its own place in it, so that none waits for another, and one that
// falls out of the ring goes on with the newest key picture.
//
// The zero value is not usable; NewFeed makes one. It needs no closing.
type Feed struct {
	mu               sync.RWMutex
	ring             []*packet // packet i is at i % len; the oldest are dropped
	next             uint64    // index of the packet to come, from 1
	gopStart         uint64    // index of the first packet of the newest key picture; 0: none yet
	newestFrame      uint64    // number of the newest picture
	frameStart       uint64    // index of the first packet of the newest picture
	completeFrame    uint64    // number of the newest picture that is complete
	lastArrival      time.Time // when the newest packet came
	lastTimestamp    uint32    // its timestamp
	captureTime      time.Time // when the publisher had the picture of takenAt; zero: the packets' arrival counts
	captureTimestamp uint32    // its timestamp
	codec            codec
	subscribers      map[chan struct{}]struct{}
	stats            FeedStats
}

// FeedStats counts what went into a Feed.
type FeedStats struct {
	Packets uint64
	Bytes   uint64 // of payload
	Lost    uint64 // packets that never came from the publisher
}

// feedPackets is what a feed keeps: at 1.2 kB a packet about 20 MB, 40 s of 4 Mbit/s. A group of
// pictures that is longer is not there for those who join in its second half.
const feedPackets = 1 << 14

// wakeEvery is after how many packets of a picture under way the viewers are woken.
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

// feedWriter is one publisher's connection to a feed. The feed's clock goes on where the
// publisher before it left off.
type feedWriter struct {
	feed    *Feed
	started bool
	offset  uint32 // from the publisher's clock to the feed's

	sourceTimestamp uint32 // the publisher's timestamp of the picture under way
	inFrame         bool
	isKeyframe      bool
	needKeyframe    bool // packets are dropped until a key picture starts
	captured        uint64
}

func (f *Feed) writer() *feedWriter { return &feedWriter{feed: f, needKeyframe: true} }

// setCodec says what the feed carries from now on.
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

// lost tells that packets before the next one are missing for good: what follows cannot be
// decoded before the next key picture.
func (w *feedWriter) lost(n uint64) {
	w.needKeyframe = true
	w.inFrame = false
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	w.feed.stats.Lost += n
}

// write adds one packet. payload must not change any more.
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

// wake tells every viewer that there is more. mu is held; a viewer that has not looked yet
// since the last time needs no second word.
func (f *Feed) notify() {
	for c := range f.subscribers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// subscribe registers c, of capacity one, to be woken.
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

// read copies packets from index on into into, and returns how many. ok is false where the
// index has fallen out of the ring.
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

// group of pictures under way, for who joins or starts again.
type gop struct {
	index     uint64 // of its first packet
	first     uint64 // number of its key picture
	newest    uint64 // number of the newest complete picture of it, or first while that is coming
	timestamp uint32 // timestamp of newest
	next      uint64 // index of the packet to come
}

// current returns the group under way; ok is false where there is none, or none whole in the ring.
func (f *Feed) current() (g gop, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.gopStart == 0 || f.gopStart+uint64(len(f.ring)) < f.next {
		return gop{}, false
	}
	first := f.at(f.gopStart)
	g = gop{index: f.gopStart, first: first.frame, newest: first.frame, timestamp: first.timestamp, next: f.next}
	// The newest complete picture ends right before the one under way, or is the last.
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

// clock returns when a timestamp was now: at the publisher, where that is known, else here.
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

// setCaptureTime says when the publisher had the picture of the packet written last.
func (w *feedWriter) setCaptureTime(at time.Time) {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	w.feed.captureTime, w.feed.captureTimestamp = at, w.feed.lastTimestamp
}

func (f *Feed) at(index uint64) *packet { return f.ring[index%uint64(len(f.ring))] }

// unitWriter writes the units of a camera's stream, packetised. The stream's next session starts a
// new writer.
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
		w.writer.setCaptureTime(u.Arrived) // what the ring has kept is older than now
	}
}

// ticks converts to the 90 kHz clock, modulo 2^32.
func ticks(d time.Duration) uint32 {
	return uint32(int64(d/time.Microsecond) * 9 / 100)
}
