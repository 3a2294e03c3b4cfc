package devices

import (
	"strconv"
	"sync"
	"time"
)

// Recent holds what went wrong lately with something that goes on, such as messages that were refused: the
// last cause of each kind with how often it happened, for a time after the last one. It is safe for
// concurrent use.
type Recent struct {
	keep time.Duration
	most int

	mu      sync.Mutex
	entries []recent // oldest first
}

type recent struct {
	key   string
	cause Cause
	count uint64
	at    time.Time
}

// NewRecent returns a Recent that holds at most so many kinds, each for keep after it happened last. The one
// that happened least lately makes room.
func NewRecent(keep time.Duration, most int) *Recent { return &Recent{keep: keep, most: most} }

// Add notes that something of a kind has happened once more, and reports whether it is new.
func (r *Recent) Add(key string, cause Cause) (fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := recent{key: key, cause: cause, count: 1, at: time.Now()}
	fresh = true
	for i, old := range r.entries {
		if old.key == key {
			e.count += old.count
			fresh = time.Since(old.at) > r.keep
			r.entries = append(r.entries[:i], r.entries[i+1:]...)
			break
		}
	}
	if len(r.entries) == r.most {
		r.entries = r.entries[1:]
	}
	r.entries = append(r.entries, e)
	return fresh
}

// Causes returns what happened lately, the last one first. Each has the parameter count.
func (r *Recent) Causes() []Cause {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Cause
	for i := len(r.entries) - 1; i >= 0 && time.Since(r.entries[i].at) < r.keep; i-- {
		all = append(all, r.entries[i].cause.With("count", strconv.FormatUint(r.entries[i].count, 10)))
	}
	return all
}
