package webrtc

import (
	"context"
	"time"

	"gridpost/devices/retry"
)

// pacedSender brings a feed to a receiver over a line that may carry less than the stream: an edge's
// way to its hub, which alerts share. Everything that it sends, also what is sent again, leaves
// within the budget that congestion allows, in segments of at most maxSegment packets.
//
// Where the budget does not carry the stream, it leaves out whole GOPs, then everything but
// keyframes; where a keyframe alone would take longer than keyframeWithin, it pauses, and probes the
// line with back-off. While yield returns true it sends nothing but signs of life.
type pacedSender struct {
	*sender
	control *congestion
	meter   *sourceMeter
	yield   func() bool   // nil: never
	state   *PublishState // nil: nobody reads it

	keyframe      uint64 // number of the keyframe of the GOP that is being sent
	keyframeBytes int    // of that keyframe, sent so far
	keyframesOnly bool   // frames after it are left out
	finished      bool   // nothing more of this GOP is sent
	skipped       uint64 // index of a GOP that is passed over; 0: none
	lastFrame     uint64 // number of the frame sent last
	reported      bool   // a sender report has left

	paused     bool
	yielding   bool
	probing    bool // since the pause, until a whole keyframe has passed
	probeAt    time.Time
	probeSince time.Time
	backoff    *retry.Backoff
	aliveAt    time.Time // when the last sign of life left

	repeated [reorderSlots]repetition // what was sent again, by sequence number

	droppedFrames, yields, pauses, probes uint64
	published                             SenderStats // part of state already
}

type repetition struct {
	sequence uint64
	missed   time.Time // when it was asked for first
	at       time.Time // when it was sent again last
}

const (
	// burstFactor is by how much a burst, such as a cached GOP, may exceed the stream's bitrate.
	burstFactor  = 6
	keyframeTime = 25 * time.Millisecond // in which a keyframe may leave, so that it is seen as early as without a pace

	keyframeWithin = 10 * time.Second // a keyframe that takes longer is of no use
	maxStreamLag   = time.Second      // behind the present, where the line is full; then a GOP is left out

	yieldEvery     = 200 * time.Millisecond // between two calls of yield while it returns true
	keepAliveEvery = 3 * time.Second        // the receiver gives a session up after framesWithin
	idleWait       = time.Second            // nothing to send and no reason to look earlier
	stateEvery     = 200 * time.Millisecond // how old PublishState may be
)

func newPacedSender(s *sender, m *sourceMeter, yield func() bool, state *PublishState) *pacedSender {
	return &pacedSender{
		sender: s, meter: m, yield: yield, state: state, control: newCongestion(m.ceiling()),
		backoff: retry.Policy{First: 5 * time.Second, Longest: time.Minute}.New(),
	}
}

// run sends until ctx ends or a write fails. The connection stands.
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
	defer p.publishState()
	for {
		wait, err := p.advance(time.Now())
		if err != nil {
			return err
		}
		timer.Reset(wait)
		more := wake
		if wait < idleWait {
			more = nil // it is not for want of packets that nothing leaves
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

// advance sends at most one segment, and returns how long nothing more can leave: idleWait where
// there is nothing to send.
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

// pending fills batch with the packets that are to leave next and belong together, and returns how
// many.
func (p *pacedSender) pending(batch []*packet) int {
	if !p.joined || p.finished {
		return 0
	}
	n, ok := p.feed.read(p.cursor, batch)
	if !ok {
		p.joined = false // overwritten in the ring; choose begins anew
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

// succeed ends a probe.
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

// choose decides with which packet to go on.
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
		p.begin(g) // the rest of the GOP under way is left out
	case p.keyframeRequested && newer:
		p.keyframeRequested = false // a keyframe comes by itself
	case p.keyframeRequested && !p.congested():
		p.keyframeRequested = !p.begin(g)
	default:
		p.nextGOP(g, newer)
	}
	if p.joined && !p.finished && p.needsLess() {
		p.keyframesOnly = true
	}
}

// nextGOP looks whether a GOP begins with the next packet and what of it is sent.
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

// begin goes on with the GOP g. It reports false where there is no room for it on the time axis;
// the next frame makes some.
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

// succeedIfPassed ends a probe whose keyframe has left whole.
func (p *pacedSender) succeedIfPassed(keyframe uint64) {
	if p.probing && p.lastFrame == p.keyframe && keyframe == p.keyframe+1 {
		p.succeed()
	}
}

// needsLess reports whether the budget carries less than half of the stream: then only keyframes
// are of use.
func (p *pacedSender) needsLess() bool { return p.control.budget < p.meter.bitrate()/2 }

// congested reports whether frames are left out, or soon will be.
func (p *pacedSender) congested() bool {
	return p.paused || p.keyframesOnly || p.control.budget < p.meter.bitrate()
}

// lag returns how far the next packet is behind the newest one, by the camera's clock.
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
		return false // the probe still finds out what the line carries
	}
	if p.control.starved(now) {
		return true
	}
	rest := p.meter.keyframeSize() - p.keyframeBytes
	return seconds(8*float64(rest)/p.control.budget) > keyframeWithin
}

