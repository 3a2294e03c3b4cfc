package webrtc

import (
	"context"
	"time"

	"gridpost/devices/retry"
)

// pacedSender sends a feed over a line that may carry less than the stream: that of an edge to its hub,
// which it shares with alerts, or that of a viewer who sends transport-wide feedback. Everything that it sends, retransmissions included, stays within the
// budget of congestion and of the allowance, and leaves in segments of at most maxSegment packets.
//
// If the budget is less than the stream's bitrate, it drops whole GOPs, then everything but keyframes;
// if a keyframe alone would take longer than keyframeWithin, it pauses, and probes the line with
// back-off. While yield returns true it sends only keepalive packets.
type pacedSender struct {
	*sender
	control  *congestion
	arrivals *arrivals     // of a viewer's transport-wide feedback; nil: the receiver reports are used
	yield    func() bool   // nil: never
	priority func() int    // within the allowance
	state    *PublishState // nil: nobody reads it

	allowance *Allowance
	allowed   *allowed // the part of allowance, while run runs

	keyframe      uint64 // number of the keyframe of the GOP that is being sent
	keyframeBytes int    // of that keyframe, sent so far
	keyframesOnly bool   // the frames after it are dropped
	finished      bool   // nothing more of this GOP is sent
	skipped       uint64 // index of a GOP that is not sent; 0: none
	lastFrame     uint64 // number of the frame sent last
	reported      bool   // a sender report was sent

	paused     bool
	yielding   bool
	probing    bool // after a pause, until a whole keyframe was sent
	probeAt    time.Time
	probeSince time.Time
	backoff    *retry.Backoff
	aliveAt    time.Time // when the last packet left, media or keepalive

	droppedFrames, yields, pauses, probes uint64
	published                             SenderStats // is part of state already
	stateAt                               time.Time   // when state is updated next
	heldUntil                             time.Time   // no packet may leave before, unless feedback comes; zero: nothing is held back
}

const (
	// burstFactor is by how much a burst, such as a cached GOP, may exceed the stream's bitrate.
	burstFactor  = 3
	keyframeTime = 50 * time.Millisecond // in which a keyframe may leave, so that pacing does not delay the first frame

	keyframeWithin = 10 * time.Second // a keyframe that takes longer is of no use
	advanceMost    = 8                // segments that leave before anything else is looked at
	maxStreamLag   = time.Second      // behind the present if the line is full; beyond it a GOP is dropped

	yieldEvery     = 200 * time.Millisecond // between two calls of yield while it returns true
	keepAliveEvery = 3 * time.Second        // the receiver gives a session up after framesWithin
	idleWait       = time.Second            // nothing to send
	stateEvery     = 200 * time.Millisecond // how often PublishState is updated
)

// newPacedViewer returns the sender for a viewer who sends transport-wide feedback.
func newPacedViewer(s *sender) *pacedSender {
	p := newPacedSender(s, PublishOptions{})
	p.arrivals, p.control = &arrivals{}, forViewer(s.feed.meter.ceiling(), burstFactor*s.feed.meter.bitrate())
	p.recovery = recovery{longest: viewerGOPQuiet}
	return p
}

// newPacedSender returns the sender of a publication.
func newPacedSender(s *sender, o PublishOptions) *pacedSender {
	s.recovery = recovery{onlyGOP: true, longest: hubGOPQuiet}
	priority := o.Priority
	if priority == nil {
		priority = func() int { return 0 }
	}
	return &pacedSender{
		sender: s, yield: o.Yield, priority: priority, state: o.State, allowance: o.Allowance, control: newCongestion(s.feed.meter.ceiling(), sentSlots),
		backoff: retry.Policy{First: 5 * time.Second, Longest: time.Minute}.New(),
	}
}

// run sends until ctx ends or a write fails. The connection must be established.
func (p *pacedSender) run(ctx context.Context) error {
	defer p.start(ctx)()
	p.publishState()
	defer p.endState()
	p.allowed = p.allowance.join()
	defer p.allowed.leave()
	for ctx.Err() == nil {
		now := time.Now()
		if p.readMessages(func(f feedback) { p.onFeedback(f, f.at) }) {
			p.heldUntil = time.Time{}
		}
		if err := p.sendPacedAudio(now); err != nil {
			return err
		}
		if p.state != nil && !now.Before(p.stateAt) {
			p.stateAt = now.Add(stateEvery)
			p.publishState()
		}
		if p.reportDue(now) {
			if err := p.sendReport(); err != nil {
				return err
			}
		}
		wait, err := p.advanceSegments(now)
		if err != nil {
			return err
		}
		due := p.reportAt
		if p.state != nil && p.stateAt.Before(due) {
			due = p.stateAt
		}
		p.sleep(wait, due, now)
	}
	return context.Cause(ctx)
}

