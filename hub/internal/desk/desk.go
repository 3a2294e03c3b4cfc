// Package desk is where people deal with incidents: they acknowledge, assign, note, close and reopen
// them, and report what no edge has detected.
//
// What always holds: what an action does depends on the table of transitions alone; doing a thing twice is
// the same as doing it once, except for a note; every action is in the incident's timeline and in the
// audit log with who did it. The package must not import the web package, which decides who may call.
package desk

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gridpost/detection"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/incidents"
)

// Bounds of what people write, in characters.
const (
	MaxText  = 4000
	MaxTitle = 200
	MaxName  = 80
)

// Store stores incidents. Each call that changes something is one transaction.
type Store interface {
	Edit(ctx context.Context, e incidents.Edit) (incidents.Incident, error)
	Join(ctx context.Context, j incidents.Join) (incidents.Incident, error)
	AddReport(ctx context.Context, n incidents.NewReport) (incident string, err error)
	Get(ctx context.Context, s scope.Scope, id string) (incidents.Incident, error)
}

// Desk does what people ask for. Its methods may be called from any goroutine.
type Desk struct {
	store Store
	now   func() time.Time
}

// New returns a desk over a store. now is the hub's clock.
func New(s Store, now func() time.Time) *Desk { return &Desk{store: s, now: now} }

// Request says who acts on which incident.
type Request struct {
	Who      string
	Scope    scope.Scope
	ID       string
	Versions []int // of the incident that the person has seen, any of which it must have; nil: any version
}

// Acknowledge says that somebody has seen the incident. The first one's name stays.
func (d *Desk) Acknowledge(ctx context.Context, r Request) (incidents.Incident, error) {
	return d.do(ctx, r, Acknowledge, func(inc *incidents.Incident) *incidents.Fact {
		inc.StateBy = r.Who
		return &incidents.Fact{Kind: incidents.FactAcknowledged}
	})
}

// Unacknowledge takes an acknowledgement back: the incident waits for somebody again, and is nobody's.
func (d *Desk) Unacknowledge(ctx context.Context, r Request) (incidents.Incident, error) {
	return d.do(ctx, r, Unacknowledge, func(inc *incidents.Incident) *incidents.Fact {
		inc.Assignee, inc.StateBy = "", ""
		return &incidents.Fact{Kind: incidents.FactUnacknowledged}
	})
}

// Assign gives the incident to somebody, which acknowledges it too; an empty assignee takes it back.
func (d *Desk) Assign(ctx context.Context, r Request, assignee string) (incidents.Incident, error) {
	assignee, err := line("assignee", assignee, MaxName)
	if err != nil {
		return incidents.Incident{}, err
	}
	action := Assign
	if assignee == "" {
		action = Unassign
	}
	return d.do(ctx, r, action, func(inc *incidents.Incident) *incidents.Fact {
		if inc.Assignee == assignee {
			return nil
		}
		inc.Assignee = assignee
		if inc.State == incidents.Acknowledged {
			inc.StateBy = r.Who
		}
		return &incidents.Fact{Kind: incidents.FactAssigned, Text: assignee}
	})
}

// Note adds a text to the incident's timeline, also after it was closed.
func (d *Desk) Note(ctx context.Context, r Request, text string) (incidents.Incident, error) {
	text, err := prose("text", text)
	if err != nil {
		return incidents.Incident{}, err
	}
	if text == "" {
		return incidents.Incident{}, problem.New("input_empty", "field", "text")
	}
	return d.do(ctx, r, Note, func(*incidents.Incident) *incidents.Fact {
		return &incidents.Fact{Kind: incidents.FactNoted, Text: text}
	})
}

// Close says that nothing is left to be done, and what came of it; outcome may be empty. The condition
// itself may still hold; what its edge says of it is still recorded.
func (d *Desk) Close(ctx context.Context, r Request, outcome incidents.Outcome, text string) (incidents.Incident, error) {
	text, err := prose("text", text)
	if err != nil {
		return incidents.Incident{}, err
	}
	switch outcome {
	case "", incidents.FalseAlarm, incidents.DealtWith, incidents.HandedOn, incidents.Other:
	default:
		return incidents.Incident{}, problem.New("outcome_unknown", "outcome", string(outcome))
	}
	return d.do(ctx, r, Close, func(inc *incidents.Incident) *incidents.Fact {
		d.close(inc, r.Who, outcome)
		f := incidents.Fact{Kind: incidents.FactClosed, Text: text}
		if outcome == "" {
			return &f
		}
		return f.WithData(incidents.OutcomeData{Outcome: outcome})
	})
}