// pause gives the GOP under way up, and has the line probed later.
func (p *pacedSender) pause(now time.Time) {
	p.paused, p.probing = true, false
	p.probeAt = now.Add(p.backoff.Next())
	p.pauses++
	p.stop()
}

// stop leaves the GOP under way out from here; sending goes on with a newer one.
func (p *pacedSender) stop() {
	p.nacked, p.keyframeRequested = p.nacked[:0], false
	if g, ok := p.feed.current(); ok {
		p.skipped = g.index
	}
	p.joined = false
}

// checkYield asks yield, if there is one, and returns its answer.
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

// keepAlive sends a packet of padding, which no feed takes in, if nothing has left for
// keepAliveEvery although the camera sends frames.
func (p *pacedSender) keepAlive(now time.Time) error {
	arrival, _ := p.feed.newest()
	if now.Sub(p.aliveAt) < keepAliveEvery || now.Sub(arrival) > keepAliveEvery || len(p.spans) == 0 {
		return nil
	}
	if p.joined { // its number is between those of the stream
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

// onFeedback takes in what the receiver reports and asks for.
func (p *pacedSender) onFeedback(f feedback, now time.Time) {
	for _, r := range f.reports {
		if r.SSRC == p.plain.SSRC {
			p.control.onReport(p.extended(uint16(r.LastSequenceNumber)), r.TotalLost, now)
		}
	}
	p.noteLosses(f.sequences, now)
	if p.yielding || p.paused || !p.joined {
		f.sequences, f.keyframe = nil, false
	}
	p.handleFeedback(f)
}

// noteLosses counts the packets that are asked for the first time.
func (p *pacedSender) noteLosses(sequences []uint16, now time.Time) {
	n := 0
	for _, short := range sequences {
		sequence := p.extended(short)
		if r := &p.repeated[sequence%reorderSlots]; r.sequence != sequence {
			*r = repetition{sequence: sequence, missed: now}
			n++
		}
	}
	if n > 0 {
		p.control.onNACK(n, now)
	}
}

// extended returns the last sequence number sent that ends in these 16 bits.
func (p *pacedSender) extended(short uint16) uint64 {
	return p.sequence - 1 - uint64(uint16(p.sequence-1)-short)
}

// repeat sends one packet again that the receiver misses, if that can still be of use: the receiver
// waits for giveUpAfter, and what is under way already need not be sent a third time. It reports
// false when nothing is left to be sent again.
func (p *pacedSender) repeat(now time.Time) (bool, error) {
	for len(p.nacked) > 0 {
		short := p.nacked[0]
		p.nacked = append(p.nacked[:0], p.nacked[1:]...)
		sequence := p.extended(short)
		r := &p.repeated[sequence%reorderSlots]
		if r.sequence != sequence || now.Sub(r.missed)+p.control.rtt >= giveUpAfter || now.Sub(r.at) < max(p.control.rtt, nackEvery) {
			continue
		}
		size, err := p.retransmitOne(sequence)
		if err != nil {
			return false, err
		}
		if size == 0 {
			continue
		}
		r.at = now
		p.control.onSent(0, size+packetOverhead, now)
		p.flush()
		return true, nil
	}
	return false, nil
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
