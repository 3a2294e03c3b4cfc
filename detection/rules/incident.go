package rules

import (
	"slices"
	"time"

	"gridpost/detection"
)

// changeEvery is the shortest time between an alert and one that says only that its incident changed.
const changeEvery = time.Second

// minter makes the incidents of one rule.
type minter struct {
	device string
	spec   Spec
	newID  func() string
}

func (m minter) kind() detection.RuleKind { return m.spec.Kind }

// counts says whether the rule looks at things of class.
func (m minter) counts(class string) bool {
	return len(m.spec.Classes) == 0 || class == detection.Motion || slices.Contains(m.spec.Classes, class)
}

// open returns a new incident as its first alert.
func (m minter) open(now time.Duration, at time.Time) *entry {
	return &entry{alerted: now, inc: detection.Incident{
		ID:       m.newID(),
		Device:   m.device,
		Rule:     m.spec.Name,
		Kind:     m.spec.Kind,
		Severity: m.spec.Severity,
		State:    detection.Open,
		Opened:   at,
		Updated:  at,
		Version:  1,
		Count:    1,
	}}
}

// entry is an open incident and what its alerts have told of it.
type entry struct {
	inc     detection.Incident
	alerted time.Duration // when the last alert was made, by the rule's clock
	changed bool          // something worth an alert has changed since
}

// alert returns the incident as it is now. Its pointers are never written through again.
func (e *entry) alert() detection.Incident { return e.inc }

// show puts a track into the incident.
func (e *entry) show(tr detection.Track) {
	box := tr.Box
	e.inc.Class, e.inc.Score, e.inc.Box, e.inc.TrackID = tr.Class, tr.Score, &box, tr.ID
}

// touch notes that the incident was still going on at the time given.
func (e *entry) touch(at time.Time) {
	if at.After(e.inc.Updated) {
		e.inc.Updated = at
	}
}

// change returns the alert that is due because something changed, if one is.
func (e *entry) change(now time.Duration) []detection.Incident {
	if !e.changed || now-e.alerted < changeEvery {
		return nil
	}
	e.changed, e.alerted = false, now
	e.inc.Version++
	return []detection.Incident{e.alert()}
}

// close returns the last alert. An incident never closes before it was last updated, even where a
// clock was set back meanwhile.
func (e *entry) close(at time.Time) detection.Incident {
	if at.Before(e.inc.Updated) {
		at = e.inc.Updated
	}
	e.inc.State, e.inc.Closed = detection.Closed, at
	e.inc.Version++
	return e.alert()
}