func (d *Desk) close(inc *incidents.Incident, who string, outcome incidents.Outcome) {
	now := d.now()
	inc.StateBy, inc.Outcome = who, outcome
	if inc.ClosedAt == nil {
		inc.ClosedAt = &now
	}
	if inc.Source == incidents.FromReport && inc.Condition == detection.Open {
		inc.Condition, inc.EndedAt = detection.Closed, &now
	}
}

// Reopen opens a closed incident again, at any time. It is acknowledged then: somebody has seen it. The
// closing stays in the timeline.
func (d *Desk) Reopen(ctx context.Context, r Request, text string) (incidents.Incident, error) {
	text, err := prose("text", text)
	if err != nil {
		return incidents.Incident{}, err
	}
	return d.do(ctx, r, Reopen, func(inc *incidents.Incident) *incidents.Fact {
		inc.StateBy, inc.Outcome = r.Who, ""
		if inc.Source == incidents.FromReport {
			inc.Condition, inc.EndedAt = detection.Open, nil
		}
		inc.ClosedAt = inc.EndedAt
		return &incidents.Fact{Kind: incidents.FactReopened, Text: text}
	})
}

// Hold says whether retention must keep the incident and all that belongs to it.
func (d *Desk) Hold(ctx context.Context, r Request, held bool) (incidents.Incident, error) {
	return d.do(ctx, r, Hold, func(inc *incidents.Incident) *incidents.Fact {
		if inc.Held == held {
			return nil
		}
		inc.Held = held
		if held {
			return &incidents.Fact{Kind: incidents.FactHeld}
		}
		return &incidents.Fact{Kind: incidents.FactReleased}
	})
}

// Join moves the reports of an incident that people reported to another incident, and closes it.
func (d *Desk) Join(ctx context.Context, r Request, into string) (incidents.Incident, error) {
	if into == r.ID {
		return incidents.Incident{}, problem.New("incident_join_self")
	}
	return refused(d.store.Join(ctx, incidents.Join{
		Edit: d.edit(r, Join, func(inc *incidents.Incident) *incidents.Fact {
			d.close(inc, r.Who, incidents.Joined)
			return &incidents.Fact{Kind: incidents.FactJoined}
		}),
		Into:  into,
		Allow: allowReport,
	}))
}

// do carries out an action as the table says. effect changes what belongs to the action beside the state,
// and returns the fact of it; nil: there is nothing to do.
func (d *Desk) do(ctx context.Context, r Request, a Action, effect func(*incidents.Incident) *incidents.Fact) (incidents.Incident, error) {
	return refused(d.store.Edit(ctx, d.edit(r, a, effect)))
}

func (d *Desk) edit(r Request, a Action, effect func(*incidents.Incident) *incidents.Fact) incidents.Edit {
	apply := func(inc *incidents.Incident) (*incidents.Fact, error) {
		t, err := find(*inc, a)
		if err != nil || t.Done {
			return nil, err
		}
		before := inc.State
		inc.State = t.To
		f := effect(inc)
		if f == nil {
			inc.State = before
		}
		return f, nil
	}
	return incidents.Edit{Who: r.Who, ID: r.ID, Scope: r.Scope, Versions: r.Versions, Apply: apply}
}

// line checks a text of one line.
func line(name, text string, limit int) (string, error) {
	text = strings.TrimSpace(text)
	if strings.ContainsAny(text, "\r\n\x00") || !utf8.ValidString(text) || utf8.RuneCountInString(text) > limit {
		return "", problem.New("input_not_one_line", "field", name, "count", strconv.Itoa(limit))
	}
	return text, nil
}

func prose(name, text string) (string, error) {
	text = strings.TrimSpace(text)
	if strings.ContainsRune(text, 0) || !utf8.ValidString(text) || utf8.RuneCountInString(text) > MaxText {
		return "", problem.New("input_too_long", "field", name, "count", strconv.Itoa(MaxText))
	}
	return text, nil
}
