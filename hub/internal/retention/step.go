package retention

import "time"

const (
	// target is how long the statements of one transaction should take. They never hold the writer for longer
	// than maxHold if the machine does not become slower by more than their ratio from one step to the next.
	// The commit is not counted: a slow disk takes its time for one row as for a thousand.
	target  = 10 * time.Millisecond
	maxHold = 50 * time.Millisecond

	// minPause is the least time between two transactions.
	minPause = 5 * time.Millisecond

	firstLimit, maxLimit = 50, 5000
)

// step is the number of entries that one transaction deletes. It follows the time that the statements of the
// last ones took.
type step struct{ limit int }

func newStep() *step { return &step{limit: firstLimit} }

// observe adapts the limit: at once to what is slower, by at most the double to what is faster.
func (s *step) observe(n int, took time.Duration) {
	if n < s.limit && took <= target {
		return // there were not enough entries to tell
	}
	next := maxLimit
	if took > 0 {
		next = int(int64(max(n, 1)) * int64(target) / int64(took))
	}
	s.limit = min(max(next, 1), 2*s.limit, maxLimit)
}

// failed makes the next attempt smaller: a transaction may have failed because it was too large.
func (s *step) failed() { s.limit = max(s.limit/4, 1) }
