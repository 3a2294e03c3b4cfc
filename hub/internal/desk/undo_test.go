package desk

import (
	"context"
	"errors"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/hub/api"
)

func (o *oneIncident) Incident(context.Context, string) (api.Incident, error) { return o.inc, nil }

func TestReopenEnds(t *testing.T) {
	closed := time.Now().Add(-ReopenWithin - time.Second)
	s := &oneIncident{inc: api.Incident{
		State: api.StateClosed, ClosedAt: &closed, Condition: detection.Open,
		Timeline: []api.TimelineEntry{{Kind: "closed", At: closed}, {Kind: "noted", At: time.Now()}},
	}}
	if _, err := New(s).Reopen(t.Context(), "li", "x"); !errors.Is(err, ErrTooLate) || s.inc.State != api.StateClosed {
		t.Errorf("%v, %+v", err, s.inc)
	}
}

func TestReopenKeepsWhenItWasOver(t *testing.T) {
	over := time.Now().Add(-5 * time.Second).Round(0)
	closed := over.Add(-5 * time.Second)
	s := &oneIncident{inc: api.Incident{
		State: api.StateClosed, ClosedAt: &closed, Condition: detection.Closed,
		Timeline: []api.TimelineEntry{{Kind: "closed", At: closed}, {Kind: "over", At: over}},
	}}
	inc, err := New(s).Reopen(t.Context(), "li", "x")
	if err != nil || inc.ClosedAt == nil || !inc.ClosedAt.Equal(over) || inc.State != api.StateAcknowledged {
		t.Errorf("%v, %+v", err, inc)
	}
}

func TestReopenAReport(t *testing.T) {
	closed := time.Now()
	s := &oneIncident{inc: api.Incident{
		Source: api.SourceReport, State: api.StateClosed, ClosedAt: &closed, Condition: detection.Closed,
		Timeline: []api.TimelineEntry{{Kind: "closed", At: closed}},
	}}
	inc, err := New(s).Reopen(t.Context(), "li", "x")
	if err != nil || inc.ClosedAt != nil || inc.Condition != detection.Open {
		t.Errorf("%v, %+v", err, inc)
	}
}
