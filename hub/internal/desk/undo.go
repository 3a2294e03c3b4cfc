package desk

import (
	"context"
	"errors"
	"time"

	"gridpost/detection"
	"gridpost/hub/api"
)

// ReopenWithin is how long after a person closed an incident it can be opened again. What was
// closed by a slip is noticed at once; what comes back later is a new incident.
const ReopenWithin = 30 * time.Second

// ErrTooLate says that what was done can no longer be undone.
var ErrTooLate = errors.New("it was closed too long ago to be opened again")

// Unacknowledge takes an acknowledgement back: the incident waits for somebody again, and is
// nobody's. Both deeds stay in the timeline.
func (d *Desk) Unacknowledge(ctx context.Context, who, id string) (api.Incident, error) {
	return d.store.Work(ctx, who, id, func(inc *api.Incident) (*api.TimelineEntry, error) {
		switch inc.State {
		case api.StateClosed:
			return nil, ErrClosed
		case api.StateOpen:
			return nil, nil
		}
		inc.State, inc.Assignee = api.StateOpen, ""
		return &api.TimelineEntry{Kind: "unacknowledged"}, nil
	})
}

// Reopen undoes the closing of an incident, within ReopenWithin of it. The incident is
// acknowledged then: somebody has it before the eyes.
func (d *Desk) Reopen(ctx context.Context, who, id string) (api.Incident, error) {
	before, err := d.store.Incident(ctx, id)
	if err != nil {
		return api.Incident{}, err
	}
	var over, closed time.Time // when its edge said that it is over; when a person last closed it
	for _, e := range before.Timeline {
		switch {
		case e.Kind == "over":
			over = e.At
		case e.Kind == "closed":
			closed = e.At
		}
	}
	return d.store.Work(ctx, who, id, func(inc *api.Incident) (*api.TimelineEntry, error) {
		if inc.State != api.StateClosed {
			return nil, nil
		}
		if time.Since(closed) > ReopenWithin {
			return nil, ErrTooLate
		}
		inc.State = api.StateAcknowledged
		if inc.Source == api.SourceReport {
			inc.Condition = detection.Open
		}
		if inc.Condition == detection.Open {
			inc.ClosedAt = nil
		} else if !over.IsZero() {
			inc.ClosedAt = &over
		}
		return &api.TimelineEntry{Kind: "reopened"}, nil
	})
}
