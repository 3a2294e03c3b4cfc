package webrtc

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"gridpost/streams"
)

// testLink is a line in virtual time: packets leave its queue at rate, and those that the queue has
// no room for are lost. The receiver at its end is the hub's; its reports come back without a queue.
type testLink struct {
	t     *testing.T
	queue int           // bytes that may wait
	delay time.Duration // each way
	line  *testLink     // whose queue this link shares; nil: it has its own

	mu        sync.Mutex
	rate      float64 // bit/s
	leaves    time.Time
	lost      int
	packets   int
	bytes     int
	segment   int // packets that were written in one go
	segmentAt time.Time
	largest   int                       // segment
	loses     func() bool               // nil: nothing is lost but for want of room
	runs      func(time.Time) time.Time // when the machine's processes run next, from a time on; nil: at once
	read      [2]time.Time              // when the receiver and the sender have read what came last
	receiver  *receiver
	feed      *Feed // at the hub
	frames    []time.Time
	player    testPlayer
	losesBack func() bool // nil: nothing is lost on the way back
	sender    *sender
	running   sync.WaitGroup
}

func newTestLink(t *testing.T, rate float64, queue int, delay time.Duration, s *sender) *testLink {
	l := &testLink{t: t, rate: rate, queue: queue, delay: delay, feed: testFeed(), sender: s}
	w := l.feed.writer()
	l.receiver = &receiver{writeRTCP: l.writeRTCP, reports: &receptionReport{ssrc: s.plain.SSRC}, clock: &sourceClock{}}
	l.receiver.deliver = func(a rtpPacket, lost uint64) {
		if lost > 0 {
			w.lost(lost)
		}
		w.write(a.payload, a.timestamp, a.marker)
		if w.needKeyframe {
			if err := l.receiver.requestKeyframe(time.Now()); err != nil {
				t.Error(err)
			}
		} else if a.marker {
			l.frames = append(l.frames, time.Now())
			l.player.complete(a.timestamp, time.Now())
		}
	}
	return l
}

// newViewerLink is newTestLink for a viewer who sends transport-wide feedback, as browsers do; s has no extensions yet.
func newViewerLink(t *testing.T, rate float64, queue int, delay time.Duration, s *sender) *testLink {
	t.Helper()
	s.plain.SSRC = 7
	if err := s.setExtensions([]webrtc.RTPHeaderExtensionParameter{{URI: playoutDelayURI, ID: playoutID}, {URI: transportURI, ID: 3}}); err != nil {
		t.Fatal(err)
	}
	l := newTestLink(t, rate, queue, delay, s)
	l.receiver.reports, l.receiver.transport = nil, newTransportReport(3)
	s.write, s.writeRTCP = l, l.writeReports
	return l
}

// backlog returns the bytes that wait. mu is held.
func (l *testLink) backlog() int {
	return int(max(0, time.Until(l.leaves).Seconds()*l.rate/8))
}

// enqueue returns when a packet of so many bytes is through; ok is false when it is lost.
func (l *testLink) enqueue(bytes int) (arrives time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.line != nil {
		return l.line.enqueue(bytes)
	}
	now := time.Now()
	l.packets++
	l.bytes += bytes
	if l.backlog()+bytes > l.queue || l.loses != nil && l.loses() {
		l.lost++
		return time.Time{}, false
	}
	if l.leaves.Before(now) {
		l.leaves = now
	}
	l.leaves = l.leaves.Add(seconds(8 * float64(bytes) / l.rate))
	return l.reads(atReceiver, l.leaves.Add(l.delay)), true
}

func (l *testLink) setRate(bits float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate = bits
}

func (l *testLink) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	l.count(h)
	b, err := h.Marshal()
	if err != nil {
		return 0, err
	}
	b = append(b, payload...)
	at, ok := l.enqueue(len(payload) + packetOverhead)
	if !ok {
		return len(b), nil
	}
	l.running.Go(func() {
		time.Sleep(time.Until(at))
		l.mu.Lock()
		defer l.mu.Unlock()
		if err := l.receiver.push(b, time.Now()); err != nil {
			l.t.Error(err)
		}
		if err := l.receiver.drain(time.Now()); err != nil {
			l.t.Error(err)
		}
	})
	return len(b), nil
}

