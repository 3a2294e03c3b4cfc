package webrtc

import "time"

// reorder puts RTP packets in order, says which to ask for again, and gives up on what does not
// come. It holds at most reorderSlots packets.
type reorder struct {
	begun   bool
	next    uint64 // extended sequence number to be delivered next
	highest uint64 // seen
	slots   [reorderSlots]arrived
	waiting int       // packets in slots
	since   time.Time // when next began to be missing
	asked   time.Time // when it was asked for last
	skipped uint64    // packets passed over by a jump, to be reported
}

type arrived struct {
	payload   []byte
	timestamp uint32
	marker    bool
	there     bool
}

const (
	reorderSlots = 1024
	askEvery     = 30 * time.Millisecond  // a round trip over most lines
	giveUpAfter  = 400 * time.Millisecond // more delays the picture more than a new key picture does
)

// push takes a packet and reports whether it is new. The caller then calls pop until it has
// nothing more.
func (r *reorder) push(sequence uint16, a arrived, now time.Time) bool {
	a.there = true
	if !r.begun {
		r.begun = true
		r.next = 1<<16 + uint64(sequence)
		r.highest = r.next
	}
	full := r.highest + uint64(int64(int16(sequence-uint16(r.highest))))
	if full < r.next {
		return false // late or doubled
	}
	if full >= r.next+reorderSlots {
		// A jump too far to bridge: begin again there.
		*r = reorder{begun: true, next: full, highest: full, skipped: r.skipped + full - r.next}
	}
	slot := &r.slots[full%reorderSlots]
	if slot.there {
		return false
	}
	*slot = a
	if r.waiting == 0 && full != r.next {
		r.since, r.asked = now, time.Time{}
	}
	r.waiting++
	r.highest = max(r.highest, full)
	return true
}

// pop returns the next packet in order. lost is how many before it were given up.
func (r *reorder) pop(now time.Time) (a arrived, lost uint64, ok bool) {
	if r.waiting == 0 {
		return arrived{}, 0, false
	}
	if !r.slots[r.next%reorderSlots].there {
		if now.Sub(r.since) < giveUpAfter {
			return arrived{}, 0, false
		}
		for !r.slots[r.next%reorderSlots].there {
			r.next++
			lost++
		}
	}
	slot := &r.slots[r.next%reorderSlots]
	a = *slot
	*slot = arrived{}
	lost, r.skipped = lost+r.skipped, 0
	r.next++
	r.waiting--
	if r.waiting > 0 && !r.slots[r.next%reorderSlots].there {
		r.since, r.asked = now, time.Time{}
	}
	return a, lost, true
}

// missing returns the sequence numbers to ask for now, at most 200 of them.
func (r *reorder) missing(now time.Time) []uint16 {
	if r.waiting == 0 || now.Sub(r.asked) < askEvery {
		return nil
	}
	var list []uint16
	for i := r.next; i < r.highest && len(list) < 200; i++ {
		if !r.slots[i%reorderSlots].there {
			list = append(list, uint16(i))
		}
	}
	if len(list) > 0 {
		r.asked = now
	}
	return list
}
