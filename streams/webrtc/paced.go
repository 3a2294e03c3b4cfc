package webrtc

import (
	"context"
	"time"

	"gridpost/devices/retry"
)

// pacedSender sends a feed over a line that may carry less than the stream: that of an edge to its hub,
// which it shares with alerts. Everything that it sends, retransmissions included, stays within the
// budget of congestion and leaves in segments of at most maxSegment packets.
//
// If the budget is less than the stream's bitrate, it drops whole GOPs, then everything but keyframes;
// if a keyframe alone would take longer than keyframeWithin, it pauses, and probes the line with
// back-off. While yield returns true it sends only keepalive packets.
type pacedSender struct {
	*sender
	control *congestion
	meter   *sourceMeter
	yield   func() bool   // nil: never
	state   *PublishState // nil: nobody reads it

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

	repeated [reorderSlots]repetition // missing packets, by sequence number; older ones are overwritten

	droppedFrames, yields, pauses, probes uint64
	published                             SenderStats // is part of state already
}

const (
	// burstFactor is by how much a burst, such as a cached GOP, may exceed the stream's bitrate.
	burstFactor  = 6
	keyframeTime = 25 * time.Millisecond // in which a keyframe may leave, so that pacing does not delay the first frame

	keyframeWithin = 10 * time.Second // a keyframe that takes longer is of no use
	maxStreamLag   = time.Second      // behind the present if the line is full; beyond it a GOP is dropped

	yieldEvery     = 200 * time.Millisecond // between two calls of yield while it returns true
	keepAliveEvery = 3 * time.Second        // the receiver gives a session up after framesWithin
	idleWait       = time.Second            // nothing to send
	stateEvery     = 200 * time.Millisecond // how often PublishState is updated
)

func newPacedSender(s *sender, m *sourceMeter, yield func() bool, state *PublishState) *pacedSender {
	return &pacedSender{
		sender: s, meter: m, yield: yield, state: state, control: newCongestion(m.ceiling()),
		backoff: retry.Policy{First: 5 * time.Second, Longest: time.Minute}.New(),
	}
}

// run sends until ctx ends or a write fails. The connection must be established.
func (p *pacedSender) run(ctx context.Context) error {
	wake := make(chan struct{}, 1)
	p.feed.subscribe(wake)
	defer p.feed.unsubscribe(wake)
	report := time.NewTicker(reportEvery)
	defer report.Stop()
	state := time.NewTicker(stateEvery)
	defer state.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	p.publishState()
	defer p.endState()
	for {
		wait, err := p.advance(time.Now())
		if err != nil {
			return err
		}
		timer.Reset(wait)
		more := wake
		if wait < idleWait {
			more = nil // packets are there already, but may not leave yet
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-more:
		case <-timer.C:
		case f := <-p.feedback:
			p.onFeedback(f, time.Now())
		case <-state.C:
			p.publishState()
		case <-report.C:
			err = p.sendReport()
		}
		if err != nil {
			return err
		}
	}
}

