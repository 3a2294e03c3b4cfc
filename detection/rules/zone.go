package rules

import (
	"time"

	"gridpost/detection"
)

// flicker is how long a thing may seem to be outside, or too small, without its stay having ended.
// It is never more than half of the rule's own time.
const flicker = 300 * time.Millisecond

// zone opens one incident when anything has been inside for long enough.
type zone struct {
	minter
	area    detection.Polygon
	flicker time.Duration
	stays   map[uint64]*stay // by track
	open    *entry
	last    time.Duration // when something was last inside
	fresh   bool          // open was restored, and no picture has come since
}

// stay is one track's time inside.
type stay struct {
	since, last time.Duration
	counted     bool
}

func newZone(m minter) *zone {
	return &zone{minter: m, area: m.spec.Polygon, flicker: min(flicker, m.spec.For/2), stays: map[uint64]*stay{}}
}

func (z *zone) restore(inc detection.Incident) { z.open, z.fresh = &entry{inc: inc}, true }

func (z *zone) tracks(now time.Duration, at time.Time, tracks []detection.Track) []detection.Incident {
	if z.fresh {
		z.fresh, z.last = false, now
	}
	z.forget(tracks)
	var alerts []detection.Incident
	for _, tr := range tracks {
		if !tr.Last.Equal(at) || !z.inside(now, tr) {
			continue
		}
		z.last = now
		if z.open != nil {
			z.open.touch(at)
			z.rename(tr)
		}
		s := z.stays[tr.ID]
		if s.counted || now-s.since < z.spec.For {
			continue
		}
		s.counted = true
		if z.open != nil {
			z.open.inc.Count++
			z.open.changed = true
			continue
		}
		z.open = z.minter.open(now, at)
		z.open.show(tr)
		alerts = append(alerts, z.open.alert())
	}
	if z.open == nil {
		return alerts
	}
	if over := now - z.last - z.spec.Clear; over >= 0 {
		return append(alerts, z.close(at.Add(-over)))
	}
	return append(alerts, z.open.change(now)...)
}

// inside keeps the book of tr's stay and says whether it is inside now.
func (z *zone) inside(now time.Duration, tr detection.Track) bool {
	s := z.stays[tr.ID]
	if z.counts(tr.Class) && tr.Box.Area() >= z.spec.MinSize && z.area.Contains(tr.Box.Foot()) {
		if s == nil {
			s = &stay{since: now}
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

// rename corrects the class of what opened the incident, once more pictures have told better.
func (z *zone) rename(tr detection.Track) {
	if tr.ID == z.open.inc.TrackID && tr.Class != z.open.inc.Class {
		z.open.inc.Class = tr.Class
		z.open.changed = true
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

// blind closes what nobody has seen going on for a long time, and forgets who was there.
func (z *zone) blind(at time.Time) []detection.Incident {
	clear(z.stays)
	if z.open == nil {
		return nil
	}
	return []detection.Incident{z.close(at)}
}

func (z *zone) close(at time.Time) detection.Incident {
	inc := z.open.close(at)
	z.open = nil
	for _, s := range z.stays {
		s.counted = false
	}
	return inc
}

func known(tracks []detection.Track, id uint64) bool {
	for i := range tracks {
		if tracks[i].ID == id {
			return true
		}
	}
	return false
}