// advanceSegments calls advance until that returns how long to wait, or advanceMost segments have left. What is held back
// stays so whatever packets come meanwhile.
func (p *pacedSender) advanceSegments(now time.Time) (wait time.Duration, err error) {
	if held := p.heldUntil.Sub(now); held > 0 {
		return held, nil
	}
	for n := 0; wait == 0 && err == nil && n < advanceMost; n++ {
		wait, err = p.advance(now)
		if wait == 0 {
			now = time.Now()
		}
	}
	p.heldUntil = time.Time{}
	if wait < idleWait {
		p.heldUntil = now.Add(wait)
	}
	return wait, err
}

// advance sends at most one segment, and returns how long to wait for the next one: idleWait if there
// is nothing to send.
func (p *pacedSender) advance(now time.Time) (time.Duration, error) {
	rate := p.feed.meter.bitrate()
	share := p.allowed.share(demand{bits: leastPace * rate, priority: p.priority(), congested: p.fullLine(rate, now)})
	p.control.setDemand(min(p.feed.meter.ceiling(), share), rate)
	p.control.update(now)
	if p.checkYield() {
		return yieldEvery, p.keepAlive(now)
	}
	if p.paused {
		if wait := p.probeAt.Sub(now); wait > 0 {
			return min(wait, idleWait/2), p.keepAlive(now)
		}
		p.paused, p.probing, p.probeSince = false, true, now
		p.probes++
	}
	if n := len(p.nacked); n > 0 {
		if wait := p.repeatWait(now); wait > 0 {
			return wait, nil
		}
		if sent, err := p.repeat(now); sent || err != nil {
			return 0, err
		}
	}
	p.choose(now)
	if p.tooThin(now) {
		p.pause(now)
		return 0, nil
	}
	var batch [maxSegment]*packet
	n, more := p.pending(batch[:p.control.segment()])
	if n == 0 {
		return idleWait, p.keepAlive(now)
	}
	if wait := p.wait(now); wait > 0 {
		return wait, nil
	}
	if err := p.sendSegment(batch[:n], now); more || err != nil || len(p.nacked) > 0 {
		return 0, err
	}
	return idleWait, nil
}

// fullLine reports whether the line, not the allowance, is too thin for a stream of rate bit/s.
func (p *pacedSender) fullLine(rate float64, now time.Time) bool {
	return p.control.budget < rate && p.control.fullLately(now)
}

// audioBudget is the least budget in bit/s with which audio is sent. G.711 needs 80 kbit/s with headers; on a thinner
// line the video needs everything.
const audioBudget = 320e3

// sendPacedAudio sends the audio that has come at once, because it is small, and lets the video wait for it.
func (p *pacedSender) sendPacedAudio(now time.Time) error {
	bytes, err := p.sendAudio(p.yielding || p.paused || p.control.budget < audioBudget)
	if bytes > 0 {
		p.reserve(bytes, now)
	}
	return err
}

// wait returns how long the next packet must wait at now; 0: it may leave.
func (p *pacedSender) wait(now time.Time) time.Duration {
	return max(p.control.wait(now), p.allowed.wait(now))
}

// onSent notes a packet that left at now. sequence is 0 for a retransmission.
func (p *pacedSender) onSent(sequence uint64, bytes int, now time.Time) {
	p.control.onSent(sequence, bytes, now)
	p.reserve(bytes, now)
}

// reserve takes bytes that left at now from what may leave next.
func (p *pacedSender) reserve(bytes int, now time.Time) {
	p.control.reserve(bytes, now)
	p.allowed.sent(bytes, now)
}

func (p *pacedSender) sendSegment(batch []*packet, now time.Time) error {
	if !p.reported { // before the first packet, so that its age is known
		p.reported = true
		if err := p.sendReport(); err != nil {
			return err
		}
	}
	total := 0
	for _, k := range batch {
		bytes := len(k.payload) + packetOverhead
		if k.frame == p.keyframe {
			p.keyframeBytes += bytes
		} else {
			p.succeed()
		}
		p.control.onSent(p.sequence, bytes, now)
		total += bytes
		p.lastFrame = k.frame
		if err := p.sendNext(k); err != nil {
			return err
		}
	}
	p.reserve(total, now)
	p.aliveAt = now
	p.flush(p.plain.SSRC)
	return nil
}

