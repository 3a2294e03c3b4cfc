package webrtc

import "time"

// congestion estimates how many bits per second the line from a publisher to its receiver carries, and
// decides when the next packets may leave. Its input are reports that arrive several times a second: RTCP
// receiver reports (RFC 3550, section 6.4.1) of a hub, transport-wide feedback of a viewer. From the highest
// sequence number received follow the round-trip time, the bytes in flight and the rate at which the line
// delivers. The delay on the line is taken from the round trip, or from the arrival time that
// transport-wide feedback has, which does not depend on when that feedback is sent.
//
// A rising delay means that a queue builds up on the line, in which everything else waits too, such as
// alerts. So the budget falls as soon as the delay exceeds a target, to less than the measured rate.
// Loss counts only if it is heavy, because a radio link loses packets without being full. This is
// delay-based congestion control as in RFC 6817, RFC 8698 and draft-ietf-rmcat-gcc. Without any
// report, only NACKs count.
//
// The delay of a machine that is short of processors looks the same. So a sender that the camera limits, not
// the budget, is believed to fill the line only if the line says so otherwise: see appLimited.
//
// It has no goroutine and reads no clock. It is not safe for concurrent use.
type congestion struct {
	budget  float64 // bit/s, between minBudget and ceiling
	ceiling float64 // bit/s: what a burst of this stream may use at most
	enough  float64 // bit/s: what carries the stream with room to spare
	largest int     // packets that leave at once, at most maxSegment

	// What was sent. Bytes include all headers down to IP.
	sent     []sentPacket // by sequence number, modulo its length; older ones are overwritten
	total    uint64       // bytes sent
	packets  uint64       // packets sent for the first time
	repeats  uint64       // packets sent again
	first    uint64       // sequence number of the first packet
	next     time.Time    // when the pace allows the next packet
	limited  time.Time    // when pace or window last held back a packet
	blocked  time.Time    // since when more than half of the window is in flight, after it held back a packet; zero: it is not
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
	latency      time.Duration // of that packet: the round trip, or its way there plus a constant; see onArrival
	minLatency   windowedMin
	clock        clockOffset
	lateFrom     time.Time       // since when the delay of every report exceeds the target; zero: that of the last one did not
	rise         rise            // of the round trip, since the last report that was not late at most
	points       []deliveryPoint // of the last deliverySpan
	loss         lossWindow
	tolerance    tolerance

	window   float64       // bytes that may be in flight during slow start; 0: it is over
	hold     time.Time     // no further decrease before, so that the last one can take effect
	full     time.Time     // when the line was last full
	bursts   time.Duration // without a full line the budget may exceed what the stream needs by far
	grown    time.Time     // when the budget last rose
	timeouts uint64        // times that everything in flight was given up
	nacked   uint64        // packets that the receiver requested again
}

const (
	// packetOverhead is what a packet has beside its payload: RTP header and extensions (36 bytes at
	// most), the SRTP tag (16), UDP (8) and IPv4 (20).
	packetOverhead = 76
	packetBits     = 8 * (payloadSize + packetOverhead)

	minBudget     = 20_000                // bit/s: two packets a second, enough to detect a recovery
	maxBudget     = 200e6                 // bit/s
	initialWindow = 64 << 10              // bytes that leave before the first report, at most
	maxSegment    = 24                    // packets that leave at once to a viewer: most frames of 4 Mbit/s
	hubSegment    = 16                    // to a hub, on a line that several cameras and alerts share
	segmentTime   = 20 * time.Millisecond // at most this much of the budget leaves at once, but at least one packet

	rttWindow    = 5 * time.Minute // the least RTT of the last one to two of these is the line without a queue (RFC 6817, section 4.2)
	deliverySpan = time.Second
	idleAfter    = 100 * time.Millisecond
	decrease     = 0.85 // of what the line delivers; the rest drains the queue
	heavyLoss    = 0.1

	viewerWindow = 192 << 10       // instead of initialWindow, so that a keyframe need not wait for feedback, which browsers send ten times a second
	quickAfter   = 5 * time.Second // without a full line the budget doubles each second, else
	slowGrowth   = 1.15            // it rises by this factor each second
	burstsAfter  = time.Minute     // first value of congestion.bursts; doubled when a burst has filled the line
	burstsLatest = 16 * time.Minute

	firstRetry   = 250 * time.Millisecond // between further segments before the first report
	firstTimeout = 3 * time.Second        // without any report: then the receiver sends none
	maxTimeout   = 5 * time.Second

	sentSlots       = 8192
	viewerSentSlots = 2048 // of a viewer: 5 s of 4 Mbit/s
)

// newCongestion returns a congestion that remembers when the last slots packets were sent.
func newCongestion(ceiling float64, slots int) *congestion {
	return &congestion{
		budget: ceiling, ceiling: ceiling, window: initialWindow, sent: make([]sentPacket, slots),
		bursts: burstsAfter, largest: hubSegment, tolerance: hubTolerance(), loss: lossWindow{least: lossSpan / 10},
	}
}

