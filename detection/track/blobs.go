package track

import (
	"math"
	"slices"
	"time"

	"gridpost/detection"
)

// What follows is about blobs: background subtraction shows one car in two pieces, and two
// cars that pass each other in one.

// join returns for each thing the box that shows it: its detection's, grown by detections that
// nobody claims and that are pieces of it.
func (t *Tracker) join(seen []detection.Detection, match []int) []detection.Box {
	boxes := make([]detection.Box, len(t.things))
	free := make([]bool, len(seen))
	for j := range seen {
		free[j] = !slices.Contains(match, j)
	}
	for i, th := range t.things {
		if match[i] < 0 {
			continue
		}
		boxes[i] = seen[match[i]].Box
		if !th.confirmed(t.o.Confirm) {
			continue
		}
		p := th.predicted()
		for j, d := range seen {
			if !free[j] || d.Box.Covered(p) < 0.6 {
				continue
			}
			whole := boxes[i].Union(d.Box)
			if whole.Area() <= 1.3*p.Area() && whole.IoU(p) > boxes[i].IoU(p) {
				boxes[i], free[j] = whole, false
			}
		}
	}
	return boxes
}

// share finds things without a detection that are hidden in the blob of another one that goes
// another way. Both then keep their speed, and their places are guessed within the blob, until
// they come apart. Things that go the same way are taken for pieces: one of them ends.
func (t *Tracker) share(seen []detection.Detection, match []int, boxes []detection.Box) {
	inBlob := make([]bool, len(t.things))
	for i, th := range t.things {
		if match[i] >= 0 || !th.confirmed(t.o.Confirm) || !th.predicted().Center().InPicture() {
			continue
		}
		for k, other := range t.things {
			if k == i || match[k] < 0 || !other.confirmed(t.o.Confirm) || inBlob[i] {
				continue
			}
			blob := seen[match[k]].Box
			if th.predicted().Covered(blob) < 0.5 || !apart(th, other) {
				continue
			}
			match[i], boxes[i], inBlob[i] = match[k], within(th.predicted(), blob), true
			if blob.Area() > 1.25*other.w*other.h && other.predicted().Covered(blob) >= 0.5 {
				boxes[k], inBlob[k] = within(other.predicted(), blob), true
			}
		}
	}
	for i, th := range t.things {
		if inBlob[i] && !th.shared {
			th.sharedSince = t.pts
		}
		th.shared = inBlob[i]
	}
}

// apart says whether a and b move so differently that they cannot be pieces of one thing.
func apart(a, b *thing) bool {
	dx := (a.x.v - b.x.v) / max(extent(a.w), extent(b.w))
	dy := (a.y.v - b.y.v) / max(extent(a.h), extent(b.h))
	return math.Hypot(dx, dy) > 0.6
}

// within moves b into blob as far as it fits and cuts off the rest.
func within(b, blob detection.Box) detection.Box {
	b.W, b.H = min(b.W, blob.W), min(b.H, blob.H)
	b.X = max(blob.X, min(b.X, blob.X+blob.W-b.W))
	b.Y = max(blob.Y, min(b.Y, blob.Y+blob.H-b.H))
	return b
}

// holds says whether box is only a piece of th, as seen in the frame of now.
func (th *thing) holds(box detection.Box, now time.Duration) bool {
	return th.lastPTS == now && box.Covered(th.predicted()) > 0.7 && box.Area() < 0.6*th.w*th.h
}

func (th *thing) sharedFor(now time.Duration) time.Duration {
	if !th.shared {
		return 0
	}
	return now - th.sharedSince
}
