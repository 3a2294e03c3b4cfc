// Package track follows detections from frame to frame.
//
// A Tracker predicts where each thing will be by a constant velocity, gives every detection to
// the prediction that it fits best, and keeps a thing for a while when nothing fits. Blobs of
// moving pixels split and merge; a piece within a thing is not a new thing, and two things that
// pass each other in one blob remain two.
//
// The same frames always give the same tracks: there is no clock and no chance in here.
// It imports nothing of Gridpost but detection.
package track

import (
	"slices"
	"time"

	"gridpost/detection"
)

// Options steer a Tracker. Zero values take the defaults.
type Options struct {
	// Confirm is how many detections make a track that Update returns; 3.
	Confirm int
	// Coast is how long a track is kept without a detection; 1.5 s.
	Coast time.Duration
	// MaxTracks bounds what is followed at a time; 64. Detections beyond it are dropped, the
	// smallest first.
	MaxTracks int
	// MaxTrail bounds Track.Trail; 64 points.
	MaxTrail int
}

func (o Options) withDefaults() Options {
	if o.Confirm <= 0 {
		o.Confirm = 3
	}
	if o.Coast <= 0 {
		o.Coast = 1500 * time.Millisecond
	}
	if o.MaxTracks <= 0 {
		o.MaxTracks = 64
	}
	if o.MaxTrail <= 0 {
		o.MaxTrail = 64
	}
	return o
}

const (
	// everywhere is the part of the picture beyond which moving pixels are not a thing.
	everywhere = 0.9
	// tentativeCoast is how long something seen fewer than Confirm times is kept unseen.
	tentativeCoast = 600 * time.Millisecond
	// maxStep is the longest gap between two frames over which anything is followed.
	maxStep = 3 * time.Second
	// maxSwallowed is how often at most a thing may go missing within another one that goes
	// the same way, until it is taken for a piece of it; see thing.piece.
	maxSwallowed = 10
	// maxShared is how long two things that go different ways are held apart within one blob.
	maxShared = 4 * time.Second
)

// Stats counts what a Tracker has refused and made.
type Stats struct {
	Invalid uint64 // detections whose box is not one
	Dropped uint64 // detections beyond MaxTracks
	Tracks  uint64 // tracks confirmed so far
}

// Tracker follows the things of one camera. It is not safe for concurrent use.
type Tracker struct {
	o       Options
	session uint32
	pts     time.Duration // of the last frame
	started bool
	nextID  uint64
	things  []*thing              // by age
	before  []detection.Detection // of the last frame
	step    time.Duration         // since then
	stats   Stats
}

// New returns a Tracker that has seen nothing.
func New(o Options) *Tracker { return &Tracker{o: o.withDefaults()} }

// Stats returns the counters so far.
func (t *Tracker) Stats() Stats { return t.stats }

// Update takes the next frame and returns every confirmed track by rising ID, also those that
// this frame does not show: their Last is before f.Time. Frames of one session come by rising
// PTS; a new session, a PTS that jumps back or a gap of more than 3 s ends all tracks. IDs are never used again.
// The tracks belong to the caller; their trails are shared and must not be written to.
func (t *Tracker) Update(f detection.Frame) []detection.Track {
	step := f.PTS - t.pts
	if !t.started || f.Session != t.session || step < 0 || step > maxStep {
		t.things, t.before = nil, nil
		step = 0
	}
	t.started, t.session, t.pts, t.step = true, f.Session, f.PTS, step

	for _, th := range t.things {
		th.predict(step)
	}
	seen := t.accept(f.Detections)
	m := newMatch(seen, len(t.things))
	// Things followed for long choose first: noise must not take a detection from them.
	t.assign(m, true)
	t.join(m)
	t.share(m)
	t.assign(m, false)
	for i, th := range t.things {
		if d := m.of[i]; d >= 0 {
			th.observe(seen[d], m.box[i], f.Time, f.PTS, t.o.MaxTrail)
		}
	}
	t.start(m, f)
	t.end(f.PTS)
	t.before = seen
	return t.confirmed()
}

