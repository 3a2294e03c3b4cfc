// Package looks decides which camera's frame the object model sees next. A look is one inference on one
// frame.
//
// Cameras want looks more often than a machine can run its model: they share a budget of looks per second.
// Every camera gets its floor, as far as the budget allows; what is left goes to cameras with open
// incidents first, then to cameras in whose frames something moves. A camera in whose frames nothing moves
// gets its floor and no more. Where the budget does not allow the floor for all, every camera gets a
// share, and one with open incidents several.
//
// A queue holds no frames. Each camera has one place in it, and its newest frame is taken when its turn
// comes, so that nothing waits that is out of date, and no camera can fill the queue. The package is pure:
// the caller passes the time.
package looks

import (
	"slices"
	"time"
)

const (
	// Floor is the interval within which every camera gets a look, as far as the budget allows: two looks
	// a second, with a margin for the time that passes until the camera has its next frame.
	Floor = 450 * time.Millisecond

	// urgentShares is how many shares a camera with open incidents has if the budget does not allow the
	// floor for all.
	urgentShares = 4

	// burst is the period whose budget may be spent at once.
	burst = 100 * time.Millisecond
)

// Want is how much a camera wants a look.
type Want struct {
	Moving bool // something moves, or moved a short time ago
	Urgent bool // an incident is open
}

// camera is one camera's place.
type camera struct {
	want    *Want     // nil: it has no new frame
	granted bool      // its look has not ended
	last    time.Time // of the last look; when it was added, before the first one
}

// Queue is the state. It belongs to one goroutine, or to one mutex.
type Queue struct {
	budget  float64 // looks per second
	most    int     // looks that may be granted and not ended at a time
	cameras map[int]*camera
	granted int

	tokens  float64 // looks that may be granted now, 0 at least
	counted time.Time
	took    time.Duration // mean of the last looks; 0: none ended
}

// New returns a queue with a budget of looks per second, of which most may be under way at a time.
func New(budget float64, most int) *Queue {
	return &Queue{budget: budget, most: most, cameras: map[int]*camera{}}
}

// SetBudget changes the budget to that many looks per second, and ends all looks that are under way: the
// inference process has been replaced.
func (q *Queue) SetBudget(budget float64) {
	q.budget, q.granted, q.took = budget, 0, 0
	for _, c := range q.cameras {
		c.granted = false
	}
}

// Add adds a camera under a number that no other camera has.
func (q *Queue) Add(id int, now time.Time) { q.cameras[id] = &camera{last: now} }

// Remove removes a camera, and ends its look.
func (q *Queue) Remove(id int) {
	if c := q.cameras[id]; c != nil && c.granted {
		q.granted--
	}
	delete(q.cameras, id)
}

// Want notes that a camera has a new frame. It replaces what the camera wanted before.
func (q *Queue) Want(id int, w Want) {
	if c := q.cameras[id]; c != nil {
		c.want = &w
	}
}

// Done ends a camera's look, which took the model that long; 0 if the model was not run.
func (q *Queue) Done(id int, took time.Duration) {
	c := q.cameras[id]
	if c == nil || !c.granted {
		return
	}
	c.granted = false
	q.granted--
	if took > 0 {
		const weight = 8 // of the past
		if q.took == 0 {
			q.took = took
		}
		q.took += (took - q.took) / weight
	}
}

// Refund gives the budget for a look back that was granted and not used.
func (q *Queue) Refund() { q.tokens++ }

// Next grants a look to the camera whose turn it is. If there is none, it returns false and when to ask
// again at the latest; 0: when something has changed.
func (q *Queue) Next(now time.Time) (id int, again time.Duration, ok bool) {
	q.refill(now)
	if q.granted >= q.most {
		return 0, 0, false
	}
	id, due := q.choose(now)
	if id < 0 {
		return 0, due, false
	}
	if q.tokens < 1 {
		return 0, max(time.Millisecond, time.Duration((1-q.tokens)/q.budget*float64(time.Second))), false
	}
	q.tokens--
	q.granted++
	c := q.cameras[id]
	c.want, c.granted, c.last = nil, true, now
	return id, 0, true
}

func (q *Queue) refill(now time.Time) {
	if !q.counted.IsZero() {
		q.tokens += q.budget * now.Sub(q.counted).Seconds()
	} else {
		q.tokens = 1
	}
	q.counted = now
	q.tokens = min(q.tokens, max(1, q.budget*burst.Seconds()))
}

// choose returns the camera whose turn it is, or -1 and in what time one that waits will have its turn.
func (q *Queue) choose(now time.Time) (best int, due time.Duration) {
	best = -1
	var bestRank rank
	enough := q.enough()
	ids := make([]int, 0, len(q.cameras))
	for id, c := range q.cameras {
		if c.want != nil && !c.granted {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids) // so that the same wants give the same choice
	for _, id := range ids {
		c := q.cameras[id]
		waited := now.Sub(c.last)
		if !c.want.Moving && !c.want.Urgent && waited < Floor {
			if left := Floor - waited; due == 0 || left < due {
				due = left
			}
			continue
		}
		if r := rankOf(*c.want, waited, enough); best < 0 || r.before(bestRank) {
			best, bestRank = id, r
		}
	}
	return best, due
}

// enough reports whether the budget, and the model's speed, allow the floor for all cameras.
func (q *Queue) enough() bool {
	rate := q.budget
	if q.took > 0 {
		rate = min(rate, 1/q.took.Seconds())
	}
	return rate >= float64(len(q.cameras))/Floor.Seconds()*0.9 // two looks a second: see Floor
}

// rank orders the cameras that wait: by class, then by how long they have waited.
type rank struct {
	class  int // the smallest is first
	waited time.Duration
}

func (r rank) before(other rank) bool {
	return r.class < other.class || r.class == other.class && r.waited > other.waited
}

func rankOf(w Want, waited time.Duration, enough bool) rank {
	const floor, urgent, moving = 0, 1, 2
	switch {
	case !enough && w.Urgent:
		return rank{floor, waited * urgentShares}
	case !enough:
		return rank{floor, waited}
	case waited >= Floor:
		return rank{floor, waited}
	case w.Urgent:
		return rank{urgent, waited}
	}
	return rank{moving, waited}
}
