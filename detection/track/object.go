package track

import (
	"math"
	"slices"
	"time"

	"gridpost/detection"
)

const (
	// Distances are relative to sizes: an object that moves by its own width within a frame is as
	// unlikely near the camera as far from it. The floor keeps the noise of a blob of few pixels
	// from being taken for motion.
	minExtent = 0.02

	measureNoise = 0.08 // of an edge, in sizes
	acceleration = 1.5  // sizes per second squared
	startSpeed   = 3.0  // sizes per second: how fast an object may be when first detected
	sizeGain     = 0.35 // weight of a new box's size against the average

	slowTime = 700 * time.Millisecond // over which the average speed is taken

	divergeSpeed = 0.5                     // sizes per second between objects that move in different directions
	pathTime     = 1500 * time.Millisecond // over which an object's path is stored
	shortestPath = 400 * time.Millisecond  // for which a path must have lasted to be used
	maxPath      = 64                      // positions stored

	maxVotes   = 8               // classes counted per object
	voteTime   = 3 * time.Second // over which votes for a class fade
	motionVote = 0.25            // weight of a detection that has no class against one that has
	takeOver   = 0.5             // least IoU with which a detection of another class continues an object
	maxScores  = 5               // scores of which the median is taken
)

// axis is a Kalman filter of constant velocity in one dimension (position, speed).
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

// object is a followed object, confirmed or not.
type object struct {
	track   detection.Track
	hits    int
	lastPTS time.Duration // of the last detection

	x, y axis    // of the center
	w, h float64 // average size

	// The average speed: that of the filters is noisy when pieces appear and disappear.
	slowX, slowY float64

	path []position // where it was detected recently, oldest first

	shared      bool          // its position is predicted only: the blob belongs to another object too
	sharedSince time.Duration // PTS

	swallowed int // how often it went missing within an object that moves in the same direction

	votes  []vote
	scores []float64 // the last ones, oldest first; of detections with a class

	moved time.Duration // PTS when something last moved where it is, or when it was first detected
}

type position struct {
	pts time.Duration
	at  detection.Point
}

// vote is how often a class was detected, lately.
type vote struct {
	class  string
	weight float64
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

// predicted returns where obj should be now; it may extend beyond the frame.
func (obj *object) predicted() detection.Box {
	return detection.Box{X: obj.x.x - obj.w/2, Y: obj.y.x - obj.h/2, W: obj.w, H: obj.h}
}

// cost returns how badly d continues obj: 0 is perfect, infinite impossible.
func (obj *object) cost(d detection.Detection) float64 {
	p, c := obj.predicted(), d.Box.Center()
	// The distance is relative to the size, and weighs less while the speed is uncertain.
	rx := max(extent(obj.w), extent(d.Box.W)) + 2*math.Sqrt(obj.x.pxx)
	ry := max(extent(obj.h), extent(d.Box.H)) + 2*math.Sqrt(obj.y.pxx)
	distance := math.Hypot((c.X-obj.x.x)/rx, (c.Y-obj.y.x)/ry)
	iou := p.IoU(d.Box)
	if !obj.compatible(d.Class) && iou < takeOver {
		return math.Inf(1)
	}
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

// observe updates obj by d in the frame of pts. box is that of d, joined from pieces or predicted.
func (obj *object) observe(d detection.Detection, box detection.Box, at time.Time, pts time.Duration, maxTrail int) {
	if obj.shared {
		obj.extendPath(obj.predicted().Center(), pts)
	} else {
		c := box.Center()
		obj.x.correct(c.X, measureNoise*extent(obj.w))
		obj.y.correct(c.Y, measureNoise*extent(obj.h))
		obj.w += sizeGain * (box.W - obj.w)
		obj.h += sizeGain * (box.H - obj.h)
		obj.extendPath(c, pts)
		obj.elect(d, pts)
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

// extendPath adds a position to the path.
func (obj *object) extendPath(c detection.Point, pts time.Duration) {
	old := 0
	for old < len(obj.path) && (obj.path[old].pts < pts-pathTime || len(obj.path)-old >= maxPath) {
		old++
	}
	obj.path = append(obj.path[:copy(obj.path, obj.path[old:])], position{pts, c})
}

// pathSpeed returns the mean speed along the recent path, in fractions of the frame per second; ok is
// false if the path is too short.
func (obj *object) pathSpeed() (x, y float64, ok bool) {
	if len(obj.path) == 0 {
		return 0, 0, false
	}
	from, to := obj.path[0], obj.path[len(obj.path)-1]
	if to.pts-from.pts < shortestPath {
		return 0, 0, false
	}
	dt := (to.pts - from.pts).Seconds()
	return (to.at.X - from.at.X) / dt, (to.at.Y - from.at.Y) / dt, true
}

// compatible reports whether class may be another name for the class of obj. Motion has no class.
func (obj *object) compatible(class string) bool {
	return obj.track.Class == class || obj.track.Class == "" || obj.track.Class == detection.Motion || class == detection.Motion
}

// elect counts the class of d and gives the object the class detected most often lately, the earlier one on a tie.
// Its score becomes the median of the last ones.
func (obj *object) elect(d detection.Detection, pts time.Duration) {
	fade := math.Exp(-float64(pts-obj.lastPTS) / float64(voteTime))
	weight := 1.0
	if d.Class == detection.Motion {
		weight = motionVote
	}
	at := -1
	for i := range obj.votes {
		obj.votes[i].weight *= fade
		if obj.votes[i].class == d.Class {
			at = i
		}
	}
	switch {
	case at >= 0:
		obj.votes[at].weight += weight
	case len(obj.votes) < maxVotes:
		obj.votes = append(obj.votes, vote{d.Class, weight})
	default: // the weakest gives way
		weakest := 0
		for i, v := range obj.votes {
			if v.weight < obj.votes[weakest].weight {
				weakest = i
			}
		}
		obj.votes[weakest] = vote{d.Class, weight}
	}
	best := obj.votes[0]
	for _, v := range obj.votes[1:] {
		if v.weight > best.weight {
			best = v
		}
	}
	if best.class != obj.track.Class {
		obj.scores = obj.scores[:0]
	}
	obj.track.Class = best.class
	if d.Class == best.class {
		if len(obj.scores) == maxScores {
			obj.scores = append(obj.scores[:0], obj.scores[1:]...)
		}
		obj.scores = append(obj.scores, d.Score)
	}
	if len(obj.scores) == 0 { // the class was voted for earlier
		obj.scores = append(obj.scores, obj.track.Score)
	}
	obj.track.Score = median(obj.scores)
}

// median returns the middle of values, the lower one of two.
func median(values []float64) float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[(len(sorted)-1)/2]
}

// extend appends p to a trail of at most limit points without writing into memory that an earlier
// trail uses: when the capacity is used up, the newest points are copied to a new array.
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
