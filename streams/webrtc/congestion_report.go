package webrtc

import "time"

type sentPacket struct {
	sequence uint64
	at       time.Time
	total    uint64 // bytes sent up to this packet, with it
}

// deliveryPoint says how many bytes had been sent at a time, and how many of them had arrived.
type deliveryPoint struct {
	at    time.Time
	bytes float64
	total uint64
}

// clockOffset converts times of a receiver's clock. The offset between the clocks cannot be known, so it is chosen
// such that the way of the first packet takes its round trip.
type clockOffset struct {
	known  bool
	offset time.Duration
	epoch  time.Time // of the sender's side
}

// latency returns the time from sent to arrived, which is by the receiver's clock.
func (k *clockOffset) latency(sent time.Time, arrived, rtt time.Duration) time.Duration {
	if !k.known {
		k.known, k.epoch, k.offset = true, sent, rtt-arrived
	}
	return arrived + k.offset - sent.Sub(k.epoch)
}

// onReport handles a receiver report that arrived at now: the highest sequence number received, as
// extended by this side, and how many packets were lost up to it.
func (c *congestion) onReport(highest uint64, lost uint32, now time.Time) {
	if p := c.sent[highest%uint64(len(c.sent))]; p.sequence == highest { // else never sent, or too long ago
		c.report(p, lost, now.Sub(p.at), now)
	}
}

// onArrival is onReport for a receiver that says when, by its own clock, the packet arrived.
func (c *congestion) onArrival(highest uint64, lost uint32, arrived time.Duration, now time.Time) {
	if p := c.sent[highest%uint64(len(c.sent))]; p.sequence == highest {
		c.report(p, lost, c.clock.latency(p.at, arrived, now.Sub(p.at)), now)
	}
}

// report handles a report about packets up to p, whose latency is known.
func (c *congestion) report(p sentPacket, lost uint32, latency time.Duration, now time.Time) {
	highest := p.sequence
	c.reported = true
	if highest > c.highest {
		step := highest - max(c.highest, c.first-1)
		missing := int32(lost - c.reportedLost)
		share := max(0, 1-float64(missing)/float64(step)) // that arrived
		if c.window > 0 {
			c.window += share * float64(p.total-c.arrived)
		}
		c.highest, c.arrived, c.progress = highest, max(c.arrived, p.total), now
		if c.inFlight() < c.limit()/2 {
			c.blocked = time.Time{}
		}
		c.rtt = now.Sub(p.at)
		c.minRTT.add(c.rtt, now)
		c.latency = latency
		c.minLatency.add(latency, now)
		if c.delay() <= c.target() {
			c.lateFrom, c.rise = time.Time{}, rise{}
		} else if c.lateFrom.IsZero() {
			c.lateFrom = now
		}
		// Retransmissions count as received too (RFC 3550, appendix A.3).
		c.reportedLost = lost
		c.delivery += max(0, float64(step)-float64(missing)) * float64(c.total) / float64(c.packets+c.repeats)
		c.addPoint(deliveryPoint{now, c.delivery, c.total})
		c.rise.add(c.latency, c.delivery, now)
		if c.window > 0 && missing >= 3 && share < 1-c.tolerance.overflow {
			c.overflowed(now)
		} else if c.window > c.fullLimit() {
			c.window = 0 // slow start is over: the budget is the bound
		}
	}
	c.loss.add(c.packets, c.nacked, now)
	c.judge(now)
}

// addPoint keeps the points of the last deliverySpan.
func (c *congestion) addPoint(p deliveryPoint) {
	c.points = append(c.points, p)
	for len(c.points) > 2 && p.at.Sub(c.points[0].at) > deliverySpan {
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
	late := !c.lateFrom.IsZero() && now.Sub(c.lateFrom) >= c.tolerance.late
	lossy := known && loss > heavyLoss
	if !late && !lossy {
		return
	}
	c.full = now
	if now.Before(c.hold) {
		return
	}
	if c.window > 0 && !late {
		c.overflowed(now)
		return
	}
	delivered := c.delivered()
	lower := decrease * delivered
	switch {
	case !lossy && c.appLimited(now):
		lower = max(lower, c.enough)
		if c.rise.steady() {
			lower = decrease * c.rise.delivered()
		}
	case delivered == 0:
		lower = c.budget / 2
	case !late: // the line has a short queue
		lower = max(lower, c.budget*(1-loss))
	}
	c.lower(lower, now)
	c.loss.restart()
}

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
