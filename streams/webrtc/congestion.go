package webrtc

import "time"

// congestion estimates how many bits per second the line from a publisher to its receiver carries, and
// decides when the next packets may leave. Its input are RTCP receiver reports (RFC 3550, section 6.4.1)
// that arrive several times a second: from the highest sequence number received follow the round-trip
// time, the bytes in flight and the rate at which the line delivers.
//
// A rising delay means that a queue builds up on the line, in which everything else waits too, such as
// alerts. So the budget falls as soon as the delay exceeds a target, to less than the measured rate.
// Loss counts only if it is heavy, because a radio link loses packets without being full. This is
// delay-based congestion control as in RFC 6817, RFC 8698 and draft-ietf-rmcat-gcc. Without any
// report, only NACKs count.
//
// It has no goroutine and reads no clock. It is not safe for concurrent use.
type congestion struct {
	budget  float64 // bit/s, between minBudget and ceiling
	ceiling float64 // bit/s: what a burst of this stream may use at most
	enough  float64 // bit/s: what carries the stream with room to spare

	// What was sent. Bytes include all headers down to IP.
	sent     [sentSlots]sentPacket // by sequence number; older ones are overwritten
	total    uint64                // bytes sent
	packets  uint64                // packets sent for the first time
	repeats  uint64                // packets sent again
	first    uint64                // sequence number of the first packet
	next     time.Time             // when the pace allows the next packet
	limited  time.Time             // when pace or window last held back a packet
	lastSent time.Time

	// What arrived.
	reported     bool          // a receiver report has come
	highest      uint64        // extended sequence number that arrived
	reportedLost uint32        // packets, as the last report had it
	delivery     float64       // bytes that arrived, also what was sent again
	arrived      uint64        // of total, the bytes up to highest
	progress     time.Time     // when highest last rose
	rtt          time.Duration // of the newest packet that was reported
	minRTT       windowedMin
	lateFrom     time.Time       // since when the delay of every report exceeds the target; zero: that of the last one did not
	points       []deliveryPoint // of the last deliverySpan
	loss         lossWindow

	window   float64   // bytes that may be in flight during slow start; 0: it is over
	hold     time.Time // no further decrease before, so that the last one can take effect
	full     time.Time // when the line was last full
	grown    time.Time // when the budget last rose
	timeouts uint64    // times that everything in flight was given up
	nacked   uint64    // packets that the receiver requested again
}

type sentPacket struct {
	sequence uint64
	at       time.Time
	total    uint64 // bytes sent up to this packet, with it
}

// deliveryPoint says that bytes of total had arrived at a time.
type deliveryPoint struct {
	at    time.Time
	bytes float64
}

const (
	// packetOverhead is what a packet has beside its payload: RTP header and extensions (36 bytes at
	// most), the SRTP tag (16), UDP (8) and IPv4 (20).
	packetOverhead = 76
	packetBits     = 8 * (payloadSize + packetOverhead)

	minBudget     = 20_000                // bit/s: two packets a second, enough to detect a recovery
	maxBudget     = 200e6                 // bit/s
	initialWindow = 64 << 10              // bytes that leave before the first report, at most
	maxSegment    = 16                    // packets that leave at once
	segmentTime   = 20 * time.Millisecond // at most this much of the budget leaves at once, but at least one packet

	delayTarget  = 100 * time.Millisecond // of queueing, beside the time that packets take on a thin line
	rttWindow    = 5 * time.Minute        // the least RTT of the last one to two of these is the line without a queue (RFC 6817, section 4.2)
	lateFor      = 150 * time.Millisecond // the delay has to stay above the target
	deliverySpan = time.Second
	idleAfter    = 100 * time.Millisecond
	decrease     = 0.85 // of what the line delivers; the rest drains the queue
	heavyLoss    = 0.1
	quickAfter   = 5 * time.Second // without a full line the budget doubles each second, else
	slowGrowth   = 1.15            // it rises by this factor each second
	burstsAfter  = time.Minute     // without a full line the budget may exceed what the stream needs by far

	firstRetry   = 250 * time.Millisecond // between further segments before the first report
	firstTimeout = 3 * time.Second        // without any report: then the receiver sends none
	minTimeout   = time.Second
	maxTimeout   = 5 * time.Second

	sentSlots = 8192
)

func newCongestion(ceiling float64) *congestion {
	return &congestion{budget: ceiling, ceiling: ceiling, window: initialWindow}
}

// setDemand sets what a burst may use, and what the stream needs on average, in bit/s. A budget that was
// at the old ceiling follows.
func (c *congestion) setDemand(bits, average float64) {
	bits = min(max(bits, minBudget), maxBudget)
	c.enough = min(2*average, bits)
	if c.budget >= c.ceiling || c.budget > bits {
		c.budget = bits
	}
	c.ceiling = bits
}

// inFlight returns the bytes that were sent and neither arrived nor were given up.
func (c *congestion) inFlight() float64 { return float64(c.total - c.arrived) }

