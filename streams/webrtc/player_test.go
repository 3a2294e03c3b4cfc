package webrtc

import (
	"time"

	"github.com/pion/rtp"
)

// testPlayer shows the frames of a testLink when a browser would show them: no sooner than the playout delay after the
// frame that took the least time, in order, and a frame that comes later than that at once.
type testPlayer struct {
	delays  map[uint32]time.Duration // by timestamp, of frames whose header has a delay
	delay   time.Duration            // of the newest frame that had one
	started bool
	begun   time.Time // when the first frame was complete
	first   uint32    // its timestamp
	least   time.Duration
	shown   []time.Time
}

const playoutID = 4 // of the header extension

// read takes note of a packet's delay.
func (p *testPlayer) read(h *rtp.Header) {
	v := h.GetExtension(playoutID)
	if len(v) < 3 {
		return
	}
	if p.delays == nil {
		p.delays = make(map[uint32]time.Duration)
	}
	p.delays[h.Timestamp] = time.Duration(uint16(v[0])<<4|uint16(v[1])>>4) * 10 * time.Millisecond
}

// complete shows the frame with this timestamp, which is complete at now.
func (p *testPlayer) complete(timestamp uint32, now time.Time) {
	if d, ok := p.delays[timestamp]; ok {
		p.delay = d
	}
	if !p.started {
		p.started, p.begun, p.first = true, now, timestamp
	}
	taken := p.begun.Add(time.Duration(int32(timestamp-p.first)) * time.Second / clockRate)
	p.least = min(p.least, now.Sub(taken))
	at := taken.Add(p.least + p.delay)
	if at.Before(now) {
		at = now
	}
	if n := len(p.shown); n > 0 && at.Before(p.shown[n-1]) {
		at = p.shown[n-1]
	}
	p.shown = append(p.shown, at)
}
