package streams

import "time"

// accessUnitOverhead and naluOverhead are about what an access unit and its list of NALUs cost in
// bytes beside the encoded data. Without them a source of empty frames would fill the memory although
// the ring is bounded in bytes.
const (
	accessUnitOverhead = 192
	naluOverhead       = 24
)

// ring holds the last access units of a stream in whole GOPs, each of one session: it is empty or begins with a
// keyframe, and so does each session in it. It drops the oldest GOP once the next one goes back far enough, or as soon as it has too many
// bytes; a single GOP that exceeds the bound is dropped too.
type ring struct {
	duration time.Duration
	maxBytes int

	slots   []slot // circular: the oldest is at head, n are in use
	head    int
	n       int
	bytes   int
	nextGOP int // how far after head the second GOP begins; 0: there is none yet
}

type slot struct {
	accessUnit *AccessUnit
	cost       int // bytes
}

func (r *ring) at(i int) *slot { return &r.slots[(r.head+i)%len(r.slots)] }

// push adds u, which has size encoded bytes.
func (r *ring) push(u *AccessUnit, size int) {
	if !u.Keyframe && (r.n == 0 || r.at(r.n-1).accessUnit.Session != u.Session) {
		return // it depends on frames that the ring does not have
	}
	if r.n == len(r.slots) {
		r.grow()
	}
	cost := size + accessUnitOverhead + naluOverhead*len(u.NALUs)
	*r.at(r.n) = slot{u, cost}
	if u.Keyframe && r.n > 0 && r.nextGOP == 0 {
		r.nextGOP = r.n
	}
	r.n++
	r.bytes += cost
	for r.n > 0 && (r.bytes > r.maxBytes || r.nextGOP > 0 && u.Arrived.Sub(r.at(r.nextGOP).accessUnit.Arrived) >= r.duration) {
		r.dropGOP()
	}
}

// grow makes room. The number of slots is at most twice what the ring ever held, which maxBytes
// bounds, because each access unit has a cost.
func (r *ring) grow() {
	slots := make([]slot, max(64, 2*len(r.slots)))
	for i := range r.n {
		slots[i] = *r.at(i)
	}
	r.slots, r.head = slots, 0
}

// dropGOP drops the oldest GOP.
func (r *ring) dropGOP() {
	drop := r.nextGOP
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
	r.nextGOP = 0
	for i := 1; i < r.n; i++ {
		if r.at(i).accessUnit.Keyframe {
			r.nextGOP = i
			break
		}
	}
}

// newestGOP returns a copy of the newest GOP, nil when there is none or it is not of this session. audio says
// whether to include the audio of its time.
func (r *ring) newestGOP(session uint32, audio bool) []*AccessUnit {
	if r.n == 0 || r.at(r.n-1).accessUnit.Session != session {
		return nil
	}
	return r.gopUpTo(r.n-1, audio)
}

// since returns a copy of what follows the newest keyframe that had arrived by at, or the oldest keyframe if all arrived
// later. Frames that depend on a GOP that is not in the copy, or on one of another session, are left out. audio says
// whether to include the audio of its time.
func (r *ring) since(at time.Time, audio bool) []*AccessUnit {
	first := 0
	for i := range r.n {
		if u := r.at(i).accessUnit; u.Keyframe {
			if u.Arrived.After(at) {
				break
			}
			first = i
		}
	}
	out := make([]*AccessUnit, 0, r.n-first)
	begins := true // the GOP follows none that it could depend on
	for i := first; i < r.n; i++ {
		u := r.at(i).accessUnit
		if u.Keyframe {
			begins = len(out) == 0 || out[len(out)-1].Session != u.Session
		}
		if u.Leading && begins || u.Codec.IsAudio() && !audio {
			continue
		}
		out = append(out, u)
	}
	return out
}

// gopAt returns the frame that arrived nearest to at, with all those before it in its GOP; nil when the ring
// is empty.
func (r *ring) gopAt(at time.Time) []*AccessUnit {
	nearest, least := -1, time.Duration(0)
	for i := r.n - 1; i >= 0; i-- {
		u := r.at(i).accessUnit
		if u.Codec.IsAudio() {
			continue
		}
		arrived := u.Arrived
		if off := arrived.Sub(at).Abs(); nearest < 0 || off < least {
			nearest, least = i, off
		}
		if arrived.Before(at) {
			break // those before arrived earlier still
		}
	}
	return r.gopUpTo(nearest, false)
}

// gopUpTo returns a copy of the GOP of the access unit at i, up to that one, for a decoder that starts with it:
// without the frames that depend on the GOP before.
func (r *ring) gopUpTo(i int, audio bool) []*AccessUnit {
	for first := i; first >= 0; first-- {
		if !r.at(first).accessUnit.Keyframe {
			continue
		}
		gop := make([]*AccessUnit, 0, i-first+1)
		for ; first <= i; first++ {
			if u := r.at(first).accessUnit; !u.Leading && (audio || !u.Codec.IsAudio()) {
				gop = append(gop, u)
			}
		}
		return gop
	}
	return nil
}