// target returns the queueing delay that is tolerated. On a thin line it includes the time of a few
// packets, which are no queue.
func (c *congestion) target() time.Duration {
	return delayTarget + seconds(2.5*packetBits/c.budget)
}

// delay returns the queueing delay of the newest packet that was reported.
func (c *congestion) delay() time.Duration { return max(0, c.rtt-c.minRTT.value()) }

// segment returns how many packets may leave at once.
func (c *congestion) segment() int {
	return min(max(int(c.budget*segmentTime.Seconds()/packetBits), 1), maxSegment)
}

// wait returns how long the next packet must wait at now; 0: it may leave.
func (c *congestion) wait(now time.Time) time.Duration {
	if d := c.next.Sub(now); d > 0 {
		c.limited = now
		return d
	}
	if c.inFlight() >= c.limit() {
		c.limited = now
		if d := c.lastSent.Add(firstRetry).Sub(now); !c.reported && d <= 0 {
			return 0 // the first packets may have arrived before the receiver was ready
		} else if !c.reported {
			return min(d, max(c.timeoutAt().Sub(now), time.Millisecond))
		}
		return max(c.timeoutAt().Sub(now), time.Millisecond)
	}
	return 0
}

// limit returns how many bytes may be in flight.
func (c *congestion) limit() float64 {
	if !c.reported {
		if c.window == 0 {
			return maxBudget // there are no reports
		}
		return c.window
	}
	const reportDelay = 150 * time.Millisecond // the receiver gathers packets for one report
	limit := max(c.budget/8*(c.minRTT.value()+c.target()+reportDelay).Seconds(), 3*packetBits/8)
	if c.window > 0 {
		limit = min(limit, c.window)
	}
	return limit
}

// onSent notes a packet that left at now. sequence is 0 for a retransmission.
func (c *congestion) onSent(sequence uint64, bytes int, now time.Time) {
	if c.total == c.arrived {
		c.progress = now
	}
	if now.Sub(c.next) > idleAfter && now.Sub(c.limited) > idleAfter {
		c.points = c.points[:0] // the pause before was not due to the line
	}
	c.total += uint64(bytes)
	c.lastSent = now
	if sequence != 0 {
		c.packets++
		c.sent[sequence%sentSlots] = sentPacket{sequence, now, c.total}
	}
	if sequence == 0 {
		c.repeats++
	} else if c.first == 0 {
		c.first = sequence
	}
	if c.next.Before(now) {
		c.next = now
	}
	c.next = c.next.Add(seconds(8 * float64(bytes) / c.budget))
}

// onReport handles a receiver report that arrived at now: the highest sequence number received, as
// extended by this side, and how many packets were lost up to it.
func (c *congestion) onReport(highest uint64, lost uint32, now time.Time) {
	p := c.sent[highest%sentSlots]
	if p.sequence != highest {
		return // never sent, or too long ago
	}
	c.reported = true
	if highest > c.highest {
		step := highest - max(c.highest, c.first-1)
		if c.window > 0 {
			c.window += float64(p.total - c.arrived)
		}
		c.highest, c.arrived, c.progress = highest, max(c.arrived, p.total), now
		c.rtt = now.Sub(p.at)
		c.minRTT.add(c.rtt, now)
		if c.delay() <= c.target() {
			c.lateFrom = time.Time{}
		} else if c.lateFrom.IsZero() {
			c.lateFrom = now
		}
		// Retransmissions count as received too (RFC 3550, appendix A.3).
		arrived := float64(step) - float64(int32(lost-c.reportedLost))
		c.reportedLost = lost
		c.delivery += max(0, arrived) * float64(c.total) / float64(c.packets+c.repeats)
		c.addPoint(now, c.delivery)
	}
	c.loss.add(c.packets, c.nacked, now)
	c.judge(now)
}

// addPoint keeps the points of the last deliverySpan.
func (c *congestion) addPoint(now time.Time, bytes float64) {
	c.points = append(c.points, deliveryPoint{now, bytes})
	for len(c.points) > 2 && now.Sub(c.points[0].at) > deliverySpan {
		c.points = append(c.points[:0], c.points[1:]...)
	}
}

// delivered returns the rate in bit/s at which packets arrived since sending last paused; 0: unknown.
func (c *congestion) delivered() float64 {
	if len(c.points) < 2 {
		return 0
	}
	first, last := c.points[0], c.points[len(c.points)-1]
	d := last.at.Sub(first.at)
	if d <= 0 || last.bytes <= first.bytes {
		return 0
	}
	return 8 * (last.bytes - first.bytes) / d.Seconds()
}

