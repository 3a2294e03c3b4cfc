package webrtc

import (
	"sync"
	"time"
)

// sourceMeter measures what a camera sends. It is safe for concurrent use.
type sourceMeter struct {
	mu sync.Mutex

	// The GOP under way.
	started bool
	session uint32
	begun   time.Duration // PTS of its keyframe
	latest  time.Duration // largest PTS
	bytes   int

	key      int     // bytes of the newest keyframe
	rate     float64 // bit/s of the last whole GOPs; 0: there was none
	duration time.Duration
}

const (
	assumedBitrate = 4e6 // until a camera's own is known
	minMeasured    = 500 * time.Millisecond
	maxGOP         = 10 * time.Second // a longer GOP is measured in pieces
)

// frame takes note of a frame of so many bytes on the line.
func (m *sourceMeter) frame(session uint32, pts time.Duration, keyframe bool, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.started && session == m.session {
		if d := pts - m.begun; keyframe || d > maxGOP {
			m.close(d)
		}
	}
	if keyframe {
		m.key = bytes
	}
	if keyframe || !m.started || session != m.session || pts-m.begun > maxGOP {
		m.started, m.session, m.begun, m.latest, m.bytes = true, session, pts, pts, 0
	}
	m.bytes += bytes
	m.latest = max(m.latest, pts)
}

// close ends the GOP under way, which lasted d. mu is held.
func (m *sourceMeter) close(d time.Duration) {
	if d <= 0 {
		return
	}
	rate := 8 * float64(m.bytes) / d.Seconds()
	if m.rate == 0 {
		m.rate = rate
	}
	m.rate = (m.rate + rate) / 2
	m.duration = d
}

// bitrate returns the stream's average, in bit/s, with all headers.
func (m *sourceMeter) bitrate() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.average()
}

func (m *sourceMeter) average() float64 {
	if m.rate > 0 {
		return m.rate
	}
	if d := m.latest - m.begun; d >= minMeasured {
		return 8 * float64(m.bytes) / d.Seconds()
	}
	return assumedBitrate
}

// ceiling returns what a burst may use, in bit/s: a small multiple of the bitrate, and enough for the
// newest keyframe to leave within keyframeTime.
func (m *sourceMeter) ceiling() float64 { return m.pace(1) }

// pace returns the share, (0, 1], of what a burst may use, but at least leastPace of the bitrate; in bit/s.
func (m *sourceMeter) pace(share float64) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	burst := max(burstFactor*m.average(), 8*float64(m.key)/keyframeTime.Seconds())
	return max(share*burst, leastPace*m.average())
}

// keyframeSize returns the bytes of the newest keyframe.
func (m *sourceMeter) keyframeSize() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.key
}

// gopDuration returns how long the last whole GOP was; 0 before the first.
func (m *sourceMeter) gopDuration() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.duration
}
