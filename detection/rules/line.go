package rules

import (
	"math"
	"strings"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules/param"
	"gridpost/devices"
)

const (
	// A foot is clearly on one side of a line when it is farther from it than the larger of
	// these: a fraction of the frame, and one of the box's height, by which feet tremble.
	minMargin    = 0.015
	heightMargin = 0.08

	// beyond is how far past the end of a line a crossing still counts, in lengths of the line.
	beyond = 0.005

	// steep is the part of a line's normal below which a direction is not judged by the line,
	// which runs along it, but by the path of the object.
	steep = 0.1

	// The center of the box must move at least these parts of the foot's path and of the box's own
	// extent in that direction. For an object that enters the frame it is half of either.
	wholePath = 0.4
	wholeSize = 0.3

	// An object must have been at least this far from where it was first seen, in fractions of the frame, and the
	// farther the longer it has been followed: noise, rain and a spider on the lens tremble around one place.
	leastWay      = 0.02
	leastWaySpeed = 0.01 // per second
	longestNeeded = 0.08

	// pieceTime is how long after a crossing a piece of the same object may cross without being
	// counted as another object.
	pieceTime = time.Second

	// maxCrossings bounds the open incidents of one line; the oldest closes early.
	maxCrossings = 64

	unset time.Duration = -1
)

// lineKind opens an incident for each object that crosses a line.
func lineKind() Kind {
	return Kind{
		Name:    detection.Line,
		Devices: []devices.Kind{devices.Camera},
		Terms: func() Terms {
			return &lineTerms{tracked: tracked{clear: defaultClear}, direction: detection.AnyDirection}
		},
		Title: lineTitle,
	}
}

// lineTitle returns "road line crossed (car)"; without a class where any movement counts.
func lineTitle(inc detection.Incident, n Names) string {
	title := n.Rule.Or(inc.Rule)
	if lower := strings.ToLower(title); lower != "line" && !strings.HasSuffix(lower, " line") {
		title += " line"
	}
	title += " crossed"
	if class := classOf(inc); class != detection.Motion {
		title += " (" + class + ")"
	}
	return title
}

type lineTerms struct {
	tracked
	at        detection.Segment
	direction detection.Direction // of the crossings that count
}

func (t *lineTerms) Params() []param.Param {
	return append(t.params(),
		param.Required("line", segment(&t.at)),
		param.Optional("direction", param.OneOf(&t.direction,
			detection.AnyDirection, detection.Up, detection.Down, detection.Left, detection.Right)))
}

func (t *lineTerms) Check() error { return nil }

func (t *lineTerms) Describe() Description {
	return Description{Detection: true, Classes: t.classes, Direction: t.direction}
}

func (t *lineTerms) Judge(o Opener) Judge {
	return &line{lineTerms: *t, opener: o, paths: map[uint64]*path{}}
}

type line struct {
	lineTerms
	opener   Opener
	paths    map[uint64]*path // by track
	open     []*crossing      // by age
	lastTick time.Duration
}

// path is where one track has been, seen from the line.
type path struct {
	start     detection.Point // where its foot was first
	way       float64         // how far from there it has been, in fractions of the frame
	crossed   bool            // it has crossed the line
	crossedAt time.Duration   // when it did so last, by the clock of frames

	foot  detection.Point // where it was last
	side  int             // -1, 1: the side on which it was clearly last; 0: none yet
	from  detection.Point // where it was clearly on that side last
	home  detection.Point // where it was clearly on that side first
	mid   detection.Point // the middle of its box then
	met   float64         // where it last crossed the infinite line; see Segment.CrossingAt
	area  float64         // of its box, smoothed
	ready bool            // foot is set
}

type crossing struct {
	OpenIncident
	opened     time.Duration // by the clock of frames
	openedTick time.Duration // by the clock of ticks, the last one before it opened; unset: no tick since it was restored
	restored   bool          // no frame has come since it was restored: opened is not set
}

// Open implements Judge.
func (l *line) Open() []detection.Incident {
	var open []detection.Incident
	for _, c := range l.open {
		open = append(open, c.Alert())
	}
	return open
}

// Restore implements Judge. The clear time of the crossing starts anew.
func (l *line) Restore(inc detection.Incident) bool {
	if len(l.open) >= maxCrossings {
		return false
	}
	l.open = append(l.open, &crossing{OpenIncident: OpenIncident{Incident: inc}, openedTick: unset, restored: true})
	return true
}

// Frame implements FrameJudge.
func (l *line) Frame(now time.Duration, at time.Time, tracks []detection.Track) []detection.Incident {
	for id := range l.paths {
		if !known(tracks, id) {
			delete(l.paths, id)
		}
	}
	for _, c := range l.open {
		if c.restored {
			c.restored, c.opened, c.openedTick = false, now, l.lastTick
		}
	}
	alerts := l.over(func(c *crossing) bool { return now-c.opened >= l.clear })
	for _, tr := range tracks {
		if !tr.Last.Equal(at) {
			continue
		}
		dir, ok := l.follow(now, tr)
		if !ok || l.piece(now, dir, tr, tracks) {
			continue
		}
		if len(l.open) >= maxCrossings {
			alerts = append(alerts, l.open[0].Close(at))
			l.open = l.open[1:]
		}
		c := &crossing{OpenIncident: *l.opener.Open(now, at), opened: now, openedTick: l.lastTick}
		c.Show(tr)
		c.Incident.Direction = dir
		l.open = append(l.open, c)
		alerts = append(alerts, c.Alert())
	}
	return alerts
}