// The ends of a line.
const (
	atReceiver = iota
	atSender
)

// reads returns when the process at one end reads what arrives there at a time: in order. mu is held.
func (l *testLink) reads(end int, at time.Time) time.Time {
	if l.runs != nil {
		at = l.runs(at)
	}
	if !at.After(l.read[end]) {
		at = l.read[end].Add(time.Microsecond)
	}
	l.read[end] = at
	return at
}

// count takes note of a packet before it may be lost.
func (l *testLink) count(h *rtp.Header) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.player.read(h)
	if now := time.Now(); now != l.segmentAt {
		l.segmentAt, l.segment = now, 0
	}
	l.segment++
	l.largest = max(l.largest, l.segment)
}

func (l *testLink) Write([]byte) (int, error) { return 0, errors.New("unused") }

// writeRTCP is the way back. mu is held.
func (l *testLink) writeRTCP(packets []rtcp.Packet) error {
	raw, err := rtcp.Marshal(packets)
	if err != nil {
		return err
	}
	if l.losesBack != nil && l.losesBack() {
		return nil
	}
	at := l.reads(atSender, time.Now().Add(l.delay))
	l.running.Go(func() {
		time.Sleep(time.Until(at))
		back, err := readCompound(raw)
		if err != nil {
			l.t.Error(err)
		}
		l.sender.receive(back)
	})
	return nil
}

// writeReports takes the sender's reports to the receiver, which does not wait in the queue for them.
func (l *testLink) writeReports(packets []rtcp.Packet) error {
	l.running.Go(func() {
		time.Sleep(l.delay)
		for _, p := range packets {
			if report, ok := p.(*rtcp.SenderReport); ok {
				l.receiver.clock.report(report, time.Now())
			}
		}
	})
	return nil
}

// watch has the receiver look for what is missing, as its read deadline does.
func (l *testLink) watch(ctx context.Context) {
	tick := time.NewTicker(nackEvery / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			l.mu.Lock()
			if err := l.receiver.drain(now); err != nil {
				l.t.Error(err)
			}
			l.mu.Unlock()
		}
	}
}

// testStream is a camera of 25 frames a second that publishes over a testLink.
type testStream struct {
	link     *testLink
	state    PublishState
	last     PublishStats // before it ended
	keyframe int          // bytes
	frame    int          // bytes of the other frames
	gop      int          // frames
	feed     *Feed
	sent     int // frames
	begun    time.Time
	delays   []time.Duration // that a packet would wait in the link's queue, every 20 ms

	viewer    bool          // the receiver is a viewer, not a hub
	transport bool          // it sends transport-wide feedback, and no receiver reports
	delay     time.Duration // of the link, each way; 0: 10 ms
	sender    *sender
	allowance *Allowance
	priority  int
	silent    bool        // the receiver sends no reports
	queue     int         // bytes that may wait on the link; 0: 32 KiB
	loses     func() bool // beside those that the queue has no room for
	losesBack func() bool // of the receiver's feedback
	runs      func(time.Time) time.Time
	line      *testLink // nil: it has a line of its own
}

func (ts *testStream) bitrate() float64 {
	return 8 * 25 * float64(ts.keyframe+(ts.gop-1)*ts.frame) / float64(ts.gop)
}

