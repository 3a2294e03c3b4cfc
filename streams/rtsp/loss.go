package rtsp

import (
	"sync"
	"time"
)

const (
	lossSlots = 6
	lossSlot  = 10 * time.Second
)

// Loss is what arrived of a camera's video packets in the last minute, and what did not.
type Loss struct {
	Received uint64
	Lost     uint64 // by their sequence numbers
}

// Percent returns the share of packets that were lost, 0..100.
func (l Loss) Percent() float64 {
	if l.Lost == 0 {
		return 0
	}
	return 100 * float64(l.Lost) / float64(l.Lost+l.Received)
}

// Heavy reports a loss that costs frames again and again. Less than that is the odd packet of a radio link.
func (l Loss) Heavy() bool { return l.Lost >= 20 && l.Percent() >= 1 }

// lossMeter counts packets over the last minute. It is safe for concurrent use.
type lossMeter struct {
	mu    sync.Mutex
	began time.Time // of slot 0
	slots [lossSlots]Loss
}

// add counts packets at now.
func (m *lossMeter) add(now time.Time, received, lost uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	m.slots[0].Received += received
	m.slots[0].Lost += lost
}

// lastMinute returns what was counted in the minute before now, give or take a slot.
func (m *lossMeter) lastMinute(now time.Time) (sum Loss) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	for _, s := range m.slots {
		sum.Received += s.Received
		sum.Lost += s.Lost
	}
	return sum
}

// advance drops slots that are too old. mu is held.
func (m *lossMeter) advance(now time.Time) {
	if m.began.IsZero() {
		m.began = now
	}
	passed := int64(now.Sub(m.began) / lossSlot)
	if passed <= 0 {
		return
	}
	n := int(min(passed, lossSlots))
	copy(m.slots[n:], m.slots[:])
	clear(m.slots[:n])
	m.began = m.began.Add(time.Duration(passed) * lossSlot)
}