// Tick implements TickJudge. It closes crossings when frames have stopped coming.
func (l *line) Tick(t Tick) []detection.Incident {
	l.lastTick = t.Elapsed
	for _, c := range l.open {
		if c.openedTick == unset {
			c.openedTick = t.Elapsed
		}
	}
	return l.over(func(c *crossing) bool { return t.Elapsed-c.openedTick >= l.clear+changeEvery })
}

// over closes the crossings that are done, each at its clear time.
func (l *line) over(done func(*crossing) bool) []detection.Incident {
	var alerts []detection.Incident
	kept := l.open[:0]
	for _, c := range l.open {
		if done(c) {
			alerts = append(alerts, c.Close(c.Incident.Opened.Add(l.clear)))
		} else {
			kept = append(kept, c)
		}
	}
	clear(l.open[len(kept):])
	l.open = kept
	return alerts
}

// follow updates the path of tr and returns the direction in which it crossed the line, if it did and
// the rule counts it.
func (l *line) follow(now time.Duration, tr detection.Track) (detection.Direction, bool) {
	p := l.paths[tr.ID]
	area := tr.Box.Area()
	trail := tr.Trail
	if p == nil {
		p = &path{area: area, start: tr.Box.Foot()}
		if len(trail) > 0 {
			p.start = trail[0]
		}
		l.paths[tr.ID] = p
	} else {
		trail = trail[max(0, len(trail)-1):] // the rest has been followed before
	}
	p.area += 0.3 * (area - p.area)

	var dir detection.Direction
	var crossed bool
	margin := max(minMargin, heightMargin*tr.Box.H)
	for _, foot := range trail {
		// Of the past only the feet are known; the box is taken to have had its present size.
		box := tr.Box
		box.X, box.Y = foot.X-box.W/2, foot.Y-box.H
		p.way = max(p.way, p.start.Distance(foot))
		from, to, ok := p.step(l.at, box, margin)
		if !ok || !l.counts(tr) || !(max(area, p.area) >= l.minSize) || !l.minTall.allows(box) || p.way < needed(tr) {
			continue
		}
		returned := p.crossed && now-p.crossedAt < l.clear
		p.crossed, p.crossedAt = true, now
		if returned {
			continue // it trembles on the line, or has turned around: its crossing has been judged
		}
		if d, wanted := l.crossed(from, to); wanted {
			dir, crossed = d, true
		}
	}
	return dir, crossed
}

// needed returns how far tr must have been from where it was first seen for a crossing to count.
func needed(tr detection.Track) float64 {
	return min(leastWay+leastWaySpeed*tr.Last.Sub(tr.First).Seconds(), longestNeeded)
}

// step moves p to box. ok reports that the line has now been crossed between its ends: p was clearly
// on one side at from, and is clearly on the other at to.
func (p *path) step(at detection.Segment, box detection.Box, margin float64) (from, to detection.Point, ok bool) {
	foot := box.Foot()
	if p.ready {
		if met, crosses := at.CrossingAt(p.foot, foot); crosses {
			p.met = met
		}
	}
	p.foot, p.ready = foot, true
	d := at.SignedDistance(foot)
	if !(math.Abs(d) > margin) { // a NaN is on neither side
		return from, to, false
	}
	side := 1
	if d < 0 {
		side = -1
	}
	from, to = p.from, foot
	if p.side == -side {
		if !p.entirely(at, box) {
			return from, to, false
		}
		ok = p.met >= -beyond && p.met <= 1+beyond
	}
	if p.side != side {
		p.home, p.mid = foot, box.Center()
	}
	p.side, p.from = side, foot
	return from, to, ok
}

// entirely reports whether the whole object has moved to the side of its foot. A blob that only shrinks
// or trembles, as the rest of a shadow does, moves its foot but not its center.
func (p *path) entirely(at detection.Segment, box detection.Box) bool {
	foot, mid := at.SignedDistance(box.Foot())-at.SignedDistance(p.home), at.SignedDistance(box.Center())-at.SignedDistance(p.mid)
	if foot < 0 {
		foot, mid = -foot, -mid
	}
	extent := (math.Abs(at.B.Y-at.A.Y)*box.W + math.Abs(at.B.X-at.A.X)*box.H) / at.Length()
	return mid >= wholePath*foot && mid >= wholeSize*extent
}

// crossed returns the direction of a crossing from one point to another, and whether the rule
// counts crossings of that direction.
func (l *line) crossed(from, to detection.Point) (detection.Direction, bool) {
	// The normal of the line, towards the side of to.
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
	switch want := l.direction; want {
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

// piece reports whether tr is a part of an object that has just crossed in the same direction.
func (l *line) piece(now time.Duration, dir detection.Direction, tr detection.Track, tracks []detection.Track) bool {
	for _, c := range l.open {
		if c.Incident.Direction != dir || c.Incident.TrackID == tr.ID || now-c.opened > pieceTime {
			continue
		}
		for _, other := range tracks {
			if other.ID == c.Incident.TrackID && (tr.Box.CoveredBy(other.Box) > 0.5 || other.Box.CoveredBy(tr.Box) > 0.5) {
				return true
			}
		}
	}
	return false
}
