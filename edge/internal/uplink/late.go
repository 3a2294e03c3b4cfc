package uplink

import (
	"sync"
	"time"
)

// waitingSince knows since when the oldest alert of the lane can have been waiting.
type waitingSince struct {
	mu       sync.Mutex
	since    time.Time // with the monotonic clock; zero: none waits
	look     time.Time // the last look into the lane
	progress bool      // something was delivered since then
}

// fetched notes that a look into the lane found n alerts. Those that are left after a delivery may
// have waited since the look before it.
func (w *waitingSince) fetched(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	switch {
	case n == 0:
		w.since = time.Time{}
	case w.since.IsZero():
		w.since = now
	case w.progress:
		w.since = w.look
	}
	w.look, w.progress = now, false
}

// delivered notes that the alerts of the last look are at the hub.
func (w *waitingSince) delivered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.progress = true
}

// clear notes that what keeps the alerts waiting is not the line.
func (w *waitingSince) clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since = time.Time{}
}

func (w *waitingSince) longerThan(d time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.since.IsZero() && time.Since(w.since) > d
}
