package ingest

import (
	"time"

	"gridpost/detection"
	"gridpost/hub/api"
)

// What an edge's clock is believed at most. A time outside is replaced by the hub's: an event is
// never refused because of a clock.
const (
	maxAge      = 400 * 24 * time.Hour // of an event that waited on the edge
	maxDuration = 30 * 24 * time.Hour  // of an incident before the alert that the hub gets first
	maxAhead    = time.Minute          // of the hub's clock, before a time counts as wrong
)

// recorded returns when an event was recorded, by the hub's clock; now if the edge cannot say.
func recorded(e api.Event, now time.Time) (at time.Time, known bool) {
	if e.AgeMS == nil || *e.AgeMS < 0 || *e.AgeMS > maxAge.Milliseconds() {
		return now, false
	}
	return now.Add(-time.Duration(*e.AgeMS) * time.Millisecond), true
}

// occurred estimates when an incident opened, by the hub's clock: never after now.
func occurred(v detection.Incident, e api.Event, now time.Time) time.Time {
	at, known := recorded(e, now)
	if known {
		if lasted := v.Updated.Sub(v.Opened); lasted > 0 && lasted <= maxDuration {
			return at.Add(-lasted)
		}
		return at
	}
	// The machine has restarted since, or the edge is of protocol 1: its clock is all there is.
	if v.Opened.After(now) || v.Opened.Before(now.Add(-10*maxAge)) {
		return now
	}
	return v.Opened
}

// storable says whether the database's milliseconds and JSON's years can both hold a time.
func storable(t time.Time) bool { return t.Year() >= 1970 && t.Year() <= 9000 }

// clamp replaces a time that cannot be stored by another one, and says so.
func clamp(t *time.Time, by time.Time) bool {
	if storable(*t) {
		return false
	}
	*t = by
	return true
}

// clampIncident replaces the times of an incident that cannot be stored.
func clampIncident(v *detection.Incident, e api.Event, now time.Time) (clamped bool) {
	at, _ := recorded(e, now)
	clamped = clamp(&v.Updated, at)
	clamped = clamp(&v.Opened, v.Updated) || clamped
	if v.State == detection.Closed {
		if v.Closed.IsZero() {
			v.Closed = v.Updated
		}
		clamped = clamp(&v.Closed, v.Updated) || clamped
	}
	return clamped
}
