package track

import (
	"math"
	"time"

	"gridpost/detection"
)

// This file is about blobs: background subtraction detects one car as two pieces, and two cars that
// pass each other as one.

// join extends the box of each object by unassigned detections that are pieces of it.
func (t *Tracker) join(m *match) {
	for i, obj := range t.objects {
		if m.of[i] < 0 {
			continue
		}
		p := obj.predicted()
		for j, d := range m.detections {
			if m.taken[j] || !obj.compatible(d.Class) || d.Box.CoveredBy(around(p)) < 0.7 || t.static(d.Box, obj) {
				continue
			}
			whole := m.box[i].Union(d.Box)
			if whole.Area() <= 1.4*p.Area() && whole.IoU(p) > m.box[i].IoU(p) {
				m.box[i], m.taken[j] = whole, true
			}
		}
	}
}

// static reports whether box is where a detection was in the last frame already, rather than where
// one would be that moves with obj. Such a box is left over from a change of light, for example.
func (t *Tracker) static(box detection.Box, obj *object) bool {
	var stayed, moved float64
	for _, b := range t.before {
		stayed = max(stayed, b.Box.IoU(box))
		b.Box.X += obj.x.v * t.step.Seconds()
		b.Box.Y += obj.y.v * t.step.Seconds()
		moved = max(moved, b.Box.IoU(box))
	}
	return stayed > moved+0.1
}

// share handles confirmed objects that have no detection but lie within the blob of another one.
// If the two move in different directions, both keep their speed and their positions within the
// blob are predicted, until they separate. If they move in the same direction they are pieces of
// one object: the older one gets the blob, and the younger one will end.
func (t *Tracker) share(m *match) {
	predictedOnly := make([]bool, len(t.objects))
	for i, obj := range t.objects {
		if m.of[i] >= 0 || !obj.confirmed(t.o.Confirm) || !obj.predicted().Center().InFrame() {
			continue
		}
		k := t.host(m, i)
		if k < 0 {
			continue
		}
		other, blob := t.objects[k], m.detections[m.of[k]].Box
		if diverge(obj, other) && obj.sharedFor(t.pts) <= maxShared {
			m.of[i], m.box[i], predictedOnly[i] = m.of[k], within(obj.predicted(), blob), true
			m.box[k], predictedOnly[k] = within(other.predicted(), blob), true
			continue
		}
		if i < k {
			m.of[i], m.box[i] = m.of[k], m.box[k]
			m.of[k] = -1
			obj = other
		}
		obj.swallowed++
	}
	for i, obj := range t.objects {
		if predictedOnly[i] && !obj.shared {
			obj.sharedSince = t.pts
		}
		obj.shared = predictedOnly[i]
	}
}

// host returns the index of the object in whose blob object i is hidden, or -1. An object that moves
// in another direction is preferred.
func (t *Tracker) host(m *match, i int) int {
	best, p := -1, t.objects[i].predicted()
	for k, other := range t.objects {
		if m.of[k] < 0 || !other.confirmed(t.o.Confirm) || !other.compatible(t.objects[i].track.Class) || p.CoveredBy(m.detections[m.of[k]].Box) < 0.5 {
			continue
		}
		if diverge(t.objects[i], other) {
			return k
		}
		if best < 0 {
			best = k
		}
	}
	return best
}

// diverge reports whether a and b move so differently that they cannot be pieces of one object. Both
// their average speeds and their recent paths must differ: pieces that appear and disappear disturb
// either of the two.
func diverge(a, b *object) bool {
	w, h := max(extent(a.w), extent(b.w)), max(extent(a.h), extent(b.h))
	if math.Hypot((a.slowX-b.slowX)/w, (a.slowY-b.slowY)/h) < divergeSpeed {
		return false
	}
	ax, ay, aok := a.pathSpeed()
	bx, by, bok := b.pathSpeed()
	return aok && bok && math.Hypot((ax-bx)/w, (ay-by)/h) >= divergeSpeed
}

// within moves b into blob as far as it fits and cuts off the rest.
func within(b, blob detection.Box) detection.Box {
	b.W, b.H = min(b.W, blob.W), min(b.H, blob.H)
	b.X = max(blob.X, min(b.X, blob.X+blob.W-b.W))
	b.Y = max(blob.Y, min(b.Y, blob.Y+blob.H-b.H))
	return b
}

// holds reports whether box is only a piece of obj, as detected in the frame of now.
func (obj *object) holds(box detection.Box, now time.Duration) bool {
	return obj.lastPTS == now && box.CoveredBy(around(obj.predicted())) > 0.7 && box.Area() < 0.6*obj.w*obj.h
}

// around returns b with a margin in which its pieces may lie.
func around(b detection.Box) detection.Box {
	mx, my := 0.15*b.W, 0.15*b.H
	return detection.Box{X: b.X - mx, Y: b.Y - my, W: b.W + 2*mx, H: b.H + 2*my}
}

// piece reports whether obj went missing within another object too often to be an object of its own.
// One that has been followed for long is given more time.
func (obj *object) piece() bool { return obj.swallowed >= min(maxSwallowed, 2+obj.hits/10) }

// sharedFor returns for how long obj has been hidden in a blob with another object.
func (obj *object) sharedFor(now time.Duration) time.Duration {
	if !obj.shared {
		return 0
	}
	return now - obj.sharedSince
}
