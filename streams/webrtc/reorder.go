package webrtc

import "time"

// reorder puts RTP packets in order, determines which to request again, and gives up on those that do
// not arrive. It holds at most reorderSlots packets.
type reorder struct {
	started  bool
	next     uint64 // extended sequence number to be delivered next
	highest  uint64 // seen
	slots    [reorderSlots]rtpPacket
	waiting  int       // packets in slots
	nackedAt time.Time // when missing packets were requested last
	skipped  uint64    // packets given up, to be reported with the next one
}

type rtpPacket struct {
	payload   []byte
	timestamp uint32
	marker    bool
	present   bool
	missedAt  time.Time // when a later packet arrived while this one was missing
}

const (
	reorderSlots = 1024
	nackEvery    = 30 * time.Millisecond  // a round trip on most networks
	giveUpAfter  = 400 * time.Millisecond // waiting longer delays the video more than a new keyframe does
)

// push adds a packet and reports whether it is new. The caller then calls pop until it returns
// nothing more.
func (r *reorder) push(sequence uint16, a rtpPacket, now time.Time) bool {
	a.present = true
	if !r.started {
		r.started = true
		r.next = 1<<16 + uint64(sequence)
		r.highest = r.next
	}
	full := r.highest + uint64(int64(int16(sequence-uint16(r.highest))))
	if full < r.next {
		return false // late or a duplicate
	}
	if full >= r.next+reorderSlots {
		// The gap is too large: begin again there.
		*r = reorder{started: true, next: full, highest: full, skipped: r.skipped + full - r.next}
	}
	slot := &r.slots[full%reorderSlots]
	if slot.present {
		return false
	}
	*slot = a
	r.waiting++
	if r.highest < full {
		if full > r.highest+1 {
			r.nackedAt = time.Time{} // a new gap is asked for at once
		}
		for i := r.highest + 1; i < full; i++ {
			r.slots[i%reorderSlots].missedAt = now
		}
		r.highest = full
	}
	return true
}

// pop returns the next packet in order. lost is how many before it were given up.
func (r *reorder) pop(now time.Time) (a rtpPacket, lost uint64, ok bool) {
	if r.waiting == 0 {
		return rtpPacket{}, 0, false
	}
	if !r.slots[r.next%reorderSlots].present {
		for !r.slots[r.next%reorderSlots].present {
			if now.Sub(r.slots[r.next%reorderSlots].missedAt) < giveUpAfter {
				r.skipped += lost
				return rtpPacket{}, 0, false
			}
			r.next++
			lost++
		}
	}
	slot := &r.slots[r.next%reorderSlots]
	a = *slot
	*slot = rtpPacket{}
	lost, r.skipped = lost+r.skipped, 0
	r.next++
	r.waiting--
	return a, lost, true
}

// missing returns the sequence numbers to request now, at most 200 of them.
func (r *reorder) missing(now time.Time) []uint16 {
	if r.waiting == 0 || now.Sub(r.nackedAt) < nackEvery {
		return nil
	}
	var list []uint16
	for i := r.next; i < r.highest && len(list) < 200; i++ {
		if !r.slots[i%reorderSlots].present {
			list = append(list, uint16(i))
		}
	}
	if len(list) > 0 {
		r.nackedAt = now
	}
	return list
}