// forViewer returns a congestion for a viewer. Its feedback says when packets arrived, so that a full line shows in
// their delay, and a loss has to be heavier, or last longer, to say the same: viewers are often on radio links.
// It starts with the bits per second that a burst of the stream needs on average, because before the first feedback a
// keyframe alone may overflow a short queue.
func forViewer(ceiling, burst float64) *congestion {
	c := newCongestion(ceiling, viewerSentSlots)
	c.budget = min(burst, ceiling)
	c.tolerance, c.loss.least, c.window, c.largest = viewerTolerance(), lossSpan/2, viewerWindow, maxSegment
	return c
}

// tolerance is what a congestion bears before it takes the line for full.
type tolerance struct {
	delay    time.Duration // of queueing, beside the time that packets take on a thin line
	late     time.Duration // the delay has to stay above that
	timeout  time.Duration // without a report, at least
	overflow float64       // share of the packets of one report whose loss ends slow start
}

// hubTolerance is that of a publication: alerts wait in the same queue.
func hubTolerance() tolerance {
	return tolerance{delay: 100 * time.Millisecond, late: 150 * time.Millisecond, timeout: time.Second, overflow: heavyLoss}
}

// viewerTolerance is that of a viewer: only the viewer waits. Its machine is often short of processors, which looks like
// a queue, because the times of arrival are those at which a process has read the packets.
func viewerTolerance() tolerance {
	return tolerance{delay: 250 * time.Millisecond, late: 500 * time.Millisecond, timeout: 2 * time.Second, overflow: 0.25}
}

// restart begins to find out again what the line carries, because from now on another stream is sent. It starts with
// bits per second, as far as the ceiling allows.
func (c *congestion) restart(bits float64) {
	c.window = initialWindow
	c.budget = min(max(bits, minBudget), c.ceiling)
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
	return c.tolerance.delay + seconds(2.5*packetBits/c.budget)
}

// delay returns the queueing delay of the newest packet that was reported.
func (c *congestion) delay() time.Duration { return max(0, c.latency-c.minLatency.value()) }

// segment returns how many packets may leave at once.
func (c *congestion) segment() int {
	return min(max(int(c.budget*segmentTime.Seconds()/packetBits), 1), c.largest)
}

// wait returns how long the next packet must wait at now; 0: it may leave.
func (c *congestion) wait(now time.Time) time.Duration {
	if d := c.next.Sub(now); d > 0 {
		c.limited = now
		return d
	}
	if c.inFlight() >= c.limit() {
		c.limited = now
		if c.blocked.IsZero() {
			c.blocked = now
		}
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
	if c.window > 0 {
		return min(c.fullLimit(), c.window)
	}
	return c.fullLimit()
}

// fullLimit returns how many bytes may be in flight after slow start.
func (c *congestion) fullLimit() float64 {
	const reportDelay = 150 * time.Millisecond // the receiver gathers packets for one report
	return max(c.budget/8*(c.minRTT.value()+c.target()+reportDelay).Seconds(), 3*packetBits/8)
}

// onSent notes a packet that left at now; reserve is called for its bytes too. sequence is 0 for a retransmission.
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
		c.sent[sequence%uint64(len(c.sent))] = sentPacket{sequence, now, c.total}
	}
	if sequence == 0 {
		c.repeats++
	} else if c.first == 0 {
		c.first = sequence
	}
}

// reserve takes bytes that left at now from the budget.
func (c *congestion) reserve(bytes int, now time.Time) {
	if c.next.Before(now) {
		c.next = now
	}
	c.next = c.next.Add(seconds(8 * float64(bytes) / c.budget))
}

// lower sets the budget to bits if that is less.
func (c *congestion) lower(bits float64, now time.Time) {
	if c.window == 0 && c.budget > c.enough {
		c.bursts = min(2*c.bursts, burstsLatest)
	}
	c.window = 0
	c.budget = max(min(c.budget, bits), minBudget)
	c.full, c.grown = now, now
	c.hold = now.Add(max(c.rtt, 100*time.Millisecond))
}

// fullLately reports whether the line was full within the last few seconds.
func (c *congestion) fullLately(now time.Time) bool {
	return !c.full.IsZero() && now.Sub(c.full) < quickAfter
}

// starved reports whether others fill the line so much that even the least budget is too much.
func (c *congestion) starved(now time.Time) bool {
	return c.budget <= minBudget && !c.lateFrom.IsZero() && now.Sub(c.lateFrom) > time.Second
}

// timeoutAt returns when everything in flight is given up unless a report arrives.
func (c *congestion) timeoutAt() time.Time {
	d := firstTimeout
	if c.reported {
		d = min(max(2*c.rtt+c.tolerance.timeout/2, c.tolerance.timeout), maxTimeout)
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
		c.arrived, c.blocked = c.total, time.Time{}
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
	if !c.full.IsZero() && now.Sub(c.full) < c.bursts {
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
	if c.window > 0 && c.nacked >= 3 && float64(c.nacked) > c.tolerance.overflow*float64(c.packets) {
		c.overflowed(now)
	}
	c.loss.add(c.packets, c.nacked, now)
	c.judge(now)
}

// overflowed ends slow start, which has overflowed a short queue.
func (c *congestion) overflowed(now time.Time) {
	lower := max(decrease*c.delivered(), c.budget/4)
	if c.delivered() == 0 {
		lower = c.budget / 2
	}
	c.lower(lower, now)
	c.loss.restart()
}

// seconds converts to a duration, at most a minute.
func seconds(s float64) time.Duration {
	return time.Duration(min(s, 60) * float64(time.Second))
}
