package webrtc

import "time"

// onFeedback handles what the receiver reports and requests.
func (p *pacedSender) onFeedback(f feedback, now time.Time) {
	if p.arrivals != nil {
		for _, t := range f.transport {
			p.arrivals.add(t, p.sentAs)
		}
		if len(f.transport) > 0 && p.arrivals.base != 0 {
			p.control.onArrival(p.arrivals.highest, p.arrivals.lost(), p.arrivals.highestAt, now)
		}
	} else {
		for _, r := range f.reports {
			if r.SSRC == p.plain.SSRC {
				p.control.onReport(p.extended(uint16(r.LastSequenceNumber)), r.TotalLost, now)
			}
		}
	}
	if p.yielding || p.paused || !p.joined {
		f.sequences, f.keyframe = f.sequences[:0], false
	}
	first := p.handleFeedback(f, now)
	if first > 0 {
		p.control.onNACK(first, now)
	}
	if p.arrivals != nil {
		p.adaptPlayout(first, p.control.minRTT.value(), now)
		p.ladder.judge(p.struggles(), now)
	}
}

// sentAs returns the full number of the packet that was sent last with these lower 16 bits, 0 if there was none.
func (p *pacedSender) sentAs(short uint16) uint64 {
	if len(p.spans) == 0 {
		return 0
	}
	return p.extended(short)
}

// patience is how long a viewer waits for a missing packet: browsers keep a frame that is not complete for longer, and
// a hub gives it up after giveUpAfter.
const patience = time.Second

// lossyLine is the share of packets that a line loses from which on every retransmission is sent twice: where one of 30
// is lost, the second loss of the same packet would delay the video by another round trip every few seconds. Where the line
// is full, that would make it worse.
const lossyLine = 0.01

// repeatWait returns how long the next retransmission must wait at now; 0: it may leave. To a viewer it may leave ahead of
// its time, because its frame waits for it and the packets after it wait longer instead. During slow start it does not
// wait for the window either, which is often full although the line is not: a packet that the viewer lacks is not in
// flight, and what came after it has arrived.
func (p *pacedSender) repeatWait(now time.Time) time.Duration {
	wait := p.wait(now) // the congestion control takes note of what has to wait
	if p.arrivals == nil || p.control.window == 0 && p.control.inFlight() >= p.control.limit() {
		return wait
	}
	if wait = max(p.control.next.Sub(now), p.allowed.wait(now)); wait > segmentTime {
		return wait
	}
	return 0
}

// repeat retransmits one missing packet. It skips those that would arrive when the receiver no longer waits, and those
// that were retransmitted within the last round trip. It reports false when no request is left.
func (p *pacedSender) repeat(now time.Time) (bool, error) {
	waits, trip := giveUpAfter, max(p.control.rtt, nackEvery)
	if p.arrivals != nil { // the round trip includes the time until the next feedback, its minimum does not
		waits, trip = patience, max(p.control.minRTT.value()*3/4, nackEvery/2)
	}
	for len(p.nacked) > 0 {
		short := p.nacked[0]
		p.nacked = append(p.nacked[:0], p.nacked[1:]...)
		sequence := p.extended(short)
		r := &p.repeated[sequence%repeatSlots]
		if r.sequence != sequence || now.Sub(r.missed)+p.control.minRTT.value() >= waits || !r.again && now.Sub(r.at) < trip {
			continue
		}
		size, err := p.retransmitOne(sequence)
		if err != nil {
			return false, err
		}
		if size == 0 {
			continue
		}
		if !r.again && p.arrivals != nil && p.control.loss.last > lossyLine && !p.control.fullLately(now) && len(p.nacked) < maxNACKed {
			r.again = true
			p.nacked = append(p.nacked, short)
		} else {
			r.again = false
		}
		r.at = now
		p.onSent(0, size+packetOverhead, now)
		p.flush(p.plain.SSRC)
		return true, nil
	}
	return false, nil
}
