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

	apartSpeed = 0.5                     // sizes per second between objects that go different ways
	wayTime    = 1500 * time.Millisecond // over which an object's way is remembered
	wayLeast   = 400 * time.Millisecond  // and which it must have lasted to count
	maxWay     = 64                      // places remembered

	maxVotes = 8 // classes counted per object
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

// object is something followed, confirmed or not.
type object struct {
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

func newObject(d detection.Detection) *object {
	c := d.Box.Center()
	obj := &object{w: d.Box.W, h: d.Box.H}
	obj.x = axis{x: c.X, pxx: square(measureNoise * extent(obj.w)), pvv: square(startSpeed * extent(obj.w))}
	obj.y = axis{x: c.Y, pxx: square(measureNoise * extent(obj.h)), pvv: square(startSpeed * extent(obj.h))}
	return obj
}

func (obj *object) confirmed(hits int) bool { return obj.hits >= hits }

func (obj *object) predict(step time.Duration) {
	dt := step.Seconds()
	obj.x.predict(dt, acceleration*extent(obj.w))
	obj.y.predict(dt, acceleration*extent(obj.h))
	share := min(1, dt/slowTime.Seconds())
	obj.slowX += share * (obj.x.v - obj.slowX)
	obj.slowY += share * (obj.y.v - obj.slowY)
}

// predicted returns where obj should be now; it may reach out of the picture.
func (obj *object) predicted() detection.Box {
	return detection.Box{X: obj.x.x - obj.w/2, Y: obj.y.x - obj.h/2, W: obj.w, H: obj.h}
}

// cost says how badly d continues obj: 0 is perfect, infinite impossible.
func (obj *object) cost(d detection.Detection) float64 {
	p, c := obj.predicted(), d.Box.Center()
	// Distance counts in sizes, and less while the speed is not known yet.
	rx := max(extent(obj.w), extent(d.Box.W)) + 2*math.Sqrt(obj.x.pxx)
	ry := max(extent(obj.h), extent(d.Box.H)) + 2*math.Sqrt(obj.y.pxx)
	distance := math.Hypot((c.X-obj.x.x)/rx, (c.Y-obj.y.x)/ry)
	iou := p.IoU(d.Box)
	if distance > 1 && iou < 0.1 {
		return math.Inf(1)
	}
	size := math.Abs(math.Log(d.Box.Area() / (obj.w * obj.h)))
	if size > math.Log(12) {
		return math.Inf(1)
	}
	cost := distance + 0.7*(1-iou) + 0.2*size
	if obj.track.Class != d.Class {
		cost += 0.3
	}
	return cost
}

// observe takes d, with its box as joined from pieces or guessed, as obj in the frame of pts.
func (obj *object) observe(d detection.Detection, box detection.Box, at time.Time, pts time.Duration, maxTrail int) {
	if obj.shared {
		obj.remember(obj.predicted().Center(), pts)
	} else {
		c := box.Center()
		obj.x.correct(c.X, measureNoise*extent(obj.w))
		obj.y.correct(c.Y, measureNoise*extent(obj.h))
		obj.w += sizeGain * (box.W - obj.w)
		obj.h += sizeGain * (box.H - obj.h)
		obj.remember(c, pts)
		obj.elect(d.Class)
		obj.track.Score = d.Score
	}
	obj.hits++
	obj.lastPTS = pts
	obj.track.Box = box
	if obj.track.First.IsZero() {
		obj.track.First = at
	}
	obj.track.Last = at
	obj.track.Trail = extend(obj.track.Trail, box.Foot(), maxTrail)
}

// remember adds a place to the way.
func (obj *object) remember(c detection.Point, pts time.Duration) {
	old := 0
	for old < len(obj.way) && (obj.way[old].pts < pts-wayTime || len(obj.way)-old >= maxWay) {
		old++
	}
	obj.way = append(obj.way[:copy(obj.way, obj.way[old:])], place{pts, c})
}

// made returns the mean speed along the way of late, in fractions of the picture a second; false if the
// way is too short.
func (obj *object) made() (x, y float64, ok bool) {
	if len(obj.way) == 0 {
		return 0, 0, false
	}
	from, to := obj.way[0], obj.way[len(obj.way)-1]
	if to.pts-from.pts < wayLeast {
		return 0, 0, false
	}
	dt := (to.pts - from.pts).Seconds()
	return (to.at.X - from.at.X) / dt, (to.at.Y - from.at.Y) / dt, true
}

// elect counts class and names the object by what was seen most often, the earlier on a tie.
func (obj *object) elect(class string) {
	found := false
	for i := range obj.votes {
		if obj.votes[i].class == class {
			obj.votes[i].n++
			found = true
		}
	}
	if !found && len(obj.votes) < maxVotes {
		obj.votes = append(obj.votes, vote{class, 1})
	}
	best := obj.votes[0]
	for _, v := range obj.votes[1:] {
		if v.n > best.n {
			best = v
		}
	}
	obj.track.Class = best.class
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