// accept returns the valid detections, largest first and at most MaxTracks.
func (t *Tracker) accept(all []detection.Detection) []detection.Detection {
	seen := make([]detection.Detection, 0, len(all))
	for _, d := range all {
		if d.Class == detection.Motion && d.Box.Area() > everywhere {
			continue // the light has changed, or the camera was moved
		}
		if !d.Box.Valid() {
			t.stats.Invalid++
			continue
		}
		seen = append(seen, d)
	}
	slices.SortStableFunc(seen, func(a, b detection.Detection) int {
		switch {
		case a.Box.Area() > b.Box.Area():
			return -1
		case a.Box.Area() < b.Box.Area():
			return 1
		}
		return 0
	})
	if len(seen) > t.o.MaxTracks {
		t.stats.Dropped += uint64(len(seen) - t.o.MaxTracks)
		seen = seen[:t.o.MaxTracks]
	}
	return seen
}

// match says which detection each thing has got.
type match struct {
	seen  []detection.Detection
	taken []bool          // per detection
	of    []int           // per thing: the index of its detection, or -1
	box   []detection.Box // per thing that has one: the box that shows it
}

func newMatch(seen []detection.Detection, things int) *match {
	m := &match{seen: seen, taken: make([]bool, len(seen)), of: make([]int, things), box: make([]detection.Box, things)}
	for i := range m.of {
		m.of[i] = -1
	}
	return m
}

// assign gives the detections that are left to the things that are confirmed, or to the others.
func (t *Tracker) assign(m *match, confirmed bool) {
	var rows, cols []int
	for i, th := range t.things {
		if th.confirmed(t.o.Confirm) == confirmed {
			rows = append(rows, i)
		}
	}
	for j := range m.seen {
		if !m.taken[j] {
			cols = append(cols, j)
		}
	}
	cost := make([][]float64, len(rows))
	for r, i := range rows {
		cost[r] = make([]float64, len(cols))
		for c, j := range cols {
			cost[r][c] = t.things[i].cost(m.seen[j])
		}
	}
	for r, c := range cheapest(cost) {
		if c >= 0 {
			i, j := rows[r], cols[c]
			m.of[i], m.box[i], m.taken[j] = j, m.seen[j].Box, true
		}
	}
}

// start makes a thing of every detection that belongs to none.
func (t *Tracker) start(m *match, f detection.Frame) {
	known := t.things
	for j, d := range m.seen {
		if m.taken[j] || slices.ContainsFunc(known, func(th *thing) bool { return th.holds(d.Box, f.PTS) }) {
			continue
		}
		if len(t.things) >= t.o.MaxTracks {
			t.stats.Dropped++
			continue
		}
		th := newThing(d)
		th.observe(d, d.Box, f.Time, f.PTS, t.o.MaxTrail)
		t.things = append(t.things, th)
	}
}

// end drops what was not seen for too long or has left the picture.
func (t *Tracker) end(now time.Duration) {
	t.things = slices.DeleteFunc(t.things, func(th *thing) bool {
		unseen := now - th.lastPTS
		switch {
		case th.piece():
			return true
		case !th.confirmed(t.o.Confirm):
			return unseen > tentativeCoast
		}
		return unseen > t.o.Coast || !th.predicted().Center().InPicture()
	})
}

// confirmed returns the tracks that have been seen often enough.
func (t *Tracker) confirmed() []detection.Track {
	out := make([]detection.Track, 0, len(t.things))
	for _, th := range t.things {
		if !th.confirmed(t.o.Confirm) {
			continue
		}
		if th.track.ID == 0 {
			t.nextID++
			t.stats.Tracks++
			th.track.ID = t.nextID
		}
		out = append(out, th.track)
	}
	slices.SortFunc(out, func(a, b detection.Track) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out
}