// judge lowers the budget if the line is full.
func (c *congestion) judge(now time.Time) {
	loss, known := c.loss.fraction(now)
	// A process that was not scheduled for a moment looks like a queue, but only for a moment.
	late := !c.lateFrom.IsZero() && now.Sub(c.lateFrom) >= lateFor
	lossy := known && loss > heavyLoss
	if !late && !lossy {
		return
	}
	c.full = now
	if now.Before(c.hold) {
		return
	}
	delivered := c.delivered()
	lower := decrease * delivered
	switch {
	case delivered == 0:
		lower = c.budget / 2
	case !late: // the line has a short queue
		lower = max(lower, c.budget*(1-loss))
	}
	c.lower(lower, now)
	c.loss.restart()
}

// lower sets the budget to bits if that is less.
func (c *congestion) lower(bits float64, now time.Time) {
	c.window = 0
	c.budget = max(min(c.budget, bits), minBudget)
	c.full, c.grown = now, now
	c.hold = now.Add(max(c.rtt, 100*time.Millisecond))
}

// starved reports whether others fill the line so much that even the least budget is too much.
func (c *congestion) starved(now time.Time) bool {
	return c.budget <= minBudget && !c.lateFrom.IsZero() && now.Sub(c.lateFrom) > time.Second
}

// timeoutAt returns when everything in flight is given up unless a report arrives.
func (c *congestion) timeoutAt() time.Time {
	d := firstTimeout
	if c.reported {
		d = min(max(2*c.rtt+minTimeout/2, minTimeout), maxTimeout)
	}
	since := c.progress
	if c.lastSent.After(since) && c.inFlight() < c.limit() {
		since = c.lastSent
	}
	return since.Add(d)
}

// update handles what depends on time only: it gives up packets that no report will confirm, and raises
// the budget of a line that is not full.
func (c *congestion) update(now time.Time) {
	if c.inFlight() > 0 && !now.Before(c.timeoutAt()) {
		late := c.inFlight() > 4*packetBits/8
		c.arrived = c.total
		c.timeouts++
		switch {
		case !c.reported:
			c.window = 0 // this receiver sends no reports
		case late: // more than the last packets of a frame, which any line may lose
			c.lower(c.budget/2, now)
		}
	}
	step := now.Sub(c.grown)
	if step < 50*time.Millisecond {
		return
	}
	c.grown = now
	// On a line that was full lately, bursts would fill it again.
	most := c.ceiling
	if !c.full.IsZero() && now.Sub(c.full) < burstsAfter {
		most = c.enough
	}
	if c.budget >= most || now.Before(c.hold) || now.Sub(c.limited) > time.Second || c.delay() > c.target()/2 {
		return
	}
	step = min(step, 200*time.Millisecond)
	growth := slowGrowth - 1
	if now.Sub(c.full) > quickAfter {
		growth = 1
	}
	c.budget = min(c.budget*(1+growth*step.Seconds()), most)
}

// onNACK notes that the receiver requests n packets for the first time. Retransmissions hide these losses
// in its reports.
func (c *congestion) onNACK(n int, now time.Time) {
	c.nacked += uint64(n)
	if c.window > 0 && c.nacked >= 3 && float64(c.nacked) > heavyLoss*float64(c.packets) {
		c.lower(max(decrease*c.delivered(), c.budget/4), now) // slow start has overflowed a short queue
		c.loss.restart()
	}
	c.loss.add(c.packets, c.nacked, now)
	c.judge(now)
}

// lossWindow counts losses over about a second.
type lossWindow struct {
	from, to lossPoint
}

type lossPoint struct {
	at         time.Time
	sent, lost uint64
}

const (
	lossSpan    = time.Second
	lossPackets = 20 // fewer are not significant
)

func (w *lossWindow) add(sent, lost uint64, now time.Time) {
	w.to = lossPoint{now, sent, lost}
	if w.from.at.IsZero() || now.Sub(w.from.at) > 2*lossSpan {
		w.from = w.to
	}
}

// fraction returns the share of packets that were lost; known is false if too few were sent.
func (w *lossWindow) fraction(now time.Time) (share float64, known bool) {
	sent := w.to.sent - w.from.sent
	if sent < lossPackets || now.Sub(w.from.at) < lossSpan/10 {
		return 0, false
	}
	return float64(w.to.lost-w.from.lost) / float64(sent), true
}

func (w *lossWindow) restart() { w.from = w.to }

// windowedMin is the least value of the last one to two rttWindows.
type windowedMin struct {
	previous, current time.Duration // 0: none
	since             time.Time     // when current began
}

func (m *windowedMin) add(d time.Duration, now time.Time) {
	d = max(d, 1)
	if now.Sub(m.since) > rttWindow {
		m.previous, m.current, m.since = m.current, 0, now
	}
	if m.current == 0 || d < m.current {
		m.current = d
	}
}

func (m *windowedMin) value() time.Duration {
	if m.previous != 0 && m.previous < m.current {
		return m.previous
	}
	return m.current
}

// seconds converts to a duration, at most a minute.
func seconds(s float64) time.Duration {
	return time.Duration(min(s, 60) * float64(time.Second))
}
