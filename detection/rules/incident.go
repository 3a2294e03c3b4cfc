package rules

import (
	"errors"
	"math"
	"slices"
	"time"

	"gridpost/detection"
)

// changeEvery is the shortest time between an alert and one that only reports a change of its
// incident.
const changeEvery = time.Second

// Opener opens the incidents of one rule.
type Opener struct {
	device string
	spec   Spec
	newID  func() string
}

// Open returns a new incident that opened at a time of the device's frames or readings. now is
// the same moment by the judge's clock.
//
// The times of an incident are stored and sent, so that they are compared by the wall clock: Go's
// monotonic reading would find two in order although the clock was set back between them.
func (o Opener) Open(now time.Duration, at time.Time) *OpenIncident {
	at = at.Round(0)
	return &OpenIncident{alerted: now, Incident: detection.Incident{
		ID:       o.newID(),
		Device:   o.device,
		Rule:     o.spec.Name,
		Kind:     o.spec.Kind,
		Severity: o.spec.Severity,
		State:    detection.Open,
		Opened:   at,
		Updated:  at,
		Version:  1,
		Count:    1,
	}}
}

// OpenIncident is an open incident and what has changed since its last alert.
type OpenIncident struct {
	Incident detection.Incident

	alerted time.Duration // when the last alert was made, by the judge's clock
	changed bool          // something worth an alert has changed since
}

// Alert returns the incident as it is now. Its pointers are never written through again.
func (o *OpenIncident) Alert() detection.Incident { return o.Incident }

// Show fills in the track that the incident is about.
func (o *OpenIncident) Show(tr detection.Track) {
	box := tr.Box
	o.Incident.Class, o.Incident.Score, o.Incident.Box, o.Incident.TrackID = tr.Class, tr.Score, &box, tr.ID
}

// Touch notes that the condition still held at the time given.
func (o *OpenIncident) Touch(at time.Time) {
	if at = at.Round(0); at.After(o.Incident.Updated) {
		o.Incident.Updated = at
	}
}

// Changed marks the incident as changed; Change returns the alert when it is due.
func (o *OpenIncident) Changed() { o.changed = true }

// Change returns the alert that reports a change, if there is one and the last alert is at least
// a second old.
func (o *OpenIncident) Change(now time.Duration) []detection.Incident {
	if !o.changed || now-o.alerted < changeEvery {
		return nil
	}
	o.changed, o.alerted = false, now
	o.Incident.Version++
	return []detection.Incident{o.Alert()}
}

// Close returns the last alert. An incident never closes before its last update, even where a
// clock was set back meanwhile.
func (o *OpenIncident) Close(at time.Time) detection.Incident {
	if at = at.Round(0); at.Before(o.Incident.Updated) {
		at = o.Incident.Updated
	}
	o.Incident.State, o.Incident.Closed = detection.Closed, at
	o.Incident.Version++
	return o.Alert()
}

// openOf lists the incident of a rule that has at most one.
func openOf(o *OpenIncident) []detection.Incident {
	if o == nil {
		return nil
	}
	return []detection.Incident{o.Alert()}
}

// checkIncident returns why an incident that was stored cannot be taken up again.
func checkIncident(inc detection.Incident) error {
	numbers := []float64{inc.Score}
	if inc.Box != nil {
		numbers = append(numbers, inc.Box.X, inc.Box.Y, inc.Box.W, inc.Box.H)
	}
	for _, v := range []*float64{inc.Value, inc.Limit} {
		if v != nil {
			numbers = append(numbers, *v)
		}
	}
	switch {
	case inc.Version < 1 || inc.Count < 0:
		return errors.New("its version or count is out of range")
	case inc.Opened.IsZero():
		return errors.New("it has no time at which it opened")
	case inc.Updated.Before(inc.Opened):
		return errors.New("it was updated before it opened")
	case slices.ContainsFunc(numbers, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }):
		return errors.New("it has a number that is not finite")
	}
	return nil
}
