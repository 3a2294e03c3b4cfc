package streams

import "time"

// unitOverhead is about what a unit and its list of NALUs cost beside the coded bytes; without it a source of
// empty pictures would fill the memory under the bound in bytes.
const (
	unitOverhead = 112
	naluOverhead = 24
)

// ring holds the last units of a stream in whole groups of pictures: it is empty or begins with a
// key unit. It forgets the oldest group once the next one goes back far enough, or as soon as
// the bytes are too many; a single group that is larger than the ring is forgotten itself.
type ring struct {
	keep      time.Duration
	keepBytes int

	slots []slot // a circle: the oldest is at head, n are used
	head  int
	n     int
	bytes int
	next  int // how far after head the second group begins; 0: there is none yet
}

type slot struct {
	u    *AccessUnit
	cost int
}

func (r *ring) at(i int) *slot { return &r.slots[(r.head+i)%len(r.slots)] }

// push adds u, which has size coded bytes.
func (r *ring) push(u *AccessUnit, size int) {
	if r.n == 0 && !u.Keyframe {
		return
	}
	if r.n == len(r.slots) {
		r.grow()
	}
	cost := size + unitOverhead + naluOverhead*len(u.NALUs)
	*r.at(r.n) = slot{u, cost}
	if u.Keyframe && r.n > 0 && r.next == 0 {
		r.next = r.n
	}
	r.n++
	r.bytes += cost
	for r.n > 0 && (r.bytes > r.keepBytes || r.next > 0 && u.Arrived.Sub(r.at(r.next).u.Arrived) >= r.keep) {
		r.dropGroup()
	}
}

// grow makes room; the number of slots follows the most that the ring ever held and is bounded by
// keepBytes, because each unit has a cost.
func (r *ring) grow() {
	slots := make([]slot, max(64, 2*len(r.slots)))
	for i := range r.n {
		slots[i] = *r.at(i)
	}
	r.slots, r.head = slots, 0
}

// dropGroup forgets the oldest group of pictures.
func (r *ring) dropGroup() {
	drop := r.next
	if drop == 0 {
		drop = r.n
	}
	for i := range drop {
		s := r.at(i)
		r.bytes -= s.cost
		*s = slot{}
	}
	r.head = (r.head + drop) % len(r.slots)
	r.n -= drop
	r.next = 0
	for i := 1; i < r.n; i++ {
		if r.at(i).u.Keyframe {
			r.next = i
			break
		}
	}
}

// lastGroup returns a copy of the newest group of pictures, nil when there is none.
func (r *ring) lastGroup() []*AccessUnit {
	for i := r.n - 1; i >= 0; i-- {
		if r.at(i).u.Keyframe {
			return r.slice(i, r.n)
		}
	}
	return nil
}

// since returns the whole groups that cover from..to; see Stream.Since.
func (r *ring) since(session uint32, from, to time.Time) []*AccessUnit {
	first, end := -1, r.n
	for i := range r.n {
		u := r.at(i).u
		if session != 0 && u.Session != session {
			if first >= 0 {
				end = i
				break
			}
			continue
		}
		if !u.Keyframe {
			continue
		}
		if first >= 0 && u.Arrived.After(to) {
			end = i
			break
		}
		if first < 0 || !u.Arrived.After(from) {
			first = i
		}
	}
	if first < 0 || r.at(first).u.Arrived.After(to) || r.at(end-1).u.Arrived.Before(from) {
		return nil
	}
	return r.slice(first, end)
}

func (r *ring) slice(from, to int) []*AccessUnit {
	units := make([]*AccessUnit, 0, to-from)
	for i := from; i < to; i++ {
		units = append(units, r.at(i).u)
	}
	return units
}

func (r *ring) span() time.Duration {
	if r.n == 0 {
		return 0
	}
	return r.at(r.n - 1).u.Arrived.Sub(r.at(0).u.Arrived)
}