// run publishes for d over a link of rate, after cached frames of the GOP under way. each is called
// every 20 ms with the time since the beginning.
func (ts *testStream) run(t *testing.T, rate float64, cached int, d time.Duration, yield func() bool, each func(time.Duration)) {
	t.Helper()
	ts.feed = testFeed()
	if !ts.viewer {
		ts.feed.history = feedBytes
	}
	w := accessUnitWriter{feed: ts.feed}
	for range cached {
		ts.write(&w)
	}
	s := newSender(ts.feed, func(uint32) {})
	ts.sender = s
	s.plain.SSRC = 7
	var extensions []webrtc.RTPHeaderExtensionParameter
	if ts.viewer {
		extensions = append(extensions, webrtc.RTPHeaderExtensionParameter{URI: playoutDelayURI, ID: playoutID})
	}
	if ts.transport {
		extensions = append(extensions, webrtc.RTPHeaderExtensionParameter{URI: transportURI, ID: 3})
	}
	if err := s.setExtensions(extensions); err != nil {
		t.Fatal(err)
	}
	s.writeRTCP = discardRTCP
	if ts.queue == 0 {
		ts.queue = 32 << 10
	}
	if ts.delay == 0 {
		ts.delay = 10 * time.Millisecond
	}
	ts.link = newTestLink(t, rate, ts.queue, ts.delay, s)
	if ts.transport {
		ts.link.receiver.reports, ts.link.receiver.transport = nil, newTransportReport(3)
	}
	s.write = ts.link
	ts.link.loses, ts.link.losesBack, ts.link.runs = ts.loses, ts.losesBack, ts.runs
	ts.link.line = ts.line
	if ts.viewer {
		s.writeRTCP = ts.link.writeReports
	}
	if ts.silent {
		ts.link.receiver.reports = nil
	}
	send := s.run
	if ts.transport {
		send = newPacedViewer(s).run
	} else if !ts.viewer {
		send = newPacedSender(s, PublishOptions{Yield: yield, State: &ts.state, Allowance: ts.allowance, Priority: func() int { return ts.priority }}).run
	}
	ts.begun = time.Now()

	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := send(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	running.Go(func() { ts.link.watch(ctx) })
	running.Go(func() {
		tick := time.NewTicker(frameTime)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				ts.write(&w)
			}
		}
	})
	for now := time.Duration(0); now < d; now += 20 * time.Millisecond {
		time.Sleep(20 * time.Millisecond)
		ts.link.mu.Lock()
		ts.delays = append(ts.delays, max(0, time.Until(ts.link.leaves)))
		ts.link.mu.Unlock()
		if each != nil {
			each(now)
		}
	}
	ts.last = ts.state.Stats()
	cancel()
	running.Wait()
	ts.link.running.Wait()
}

// write publishes one frame.
func (ts *testStream) write(w *accessUnitWriter) {
	u := &streams.AccessUnit{
		Codec: streams.H264, Session: 1, PTS: time.Duration(ts.sent) * frameTime, Arrived: time.Now(), Keyframe: ts.sent%ts.gop == 0,
	}
	slice := make([]byte, ts.frame)
	slice[0] = 0x41
	if u.Keyframe {
		slice = make([]byte, ts.keyframe)
		slice[0] = 0x65
		u.NALUs = [][]byte{{0x67, 0x64, 0x00, 0x28, 0xac}, {0x68, 0xee, 0x3c, 0x80}}
	}
	u.NALUs = append(u.NALUs, slice)
	if err := w.write(u); err != nil {
		panic(err) // only a source with B-frames causes one
	}
	ts.sent++
}

// longest returns for how long the queue delay was above limit without a pause at most, from the time
// from on.
func (ts *testStream) longest(from, limit time.Duration) time.Duration {
	longest, run := 0, 0
	for _, d := range ts.delays[from/(20*time.Millisecond):] {
		if run++; d <= limit {
			run = 0
		}
		longest = max(longest, run)
	}
	return time.Duration(longest) * 20 * time.Millisecond
}

// percentile returns the queue delay that share of the time is below, from the time from on.
func (ts *testStream) percentile(share float64, from time.Duration) time.Duration {
	d := slices.Sorted(slices.Values(ts.delays[from/(20*time.Millisecond):]))
	return d[int(share*float64(len(d)-1))]
}

// alerts are small requests that share a link's queue with a stream; one that is lost is sent again a
// second later, as TCP does at best.
type alerts struct {
	bytes int
	every time.Duration
	next  time.Duration
	open  []time.Duration // when they were raised
	waits []time.Duration
}

func (a *alerts) each(l *testLink, now time.Duration) {
	for ; a.next <= now; a.next += a.every {
		a.open = append(a.open, a.next)
	}
	left := a.open[:0]
	for _, raised := range a.open {
		if (now-raised)%time.Second >= 20*time.Millisecond { // not yet time to try again
			left = append(left, raised)
			continue
		}
		if at, ok := l.enqueue(a.bytes); ok {
			a.waits = append(a.waits, now-raised+time.Until(at))
		} else {
			left = append(left, raised)
		}
	}
	a.open = left
}

func (a *alerts) p95() time.Duration {
	d := slices.Sorted(slices.Values(a.waits))
	return d[len(d)*95/100]
}
