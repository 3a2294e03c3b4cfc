package webrtc

import (
	"time"
)

// pending fills batch with the next packets, up to the end of what is sent of the current GOP, and returns how many, and
// whether there may be more.
func (p *pacedSender) pending(batch []*packet) (n int, more bool) {
	if !p.joined || p.finished {
		return 0, false
	}
	n, ok := p.feed.read(p.cursor, batch)
	if !ok {
		p.joined = false // overwritten in the ring; choose joins again
		return 0, true
	}
	for i, k := range batch[:n] {
		if p.keyframesOnly && k.frame != p.keyframe {
			if i == 0 {
				p.finished = true
				p.succeed()
			}
			return i, true
		}
		if i > 0 && k.keyframe && k.frame != p.keyframe {
			return i, true // choose decides about the next GOP
		}
	}
	return n, n == len(batch)
}

// succeed ends a probe: a keyframe was sent.
func (p *pacedSender) succeed() {
	if p.probing {
		p.probing = false
		p.backoff.Reset()
	}
}

// choose decides with which packet to continue.
func (p *pacedSender) choose(now time.Time) {
	if rung := p.ladder.rung; p.trySwitch(now) {
		p.switched(rung)
	}
	g, ok := p.feed.current()
	if !ok || g.index == p.skipped {
		return
	}
	newer := g.index > p.cursor
	switch {
	case !p.joined:
		if g.live { // an old GOP is not the present
			p.begin(g)
		}
	case p.finished:
		if g.first > p.keyframe {
			p.begin(g)
		}
	case newer && !p.keyframesOnly && (p.needsLess() || p.lag() > maxStreamLag+p.feed.meter.gopDuration()):
		p.begin(g) // the rest of the current GOP is dropped
	case p.keyframeRequested && newer:
		p.keyframeRequested = false // a newer keyframe is sent next anyway
	case p.keyframeRequested && g.live && !p.congested():
		p.keyframeRequested = !p.begin(g)
	default:
		p.nextGOP(g, newer)
	}
	if p.joined && !p.finished && p.needsLess() {
		p.keyframesOnly = true
	}
}

// switched begins with the stream of another rung than before.
func (p *pacedSender) switched(before Rung) {
	p.keyframe, p.keyframeBytes, p.lastFrame, p.skipped = 0, 0, 0, 0
	p.keyframesOnly, p.finished, p.paused, p.probing = false, false, false, false
	p.backoff.Reset()
	bitrate := p.feed.meter.bitrate()
	p.control.setDemand(p.feed.meter.ceiling(), bitrate)
	if p.ladder.rung < before { // the line has carried the smaller stream only
		p.control.restart(2 * bitrate)
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
	plenty := p.control.budget >= 2*p.feed.meter.bitrate()
	p.keyframesOnly = !plenty && (p.needsLess() || p.lag() > maxStreamLag)
}

// succeedIfPassed ends a probe if the whole keyframe was sent.
func (p *pacedSender) succeedIfPassed(keyframe uint64) {
	if p.probing && p.lastFrame == p.keyframe && keyframe == p.keyframe+1 {
		p.succeed()
	}
}
