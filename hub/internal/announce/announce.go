// Package announce connects incidents with those who hear of them: a change of an incident is published in
// the change feed as the public API shows it, and enqueued for webhook targets under its number.
package announce

import (
	"encoding/json"
	"fmt"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/notify"
	"gridpost/hub/internal/present"
	"gridpost/hub/internal/store/alerts"
	"gridpost/hub/internal/store/incidents"
)

// Incidents returns the repository of incidents on a database, with its changes announced.
func Incidents(d *db.DB) *incidents.Repository {
	return incidents.New(d, incidents.Hooks{
		Present:     func(inc incidents.Incident) any { return present.Incident(inc) },
		PresentMute: func(m incidents.Mute) any { return present.Mute(m) },
		Alert:       enqueueAlert,
	})
}

// enqueueAlert enqueues the alert of a change under its number.
func enqueueAlert(t *db.Tx, seq int64, kind incidents.AlertKind, inc incidents.Incident) error {
	device := ""
	if inc.Edge != "" {
		device = inc.Edge + "/" + inc.Device
	}
	return alerts.Enqueue(t, seq, alerts.Alert{
		Kind: notify.AlertKind(kind), Kind1: format1(kind, inc), Incident: inc.ID, Device: device,
		Data: func(t *db.Tx) (json.RawMessage, error) {
			whole, err := incidents.Read(t.Reader, inc.ID)
			if err != nil {
				return nil, fmt.Errorf("reading incident %s: %w", inc.ID, err)
			}
			whole.MutedUntil = inc.MutedUntil
			return json.Marshal(present.Incident(whole))
		},
	})
}

// format1 returns what events of format 1 call a kind: the first of cleared and closed is closed there, and the
// other one is a change.
func format1(kind incidents.AlertKind, inc incidents.Incident) notify.AlertKind {
	before := false
	switch kind {
	case incidents.AlertCleared:
		before = inc.State == incidents.Closed
	case incidents.AlertClosed:
		before = inc.EndedAt != nil
	default:
		return notify.AlertKind(kind)
	}
	if before {
		return notify.Changed
	}
	return notify.Closed
}
