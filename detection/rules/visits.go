package rules

import (
	"cmp"
	"slices"
	"time"

	"gridpost/detection"
)

const (
	// maxLost bounds the visits whose tracks have ended; the oldest is forgotten first. A tracker follows as
	// many objects.
	maxLost = 64

	// sameObject is the least IoU of the last box of a track that ended with the first one of another track
	// that goes on with its visit.
	sameObject = 0.3

	// startSlack is how much earlier than the end of a track another one may have begun that goes on with its
	// visit: a tracker confirms a track some frames after it saw the object first.
	startSlack = time.Second
)

// visit is the time for which one object has been in an area.
type visit struct {
	since, last time.Duration // when it was inside first and last
	seen        time.Time     // the time of the frame of last
	box         detection.Box // in the frame of last
	counted     bool          // an incident counts it

	stood    detection.Box // where it has stood; zero: nowhere yet
	standing time.Duration // since when

	known bool          // it stood there from the beginning; for what is left
	alone time.Duration // when somebody was near it last; for what is left
}

// visits are those of all objects in one area. An object may be outside, or not be detected, for a gap:
// its visit goes on. So it does where a track ends and another one begins at the same place within the gap.
type visits struct {
	gap     time.Duration
	before  time.Duration // the last frame
	byTrack map[uint64]*visit
	lost    []*visit // of tracks that have ended, in the order of their ends
}

func newVisits(gap time.Duration) visits { return visits{gap: gap, byTrack: map[uint64]*visit{}} }

// frame is called before anything else at each frame. It ends the visits of objects that have been outside for longer
// than the gap, and remembers those whose tracks have ended. One that was inside in the frame before has not been
// outside, however long ago that was: there may be few frames.
func (all *visits) frame(now time.Duration, tracks []detection.Track) {
	over := func(v *visit) bool { return v.last != all.before && now-v.last > all.gap }
	for id, v := range all.byTrack {
		switch {
		case over(v):
			delete(all.byTrack, id)
		case !known(tracks, id):
			delete(all.byTrack, id)
			all.lost = append(all.lost, v)
		}
	}
	all.lost = slices.DeleteFunc(all.lost, over)
	// The order of a map is not the same every time, the order of the visits must be.
	slices.SortFunc(all.lost, func(a, b *visit) int {
		return cmp.Or(cmp.Compare(a.last, b.last), cmp.Compare(a.box.X, b.box.X), cmp.Compare(a.box.Y, b.box.Y))
	})
	if excess := len(all.lost) - maxLost; excess > 0 {
		all.lost = slices.Delete(all.lost, 0, excess)
	}
	all.before = now
}

// inside notes that tr is inside now, in the frame of time at, and returns its visit.
func (all *visits) inside(now time.Duration, at time.Time, tr detection.Track) *visit {
	v := all.byTrack[tr.ID]
	if v == nil {
		if v = all.takeOver(tr); v == nil {
			v = &visit{since: now}
		}
		all.byTrack[tr.ID] = v
	}
	v.last, v.seen, v.box = now, at, tr.Box
	return v
}

// takeOver returns the visit that tr goes on with, and forgets that it was lost; nil if there is none.
func (all *visits) takeOver(tr detection.Track) *visit {
	best, most := -1, sameObject
	for i, v := range all.lost {
		if iou := v.box.IoU(tr.Box); iou >= most && !tr.First.Before(v.seen.Add(-startSlack)) {
			best, most = i, iou
		}
	}
	if best < 0 {
		return nil
	}
	v := all.lost[best]
	all.lost = slices.Delete(all.lost, best, best+1)
	return v
}

// uncount lets every visit count again, for the next incident.
func (all *visits) uncount() {
	for _, v := range all.byTrack {
		v.counted = false
	}
	for _, v := range all.lost {
		v.counted = false
	}
}

// reset ends all visits.
func (all *visits) reset() {
	clear(all.byTrack)
	all.lost = nil
}
