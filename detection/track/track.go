// Package track follows detections from frame to frame.
//
// A Tracker predicts where each object will be by a constant velocity, assigns every detection to
// the prediction that it fits best, and keeps an object for a while when nothing fits. Blobs of
// moving pixels split and merge: a piece of an object is not a new object, and two objects that
// pass each other in one blob remain two.
//
// The same frames always give the same tracks: the package uses no clock and no randomness.
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
	// everywhere is the part of the frame beyond which moving pixels are not an object.
	everywhere = 0.9
	// tentativeCoast is how long an object with fewer than Confirm detections is kept without one.
	tentativeCoast = 600 * time.Millisecond
	// maxStep is the longest gap between two frames over which anything is followed.
	maxStep = 3 * time.Second
	// maxSwallowed is how often at most an object may go missing within another one that moves in
	// the same direction, until it is taken for a piece of it; see object.piece.
	maxSwallowed = 10
	// maxShared is how long two objects that move in different directions are kept separate within one blob.
	maxShared = 4 * time.Second
)

// Stats are the counters of a Tracker.
type Stats struct {
	Invalid uint64 // detections with an invalid box
	Dropped uint64 // detections beyond MaxTracks
	Tracks  uint64 // tracks confirmed so far
}

// Tracker follows the objects of one camera. It is not safe for concurrent use.
type Tracker struct {
	o       Options
	session uint32
	pts     time.Duration // of the last frame
	started bool
	nextID  uint64
	objects []*object             // by age
	before  []detection.Detection // of the last frame
	step    time.Duration         // since then
	stats   Stats
}

// New returns a Tracker without tracks.
func New(o Options) *Tracker { return &Tracker{o: o.withDefaults()} }

// Stats returns the counters so far.
func (t *Tracker) Stats() Stats { return t.stats }

// Reset ends all tracks, for a camera that is connected anew: the next frame need not continue the
// last one. IDs of earlier tracks are not used again.
func (t *Tracker) Reset() { t.started = false }

// Update takes the next frame and returns every confirmed track by rising ID, also those without a
// detection in this frame: their Last is before f.Time. Frames of one session come by rising
// PTS; a new session, a PTS that jumps back or a gap of more than 3 s ends all tracks. IDs are never used again.
// The tracks belong to the caller; their trails are shared and must not be written to.
func (t *Tracker) Update(f detection.Frame) []detection.Track {
	step := f.PTS - t.pts
	if !t.started || f.Session != t.session || step < 0 || step > maxStep {
		t.objects, t.before = nil, nil
		step = 0
	}
	t.started, t.session, t.pts, t.step = true, f.Session, f.PTS, step

	for _, obj := range t.objects {
		obj.predict(step)
	}
	detections := t.accept(withUnknown(f))
	m := newMatch(detections, len(t.objects))
	// Confirmed objects are assigned first: noise must not take a detection from them.
	t.assign(m, true)
	t.join(m)
	t.share(m)
	t.assign(m, false)
	for i, obj := range t.objects {
		if d := m.of[i]; d >= 0 {
			obj.observe(detections[d], m.box[i], f.Time, f.PTS, t.o.MaxTrail)
		}
	}
	t.start(m, f)
	t.support(f)
	t.end(f.PTS)
	t.before = detections
	return t.confirmed()
}

// accept returns the valid detections, largest first and at most MaxTracks.
func (t *Tracker) accept(all []detection.Detection) []detection.Detection {
	detections := make([]detection.Detection, 0, len(all))
	for _, d := range all {
		if d.Class == detection.Motion && d.Box.Area() > everywhere {
			continue // the light has changed, or the camera was moved
		}
		if !d.Box.Valid() {
			t.stats.Invalid++
			continue
		}
		detections = append(detections, d)
	}
	slices.SortStableFunc(detections, func(a, b detection.Detection) int {
		switch {
		case a.Box.Area() > b.Box.Area():
			return -1
		case a.Box.Area() < b.Box.Area():
			return 1
		}
		return 0
	})
	if len(detections) > t.o.MaxTracks {
		t.stats.Dropped += uint64(len(detections) - t.o.MaxTracks)
		detections = detections[:t.o.MaxTracks]
	}
	return detections
}

// match is the assignment of detections to objects.
type match struct {
	detections []detection.Detection
	taken      []bool          // per detection
	of         []int           // per object: the index of its detection, or -1
	box        []detection.Box // per object that has one: its box
}

func newMatch(detections []detection.Detection, objects int) *match {
	m := &match{detections: detections, taken: make([]bool, len(detections)), of: make([]int, objects), box: make([]detection.Box, objects)}
	for i := range m.of {
		m.of[i] = -1
	}
	return m
}

// assign assigns the remaining detections to the confirmed objects, or to the others.
func (t *Tracker) assign(m *match, confirmed bool) {
	var rows, cols []int
	for i, obj := range t.objects {
		if obj.confirmed(t.o.Confirm) == confirmed {
			rows = append(rows, i)
		}
	}
	for j := range m.detections {
		if !m.taken[j] {
			cols = append(cols, j)
		}
	}
	cost := make([][]float64, len(rows))
	for r, i := range rows {
		cost[r] = make([]float64, len(cols))
		for c, j := range cols {
			cost[r][c] = t.objects[i].cost(m.detections[j])
		}
	}
	for r, c := range cheapest(cost) {
		if c >= 0 {
			i, j := rows[r], cols[c]
			m.of[i], m.box[i], m.taken[j] = j, m.detections[j].Box, true
		}
	}
}

// start creates an object for every detection that is not assigned.
func (t *Tracker) start(m *match, f detection.Frame) {
	known := t.objects
	for j, d := range m.detections {
		if m.taken[j] || slices.ContainsFunc(known, func(obj *object) bool { return obj.compatible(d.Class) && obj.holds(d.Box, f.PTS) }) {
			continue
		}
		if len(t.objects) >= t.o.MaxTracks {
			t.stats.Dropped++
			continue
		}
		obj := newObject(d)
		obj.moved = f.PTS
		obj.observe(d, d.Box, f.Time, f.PTS, t.o.MaxTrail)
		t.objects = append(t.objects, obj)
	}
}

// end drops objects without a detection for too long, and those that have left the frame.
func (t *Tracker) end(now time.Duration) {
	t.objects = slices.DeleteFunc(t.objects, func(obj *object) bool {
		missing := now - obj.lastPTS
		switch {
		case obj.piece():
			return true
		case !obj.confirmed(t.o.Confirm):
			return missing > tentativeCoast
		}
		return missing > t.o.Coast || !obj.predicted().Center().InFrame()
	})
}

// confirmed returns the tracks of the confirmed objects.
func (t *Tracker) confirmed() []detection.Track {
	out := make([]detection.Track, 0, len(t.objects))
	for _, obj := range t.objects {
		if !obj.confirmed(t.hits(obj)) || obj.settled(t.pts) {
			continue
		}
		if obj.track.ID == 0 {
			t.nextID++
			t.stats.Tracks++
			obj.track.ID = t.nextID
		}
		out = append(out, obj.track)
	}
	slices.SortFunc(out, func(a, b detection.Track) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out
}
