package rtsp

// Bounds of a sequence number that continues the ones before (RFC 3550, appendix A.1).
const (
	maxDropout  = 3000 // packets lost at a time
	maxMisorder = 100  // packets by which one may be late
)

// arrival is how a packet follows the ones before it.
type arrival int

const (
	inOrder   arrival = iota
	afterLoss         // packets before it are missing
	restarted         // its number has nothing to do with those before: the source has started again
	outdated          // a duplicate, or one that was given up as lost: of no use any more
)

// sequence follows the sequence numbers of one track.
type sequence struct {
	started bool
	last    uint16 // number of the newest packet
	late    uint16 // number of the last outdated packet
	hasLate bool
	run     int  // outdated packets since the last one of use
	useless bool // the source does not count
}

// push returns how the packet with number n follows, and how many are missing before it.
func (s *sequence) push(n uint16) (a arrival, lost uint64) {
	gap, back := n-s.last-1, s.last-n
	switch {
	case !s.started, gap == 0, s.useless:
	case gap < maxDropout:
		a, lost = afterLoss, uint64(gap)
	case back >= maxMisorder:
		a = restarted
	case s.hasLate && n == s.late+1 && back > 0:
		a = restarted // two in a row: it has started again with numbers a little lower
	case s.run < maxMisorder:
		s.late, s.hasLate = n, true
		s.run++
		return outdated, 0
	default:
		s.useless, a = true, restarted
	}
	s.started, s.last, s.hasLate, s.run = true, n, false, 0
	return a, lost
}