// advance sends at most one segment, and returns how long to wait for the next one: idleWait if there
// is nothing to send.
func (p *pacedSender) advance(now time.Time) (time.Duration, error) {
	p.control.setDemand(p.meter.ceiling(), p.meter.bitrate())
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
		if wait := p.control.wait(now); wait > 0 {
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
	n := p.pending(batch[:p.control.segment()])
	if n == 0 {
		return idleWait, p.keepAlive(now)
	}
	if wait := p.control.wait(now); wait > 0 {
		return wait, nil
	}
	return 0, p.sendSegment(batch[:n], now)
}

// pending fills batch with the next packets, up to the end of what is sent of the current GOP, and
// returns how many.
func (p *pacedSender) pending(batch []*packet) int {
	if !p.joined || p.finished {
		return 0
	}
	n, ok := p.feed.read(p.cursor, batch)
	if !ok {
		p.joined = false // overwritten in the ring; choose joins again
		return 0
	}
	for i, k := range batch[:n] {
		if p.keyframesOnly && k.frame != p.keyframe {
			if i == 0 {
				p.finished = true
				p.succeed()
			}
			return i
		}
		if i > 0 && k.keyframe && k.frame != p.keyframe {
			return i // choose decides about the next GOP
		}
	}
	return n
}

// succeed ends a probe: a keyframe was sent.
func (p *pacedSender) succeed() {
	if p.probing {
		p.probing = false
		p.backoff.Reset()
	}
}

func (p *pacedSender) sendSegment(batch []*packet, now time.Time) error {
	if !p.reported { // before the first packet, so that its age is known
		p.reported = true
		if err := p.sendReport(); err != nil {
			return err
		}
	}
	for _, k := range batch {
		if k.frame == p.keyframe {
			p.keyframeBytes += len(k.payload) + packetOverhead
		} else {
			p.succeed()
		}
		p.control.onSent(p.sequence, len(k.payload)+packetOverhead, now)
		p.lastFrame = k.frame
		if err := p.sendNext(k); err != nil {
			return err
		}
	}
	p.aliveAt = now
	p.flush()
	return nil
}

// choose decides with which packet to continue.
func (p *pacedSender) choose(now time.Time) {
	g, ok := p.feed.current()
	if !ok || g.index == p.skipped {
		return
	}
	newer := g.index > p.cursor
	switch {
	case !p.joined:
		p.begin(g)
	case p.finished:
		if g.first > p.keyframe {
			p.begin(g)
		}
	case newer && !p.keyframesOnly && (p.needsLess() || p.lag() > maxStreamLag+p.meter.gopDuration()):
		p.begin(g) // the rest of the current GOP is dropped
	case p.keyframeRequested && newer:
		p.keyframeRequested = false // a newer keyframe is sent next anyway
	case p.keyframeRequested && !p.congested():
		p.keyframeRequested = !p.begin(g)
	default:
		p.nextGOP(g, newer)
	}
	if p.joined && !p.finished && p.needsLess() {
		p.keyframesOnly = true
	}
}

// nextGOP decides what is sent of a GOP that begins with the next packet.
func (p *pacedSender) nextGOP(g gop, newer bool) {
	var next [1]*packet
	n, ok := p.feed.read(p.cursor, next[:])
	if !ok || n == 0 || !next[0].keyframe || next[0].frame == p.keyframe {
		return
	}
	if newer && p.lag() > maxStreamLag {
		p.begin(g)
		return
	}
	p.enter(next[0].frame)
}

// begin continues with the GOP g. It reports false if its timestamps do not fit behind the last one sent; they
// will with the next frame.
func (p *pacedSender) begin(g gop) bool {
	from, last := p.cursor, p.lastFrame
	again := p.joined && g.index < from
	if !p.join(g) {
		return false
	}
	if from != 0 && g.index > from {
		p.dropped.Add(g.index - from)
	}
	if !again && last != 0 && g.first > last+1 {
		p.droppedFrames += g.first - last - 1
		p.lastFrame = g.first - 1
	}
	p.enter(g.first)
	return true
}

// enter decides what is sent of the GOP whose keyframe has this number.
func (p *pacedSender) enter(keyframe uint64) {
	p.succeedIfPassed(keyframe)
	p.keyframe, p.keyframeBytes, p.finished = keyframe, 0, false
	plenty := p.control.budget >= 2*p.meter.bitrate()
	p.keyframesOnly = !plenty && (p.needsLess() || p.lag() > maxStreamLag)
}

// succeedIfPassed ends a probe if the whole keyframe was sent.
func (p *pacedSender) succeedIfPassed(keyframe uint64) {
	if p.probing && p.lastFrame == p.keyframe && keyframe == p.keyframe+1 {
		p.succeed()
	}
}

// needsLess reports whether the budget is less than half of the stream's bitrate: then only keyframes
// are sent.
func (p *pacedSender) needsLess() bool { return p.control.budget < p.meter.bitrate()/2 }

// congested reports whether frames are dropped, or soon will be.
func (p *pacedSender) congested() bool {
	return p.paused || p.keyframesOnly || p.control.budget < p.meter.bitrate()
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
	rest := p.meter.keyframeSize() - p.keyframeBytes
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
	p.control.onSent(p.sequence, 1+packetOverhead, now)
	p.sequence++
	_, err := p.write.WriteRTP(&h, []byte{1}) // the count of padding bytes (RFC 3550, section 5.1)
	p.flush()
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
