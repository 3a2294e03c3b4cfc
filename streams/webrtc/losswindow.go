package webrtc

import "time"

// lossWindow counts losses over about a second.
type lossWindow struct {
	least    time.Duration // a shorter time is not significant
	from, to lossPoint
	last     float64 // the last significant share
}

type lossPoint struct {
	at         time.Time
	sent, lost uint64
}

const (
	lossSpan    = time.Second
	lossPackets = 20 // fewer are not significant
)

func (w *lossWindow) add(sent, lost uint64, now time.Time) {
	w.to = lossPoint{now, sent, lost}
	if share, known := w.fraction(now); known {
		w.last = share
	}
	if w.from.at.IsZero() || now.Sub(w.from.at) > 2*lossSpan {
		w.from = w.to
	}
}

// fraction returns the share of packets that were lost; known is false if too few were sent.
func (w *lossWindow) fraction(now time.Time) (share float64, known bool) {
	sent := w.to.sent - w.from.sent
	if sent < lossPackets || now.Sub(w.from.at) < w.least {
		return 0, false
	}
	return float64(w.to.lost-w.from.lost) / float64(sent), true
}

func (w *lossWindow) restart() { w.from = w.to }