// needsLess reports whether the budget is less than half of the stream's bitrate: then only keyframes
// are sent.
func (p *pacedSender) needsLess() bool { return p.control.budget < p.feed.meter.bitrate()/2 }

// congested reports whether frames are dropped, or soon will be.
func (p *pacedSender) congested() bool {
	return p.paused || p.keyframesOnly || p.control.budget < p.feed.meter.bitrate()
}

// struggles reports whether a viewer's line has carried less than the stream: frames are dropped, or are late.
func (p *pacedSender) struggles() bool {
	return p.paused || p.keyframesOnly || p.joined && p.lag() > maxStreamLag/2
}

// lag returns the time between the next packet and the newest one, by the camera's clock.
func (p *pacedSender) lag() time.Duration {
	var next [1]*packet
	if n, ok := p.feed.read(p.cursor, next[:]); !ok || n == 0 {
		return 0
	}
	_, newest := p.feed.newest()
	return time.Duration(int32(newest-next[0].timestamp)) * time.Second / clockRate
}

// tooThin reports whether the rest of the keyframe would take longer than keyframeWithin.
func (p *pacedSender) tooThin(now time.Time) bool {
	if !p.joined || !p.keyframesOnly || p.finished {
		return false
	}
	if p.probing && p.control.full.Before(p.probeSince) && now.Sub(p.probeSince) < keyframeWithin {
		return false // the probe has not found the line's rate yet
	}
	if p.control.starved(now) {
		return true
	}
	rest := p.feed.meter.keyframeSize() - p.keyframeBytes
	return seconds(8*float64(rest)/p.control.budget) > keyframeWithin
}

// pause stops sending until the next probe.
func (p *pacedSender) pause(now time.Time) {
	p.paused, p.probing = true, false
	p.probeAt = now.Add(p.backoff.Next())
	p.pauses++
	p.stop()
}

// stop drops the rest of the current GOP; sending continues with a newer one.
func (p *pacedSender) stop() {
	p.nacked, p.keyframeRequested = p.nacked[:0], false
	if g, ok := p.feed.current(); ok {
		p.skipped = g.index
	}
	p.joined = false
}

// checkYield calls yield, if it is set, and returns the result.
func (p *pacedSender) checkYield() bool {
	was := p.yielding
	p.yielding = p.yield != nil && p.yield()
	if p.yielding && !was {
		p.yields++
	}
	if p.yielding != was {
		p.stop()
	}
	return p.yielding
}

// keepAlive sends a packet of padding, which a Feed ignores, if no packet has left for keepAliveEvery although
// the camera sends frames.
func (p *pacedSender) keepAlive(now time.Time) error {
	arrival, _ := p.feed.newest()
	if now.Sub(p.aliveAt) < keepAliveEvery || now.Sub(arrival) > keepAliveEvery || len(p.spans) == 0 {
		return nil
	}
	if p.joined { // its sequence number interrupts the span
		p.stop()
	}
	p.aliveAt = now
	h := p.plain
	h.SequenceNumber, h.Timestamp, h.Padding = uint16(p.sequence), p.lastTimestamp, true
	p.onSent(p.sequence, 1+packetOverhead, now)
	p.sequence++
	_, err := p.write.WriteRTP(&h, []byte{1}) // the count of padding bytes (RFC 3550, section 5.1)
	p.flush(p.plain.SSRC)
	return err
}

// endState adds the last counts; without a session there is no congestion.
func (p *pacedSender) endState() {
	p.publishState()
	p.state.update(func(st *PublishStats) { st.Congested, st.Paused, st.Yielding, st.Budget = false, false, false, 0 })
}

// publishState makes the state and the counters readable.
func (p *pacedSender) publishState() {
	now := p.stats()
	p.state.update(func(st *PublishStats) {
		st.Congested, st.Yielding, st.Paused = p.congested(), p.yielding, p.paused
		st.Budget = int64(p.control.budget)
		st.SenderStats.add(now, p.published)
		st.DroppedFrames += p.droppedFrames
		st.Yields += p.yields
		st.Pauses += p.pauses
		st.Probes += p.probes
	})
	p.published = now
	p.droppedFrames, p.yields, p.pauses, p.probes = 0, 0, 0, 0
}
