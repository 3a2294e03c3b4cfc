package rules

import (
	"slices"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules/param"
	"gridpost/devices"
)

const (
	// flicker is how long an object may seem to be outside, or too small, without its stay having
	// ended. It is never more than half of the rule's own time.
	flicker = 300 * time.Millisecond

	// cutOff is how near to the frame's edge a box is cut off by it, and edgeReach how near a zone must come to the
	// edge for such a box to be inside, in fractions of the frame. What is within edgeTolerance of the edge reaches it.
	cutOff        = 0.01
	edgeReach     = 0.05
	edgeTolerance = 1e-3

	// mostBefore bounds for how long an object may have been inside before it was a track.
	mostBefore = time.Second

	// blindAfter is how much longer than its clear time a zone's incident stays open when no frame
	// comes at all: a worker that lags or restarts is no reason to close it and to open another.
	blindAfter = 30 * time.Second
)

// zoneKind opens one incident when any object has been inside an area for long enough.
func zoneKind() Kind {
	return Kind{
		Name:    detection.Zone,
		Devices: []devices.Kind{devices.Camera},
		Terms:   func() Terms { return &zoneTerms{tracked: tracked{clear: defaultClear}} },
		Title: titled(func(inc detection.Incident, _ Names) string {
			return classOf(inc) + " in zone " + spaced(inc.Rule)
		}),
	}
}

type zoneTerms struct {
	tracked
	area detection.Polygon
	hold time.Duration // how long one object must be inside
}

func (t *zoneTerms) Params() []param.Param {
	return append(t.params(),
		param.Required("polygon", polygon(&t.area)),
		param.Optional("for", param.Duration(&t.hold, 0, param.Longest)))
}

func (t *zoneTerms) Check() error { return nil }

func (t *zoneTerms) Describe() Description {
	return Description{Detection: true, Classes: t.classes, For: t.hold, NearEdge: nearEdge(t.area)}
}

func (t *zoneTerms) Judge(o Opener) Judge {
	return &zone{zoneTerms: *t, opener: o, flicker: min(flicker, t.hold/2), stays: map[uint64]*stay{}}
}

type zone struct {
	zoneTerms
	opener   Opener
	flicker  time.Duration
	stays    map[uint64]*stay // by track
	open     *OpenIncident
	last     time.Duration // when something was last inside
	restored bool          // open was restored, and no frame has come since
}

// stay is one track's time inside.
type stay struct {
	since, last time.Duration
	counted     bool
}

// Open implements Judge.
func (z *zone) Open() []detection.Incident { return openOf(z.open) }

// Restore implements Judge.
func (z *zone) Restore(inc detection.Incident) bool {
	if z.open != nil {
		return false
	}
	z.open, z.restored = &OpenIncident{Incident: inc}, true
	return true
}

// Frame implements FrameJudge.
func (z *zone) Frame(now time.Duration, at time.Time, tracks []detection.Track) []detection.Incident {
	if z.restored {
		z.restored, z.last = false, now
	}
	z.forget(tracks)
	var alerts []detection.Incident
	for _, tr := range tracks {
		if !tr.Last.Equal(at) || !z.inside(now, tr) {
			continue
		}
		z.last = now
		if z.open != nil {
			z.open.Touch(at)
			z.rename(tr)
		}
		s := z.stays[tr.ID]
		if s.counted || now-s.since < z.hold {
			continue
		}
		s.counted = true
		if z.open != nil {
			z.open.Incident.Count++
			z.open.Changed()
			continue
		}
		z.open = z.opener.Open(now, at)
		z.open.Show(tr)
		alerts = append(alerts, z.open.Alert())
	}
	if z.open == nil {
		return alerts
	}
	if over := now - z.last - z.clear; over >= 0 {
		return append(alerts, z.close(at.Add(-over)))
	}
	return append(alerts, z.open.Change(now)...)
}

// inside updates tr's stay and reports whether it is inside now.
func (z *zone) inside(now time.Duration, tr detection.Track) bool {
	s := z.stays[tr.ID]
	if z.within(z.area, tr) {
		if s == nil {
			s = &stay{since: now - z.before(tr)}
			z.stays[tr.ID] = s
		}
		s.last = now
		return true
	}
	if s != nil && now-s.last > z.flicker {
		delete(z.stays, tr.ID)
	}
	return false
}

// before returns for how long tr was inside before it was a track: some detections are needed to make it one.
func (z *zone) before(tr detection.Track) time.Duration {
	for _, foot := range tr.Trail {
		if !z.area.Contains(foot) {
			return 0
		}
	}
	return min(max(tr.Last.Sub(tr.First), 0), mostBefore)
}

// holds reports whether the foot of box is in area. What the frame's edge cuts off has its foot beyond the edge: it is
// inside if the area comes near the edge there.
func holds(area detection.Polygon, box detection.Box) bool {
	foot := box.Foot()
	if area.Contains(foot) {
		return true
	}
	const steps = 5
	for i := 1; i <= steps; i++ {
		in := edgeReach * float64(i) / steps
		if box.Y+box.H >= 1-cutOff && area.Contains(detection.Point{X: foot.X, Y: 1 - in}) ||
			box.X <= cutOff && area.Contains(detection.Point{X: in, Y: foot.Y}) ||
			box.X+box.W >= 1-cutOff && area.Contains(detection.Point{X: 1 - in, Y: foot.Y}) {
			return true
		}
	}
	return false
}

// nearEdge reports whether the area comes near the frame's left, right or lower edge without reaching it.
func nearEdge(area detection.Polygon) bool {
	near := func(distance float64) bool { return distance > edgeTolerance && distance <= edgeReach }
	return slices.ContainsFunc(area, func(p detection.Point) bool { return near(p.X) || near(1-p.X) || near(1-p.Y) })
}

// rename corrects the class of the object that opened the incident, once more frames have shown
// it better.
func (z *zone) rename(tr detection.Track) {
	if tr.ID == z.open.Incident.TrackID && tr.Class != z.open.Incident.Class {
		z.open.Incident.Class = tr.Class
		z.open.Changed()
	}
}

// forget ends the stays of tracks that are gone.
func (z *zone) forget(tracks []detection.Track) {
	for id := range z.stays {
		if !known(tracks, id) {
			delete(z.stays, id)
		}
	}
}

// Tick implements TickJudge. Without frames for a long time the incident closes, because nobody
// knows that its condition still holds, and all stays end.
func (z *zone) Tick(t Tick) []detection.Incident {
	if t.SinceFrame < z.clear+blindAfter {
		return nil
	}
	clear(z.stays)
	if z.open == nil {
		return nil
	}
	return []detection.Incident{z.close(t.Now)}
}

func (z *zone) close(at time.Time) detection.Incident {
	inc := z.open.Close(at)
	z.open = nil
	for _, s := range z.stays {
		s.counted = false
	}
	return inc
}
