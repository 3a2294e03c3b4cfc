package rules

import (
	"math"
	"time"

	"gridpost/detection"
)

const (
	// A foot is clearly on one side of a line when it is farther from it than the larger of
	// these: a fraction of the picture, and one of the box's height, by which feet tremble.
	minMargin    = 0.015
	heightMargin = 0.08

	// beyond is how far past the end of a line a crossing still counts, in lengths of the line.
	beyond = 0.005

	// steep is the part of a line's normal below which a direction is not judged by the line,
	// which runs along it, but by the way that the thing went.
	steep = 0.1

	// The middle of the box must go at least these parts of the foot's way and of the box's own
	// extent that way. For a thing that comes into the picture it is half of either.
	wholeWay  = 0.4
	wholeSize = 0.3

	// pieceTime is how long after a crossing a piece of the same thing may cross without being another.
	pieceTime = time.Second

	// maxCrossings bounds the open incidents of one line; the oldest closes early.
	maxCrossings = 64
)

// line opens an incident for each thing that crosses it.
type line struct {
	minter
	at   detection.Segment
	ways map[uint64]*way // by track
	open []*crossing     // by age
	tock time.Duration   // the last tick
}

// way is where one track has been, seen from the line.
type way struct {
	foot  detection.Point // where it was last
	side  int             // -1, 1: the side on which it was clearly last; 0: none yet
	from  detection.Point // where it was clearly on that side last
	home  detection.Point // where it was clearly on that side first
	mid   detection.Point // the middle of its box then
	met   float64         // where it last crossed the endless line; see Segment.CrossingAt
	area  float64         // of its box, smoothed
	ready bool            // foot is set
}

type crossing struct {
	entry
	opened time.Duration // by the clock of pictures
	tock   time.Duration // by the clock of ticks, the last one before it opened
}

func newLine(m minter) *line {
	return &line{minter: m, at: detection.Segment{A: m.spec.Line[0], B: m.spec.Line[1]}, ways: map[uint64]*way{}}
}

// restore takes over a crossing; its clear time runs anew.
func (l *line) restore(inc detection.Incident) {
	l.open = append(l.open, &crossing{entry: entry{inc: inc}})
}

func (l *line) tracks(now time.Duration, at time.Time, tracks []detection.Track) []detection.Incident {
	for id := range l.ways {
		if !known(tracks, id) {
			delete(l.ways, id)
		}
	}
	alerts := l.over(func(c *crossing) bool { return now-c.opened >= l.spec.Clear })
	for _, tr := range tracks {
		if !tr.Last.Equal(at) {
			continue
		}
		dir, ok := l.follow(tr)
		if !ok || l.piece(now, dir, tr, tracks) {
			continue
		}
		if len(l.open) >= maxCrossings {
			alerts = append(alerts, l.open[0].close(at))
			l.open = l.open[1:]
		}
		c := &crossing{entry: *l.minter.open(now, at), opened: now, tock: l.tock}
		c.show(tr)
		c.inc.Direction = dir
		l.open = append(l.open, c)
		alerts = append(alerts, c.alert())
	}
	return alerts
}

// tick closes crossings when pictures have stopped coming.
func (l *line) tick(clock time.Duration) []detection.Incident {
	l.tock = clock
	return l.over(func(c *crossing) bool { return clock-c.tock >= l.spec.Clear+changeEvery })
}

// over closes the crossings that are done, each at its clear time.
func (l *line) over(done func(*crossing) bool) []detection.Incident {
	var alerts []detection.Incident
	kept := l.open[:0]
	for _, c := range l.open {
		if done(c) {
			alerts = append(alerts, c.close(c.inc.Opened.Add(l.spec.Clear)))
		} else {
			kept = append(kept, c)
		}
	}
	clear(l.open[len(kept):])
	l.open = kept
	return alerts
}

