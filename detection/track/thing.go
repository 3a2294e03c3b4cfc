package track

import (
	"math"
	"time"

	"gridpost/detection"
)

const (
	// Sizes are relative: what moves by its own width in a frame is as surprising near the
	// camera as far from it. The floor keeps a blob of few pixels from being chased too tightly.
	minExtent = 0.02

	measureNoise = 0.08 // of an edge, in sizes
	acceleration = 1.5  // sizes per second squared
	startSpeed   = 3.0  // sizes per second: how fast something may be when first seen
	sizeGain     = 0.35 // of a new box's size against the remembered one

	slowTime = 700 * time.Millisecond // over which the speed in the long run is taken

	apartSpeed = 0.5                     // sizes per second between things that go different ways
	wayTime    = 1500 * time.Millisecond // over which a thing's way is remembered
	wayLeast   = 400 * time.Millisecond  // and which it must have lasted to count
	maxWay     = 64                      // places remembered

	maxVotes = 8 // classes counted per thing
)

// axis is a Kalman filter of constant velocity in one dimension (place, speed).
type axis struct {
	x, v          float64
	pxx, pxv, pvv float64 // covariance
}

func (a *axis) predict(dt, accel float64) {
	a.x += a.v * dt
	a.pxx += dt * (2*a.pxv + dt*a.pvv)
	a.pxv += dt * a.pvv
	q := accel * accel
	a.pxx += q * dt * dt * dt * dt / 4
	a.pxv += q * dt * dt * dt / 2
	a.pvv += q * dt * dt
}

func (a *axis) correct(z, noise float64) {
	s := a.pxx + noise*noise
	if !(s > 0) {
		return
	}
	kx, kv := a.pxx/s, a.pxv/s
	r := z - a.x
	a.x += kx * r
	a.v += kv * r
	pxx, pxv := a.pxx, a.pxv
	a.pxx -= kx * pxx
	a.pxv -= kx * pxv
	a.pvv -= kv * pxv
}

// thing is something followed, confirmed or not.
type thing struct {
	track   detection.Track
	hits    int
	lastPTS time.Duration // of the last detection

	x, y axis    // of the middle
	w, h float64 // remembered size

	// The speed in the long run: that of the filters trembles when pieces come and go.
	slowX, slowY float64

	way []place // where it was seen of late, oldest first

	shared      bool          // its place is guessed: the blob belongs to something else too
	sharedSince time.Duration // PTS

	swallowed int // how often it went missing within something that goes the same way

	votes []vote
}

type place struct {
	pts time.Duration
	at  detection.Point
}

type vote struct {
	class string
	n     int
}

func newThing(d detection.Detection) *thing {
	c := d.Box.Center()
	th := &thing{w: d.Box.W, h: d.Box.H}
	th.x = axis{x: c.X, pxx: square(measureNoise * extent(th.w)), pvv: square(startSpeed * extent(th.w))}
	th.y = axis{x: c.Y, pxx: square(measureNoise * extent(th.h)), pvv: square(startSpeed * extent(th.h))}
	return th
}

func (th *thing) confirmed(hits int) bool { return th.hits >= hits }

func (th *thing) predict(step time.Duration) {
	dt := step.Seconds()
	th.x.predict(dt, acceleration*extent(th.w))
	th.y.predict(dt, acceleration*extent(th.h))
	share := min(1, dt/slowTime.Seconds())
	th.slowX += share * (th.x.v - th.slowX)
	th.slowY += share * (th.y.v - th.slowY)
}

// predicted returns where th should be now; it may reach out of the picture.
func (th *thing) predicted() detection.Box {
	return detection.Box{X: th.x.x - th.w/2, Y: th.y.x - th.h/2, W: th.w, H: th.h}
}

// cost says how badly d continues th: 0 is perfect, infinite impossible.
func (th *thing) cost(d detection.Detection) float64 {
	p, c := th.predicted(), d.Box.Center()
	// Distance counts in sizes, and less while the speed is not known yet.
	rx := max(extent(th.w), extent(d.Box.W)) + 2*math.Sqrt(th.x.pxx)
	ry := max(extent(th.h), extent(d.Box.H)) + 2*math.Sqrt(th.y.pxx)
	distance := math.Hypot((c.X-th.x.x)/rx, (c.Y-th.y.x)/ry)
	iou := p.IoU(d.Box)
	if distance > 1 && iou < 0.1 {
		return math.Inf(1)
	}
	size := math.Abs(math.Log(d.Box.Area() / (th.w * th.h)))
	if size > math.Log(12) {
		return math.Inf(1)
	}
	cost := distance + 0.7*(1-iou) + 0.2*size
	if th.track.Class != d.Class {
		cost += 0.3
	}
	return cost
}

// observe takes d, with its box as joined from pieces or guessed, as th in the frame of pts.
func (th *thing) observe(d detection.Detection, box detection.Box, at time.Time, pts time.Duration, maxTrail int) {
	if th.shared {
		th.remember(th.predicted().Center(), pts)
	} else {
		c := box.Center()
		th.x.correct(c.X, measureNoise*extent(th.w))
		th.y.correct(c.Y, measureNoise*extent(th.h))
		th.w += sizeGain * (box.W - th.w)
		th.h += sizeGain * (box.H - th.h)
		th.remember(c, pts)
		th.elect(d.Class)
		th.track.Score = d.Score
	}
	th.hits++
	th.lastPTS = pts
	th.track.Box = box
	if th.track.First.IsZero() {
		th.track.First = at
	}
	th.track.Last = at
	th.track.Trail = extend(th.track.Trail, box.Foot(), maxTrail)
}

// remember adds a place to the way.
func (th *thing) remember(c detection.Point, pts time.Duration) {
	old := 0
	for old < len(th.way) && (th.way[old].pts < pts-wayTime || len(th.way)-old >= maxWay) {
		old++
	}
	th.way = append(th.way[:copy(th.way, th.way[old:])], place{pts, c})
}

// made returns the mean speed along the way of late, in fractions of the picture a second; false if the
// way is too short.
func (th *thing) made() (x, y float64, ok bool) {
	if len(th.way) == 0 {
		return 0, 0, false
	}
	from, to := th.way[0], th.way[len(th.way)-1]
	if to.pts-from.pts < wayLeast {
		return 0, 0, false
	}
	dt := (to.pts - from.pts).Seconds()
	return (to.at.X - from.at.X) / dt, (to.at.Y - from.at.Y) / dt, true
}

// elect counts class and names the thing by what was seen most often, the earlier on a tie.
func (th *thing) elect(class string) {
	found := false
	for i := range th.votes {
		if th.votes[i].class == class {
			th.votes[i].n++
			found = true
		}
	}
	if !found && len(th.votes) < maxVotes {
		th.votes = append(th.votes, vote{class, 1})
	}
	best := th.votes[0]
	for _, v := range th.votes[1:] {
		if v.n > best.n {
			best = v
		}
	}
	th.track.Class = best.class
}

// extend appends p to a trail of at most limit points without writing into memory that an earlier
// trail shows: when the room is used up, the newest points move to a new array.
func extend(trail []detection.Point, p detection.Point, limit int) []detection.Point {
	if len(trail) == limit {
		trail = trail[1:]
	}
	if len(trail) == cap(trail) {
		moved := make([]detection.Point, len(trail), len(trail)+min(limit, 16)+len(trail)/2)
		copy(moved, trail)
		trail = moved
	}
	return append(trail, p)
}

func extent(size float64) float64 { return max(size, minExtent) }

func square(v float64) float64 { return v * v }
