package track

import (
	"time"

	"gridpost/detection"
)

// This file is about frames that an object model has looked at: what moves there without having a name, and what has
// a name without ever having moved.

const (
	// explained is the part of a moving box that a named box must cover, or the other way round, to explain it.
	explained = 0.4
	// unknownHits is how many times as many detections as a named object one without a name needs.
	unknownHits = 2
	// settleTime is for how long an object is followed where nothing moves. Later it belongs to the scene: a model
	// that takes the floor for a table does so for ever.
	settleTime = 2 * time.Minute
)

// withUnknown returns the detections of a frame, and one of class detection.Motion for each moving box that none of
// them explains.
func withUnknown(f detection.Frame) []detection.Detection {
	if !f.Modelled || len(f.Moving) == 0 {
		return f.Detections
	}
	all := append([]detection.Detection(nil), f.Detections...)
	for _, b := range f.Moving {
		if !explains(f.Detections, b) {
			all = append(all, detection.Detection{Class: detection.Motion, Score: 1, Box: b})
		}
	}
	return all
}

// explains reports whether one of detections is what moves in box. A box that is many times as large is not: the model
// may take the whole floor for an object.
func explains(detections []detection.Detection, box detection.Box) bool {
	const larger = 6
	for _, d := range detections {
		if d.Box.Area() <= larger*box.Area() && (box.CoveredBy(d.Box) >= explained || d.Box.CoveredBy(box) >= explained) {
			return true
		}
	}
	return false
}

// support notes which objects something has moved in.
func (t *Tracker) support(f detection.Frame) {
	for _, obj := range t.objects {
		if obj.lastPTS != f.PTS {
			continue
		}
		obj.track.Modelled, obj.track.Moving = f.Modelled, !f.Modelled
		own := []detection.Detection{{Box: obj.track.Box}}
		for _, b := range f.Moving {
			obj.track.Moving = obj.track.Moving || explains(own, b)
		}
		if obj.track.Moving {
			obj.moved = f.PTS
		}
	}
}

// hits returns how many detections confirm obj.
func (t *Tracker) hits(obj *object) int {
	if obj.track.Modelled && obj.track.Class == detection.Motion {
		return unknownHits * t.o.Confirm
	}
	return t.o.Confirm
}

// settled reports whether nothing has moved where obj is for so long that it belongs to the scene.
func (obj *object) settled(now time.Duration) bool { return now-obj.moved > settleTime }