// follow moves tr on and says whether, and which way, it has crossed as the rule wants it.
func (l *line) follow(tr detection.Track) (detection.Direction, bool) {
	w := l.ways[tr.ID]
	area := tr.Box.Area()
	trail := tr.Trail
	if w == nil {
		w = &way{area: area}
		l.ways[tr.ID] = w
	} else {
		trail = trail[max(0, len(trail)-1):] // the rest has been followed before
	}
	w.area += 0.3 * (area - w.area)

	var dir detection.Direction
	var crossed bool
	margin := max(minMargin, heightMargin*tr.Box.H)
	for _, foot := range trail {
		// Of the past only the feet are known; it had its present size then.
		box := tr.Box
		box.X, box.Y = foot.X-box.W/2, foot.Y-box.H
		from, to, ok := w.step(l.at, box, margin)
		if !ok || !l.counts(tr.Class) || !(max(area, w.area) >= l.spec.MinSize) {
			continue
		}
		if d, wanted := l.direction(from, to); wanted {
			dir, crossed = d, true
		}
	}
	return dir, crossed
}

// step moves w to box. It is ok if the line has now been crossed between its ends: w was clearly
// on one side at from, and is clearly on the other at to.
func (w *way) step(at detection.Segment, box detection.Box, margin float64) (from, to detection.Point, ok bool) {
	foot := box.Foot()
	if w.ready {
		if met, crosses := at.CrossingAt(w.foot, foot); crosses {
			w.met = met
		}
	}
	w.foot, w.ready = foot, true
	d := at.SignedDistance(foot)
	if !(math.Abs(d) > margin) { // so that what is no number is on neither side
		return from, to, false
	}
	side := 1
	if d < 0 {
		side = -1
	}
	from, to = w.from, foot
	if w.side == -side {
		if !w.wholly(at, box) {
			return from, to, false
		}
		ok = w.met >= -beyond && w.met <= 1+beyond
	}
	if w.side != side {
		w.home, w.mid = foot, box.Center()
	}
	w.side, w.from = side, foot
	return from, to, ok
}

// wholly says whether all of the thing has gone over to where its foot is. A blob that only shrinks
// or trembles, as what is left of a shadow does, moves its foot and stays where it is.
func (w *way) wholly(at detection.Segment, box detection.Box) bool {
	foot, mid := at.SignedDistance(box.Foot())-at.SignedDistance(w.home), at.SignedDistance(box.Center())-at.SignedDistance(w.mid)
	if foot < 0 {
		foot, mid = -foot, -mid
	}
	extent := (math.Abs(at.B.Y-at.A.Y)*box.W + math.Abs(at.B.X-at.A.X)*box.H) / at.Length()
	return mid >= wholeWay*foot && mid >= wholeSize*extent
}

// direction names the way across the line from one point to another, and says whether the rule wants it.
func (l *line) direction(from, to detection.Point) (detection.Direction, bool) {
	// The normal of the line, towards the side on which to lies.
	length := l.at.Length()
	nx, ny := -(l.at.B.Y-l.at.A.Y)/length, (l.at.B.X-l.at.A.X)/length
	if l.at.SignedDistance(to) < 0 {
		nx, ny = -nx, -ny
	}
	along := func(n, moved float64) bool {
		if math.Abs(n) < steep {
			return moved > 0
		}
		return n > 0
	}
	switch want := l.spec.Direction; want {
	case detection.Up:
		return want, along(-ny, from.Y-to.Y)
	case detection.Down:
		return want, along(ny, to.Y-from.Y)
	case detection.Left:
		return want, along(-nx, from.X-to.X)
	case detection.Right:
		return want, along(nx, to.X-from.X)
	}
	switch {
	case math.Abs(nx) > math.Abs(ny) && nx < 0:
		return detection.Left, true
	case math.Abs(nx) > math.Abs(ny):
		return detection.Right, true
	case ny < 0:
		return detection.Up, true
	}
	return detection.Down, true
}

// piece says whether tr is a part of something that has just crossed the same way.
func (l *line) piece(now time.Duration, dir detection.Direction, tr detection.Track, tracks []detection.Track) bool {
	for _, c := range l.open {
		if c.inc.Direction != dir || c.inc.TrackID == tr.ID || now-c.opened > pieceTime {
			continue
		}
		for _, other := range tracks {
			if other.ID == c.inc.TrackID && (tr.Box.CoveredBy(other.Box) > 0.5 || other.Box.CoveredBy(tr.Box) > 0.5) {
				return true
			}
		}
	}
	return false
}
