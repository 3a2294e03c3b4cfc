package desk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/incidents"
)

// model is what an incident must be after a history of actions and alerts, written down apart from the
// table and the repository.
type model struct {
	state    incidents.State
	holds    bool
	closed   bool // closed_at is set
	ended    bool
	assignee string
	outcome  incidents.Outcome
	by       string
	held     bool
	version  int
	facts    int
	edge     int // newest version of the edge's alerts
}

// step is one action or alert. It returns the refusal that is expected.
func (m *model) step(name, who string) (refusal string) {
	changed := func() { m.version++; m.facts++ }
	switch name {
	case "acknowledge":
		if m.state == incidents.Open {
			m.state, m.by = incidents.Acknowledged, who
			changed()
		}
	case "unacknowledge":
		switch m.state {
		case incidents.Closed:
			return "incident_closed"
		case incidents.Acknowledged:
			m.state, m.by, m.assignee = incidents.Open, "", ""
			changed()
		}
	case "assign", "unassign":
		if m.state == incidents.Closed {
			return "incident_closed"
		}
		assignee := ""
		if name == "assign" {
			assignee = "for " + who
		}
		if m.assignee == assignee {
			return ""
		}
		m.assignee = assignee
		if name == "assign" {
			m.state = incidents.Acknowledged
		}
		if m.state == incidents.Acknowledged {
			m.by = who
		}
		changed()
	case "note":
		changed()
	case "close":
		if m.state != incidents.Closed {
			m.state, m.by, m.outcome, m.closed = incidents.Closed, who, incidents.HandedOn, true
			changed()
		}
	case "reopen":
		if m.state == incidents.Closed {
			m.state, m.by, m.outcome, m.closed = incidents.Acknowledged, who, "", m.ended
			changed()
		}
	case "hold", "release":
		if m.held != (name == "hold") {
			m.held = !m.held
			changed()
		}
	case "alert":
		m.edge++
		if !m.holds {
			m.holds, m.ended = true, false
			if m.state != incidents.Closed {
				m.closed = false
			}
		}
		changed()
	case "over":
		m.edge++
		m.holds, m.ended, m.closed = false, true, true
		changed()
	case "old alert":
	}
	return ""
}

func (m *model) check(inc incidents.Incident) error {
	got := model{
		state: inc.State, holds: inc.Condition == detection.Open, closed: inc.ClosedAt != nil, ended: inc.EndedAt != nil, assignee: inc.Assignee,
		outcome: inc.Outcome, by: inc.StateBy, held: inc.Held, version: inc.Version, facts: len(inc.Facts), edge: m.edge,
	}
	if got != *m {
		return fmt.Errorf("incident %+v, want %+v", got, *m)
	}
	for i, f := range inc.Facts {
		if f.OccurredAt.After(f.RecordedAt) || i > 0 && f.RecordedAt.Before(inc.Facts[i-1].RecordedAt) {
			return fmt.Errorf("fact %d (%s) occurred at %v and was recorded at %v", i, f.Kind, f.OccurredAt, f.RecordedAt)
		}
	}
	return nil
}

// TestInterleavings lets people and an edge act on one incident in random order, each with the version
// that it has seen, which may be old, and compares the incident with the model after each step.
func TestInterleavings(t *testing.T) {
	steps := []string{"acknowledge", "unacknowledge", "assign", "unassign", "note", "close", "reopen", "hold", "release", "alert", "over", "old alert"}
	eachDesk(t, func(t *testing.T, d *db.DB, r *incidents.Repository, desk *Desk) {
		for round := range 4 {
			seed := rand.Uint64()
			rng := rand.New(rand.NewPCG(seed, 1))
			id := fmt.Sprintf("0190f000-0000-7000-8000-00000000000%d", round)
			a := alarm(t, d, r, id)
			m := model{state: incidents.Open, holds: true, version: 1, facts: 1, edge: 1}
			var history []string
			for range 40 {
				name, who := steps[rng.IntN(len(steps))], []string{"li", "wang"}[rng.IntN(2)]
				req := Request{Who: who, Scope: scope.All(), ID: id}
				switch rng.IntN(4) {
				case 0:
					req.Versions = []int{m.version}
				case 1:
					req.Versions = []int{m.version - 1}
				}
				history = append(history, fmt.Sprintf("%s by %s with %v", name, who, req.Versions))
				want := ""
				person := name != "alert" && name != "over" && name != "old alert"
				if person && req.Versions != nil && req.Versions[0] != m.version {
					want = "incident_changed"
				} else {
					want = m.step(name, who)
				}
				err := perform(t, d, r, desk, name, req, a, m.edge)
				if want == "" && err != nil || want != "" && !errors.Is(err, problem.New(want)) {
					t.Fatalf("%v, want %q; seed %d: %q", err, want, seed, history)
				}
				inc, err := r.Get(t.Context(), scope.All(), id)
				if err != nil {
					t.Fatal(err)
				}
				if err := m.check(inc); err != nil {
					t.Fatalf("%v; seed %d: %q", err, seed, history)
				}
			}
		}
	})
}

// perform carries out one step on the hub.
func perform(t *testing.T, d *db.DB, r *incidents.Repository, desk *Desk, name string, req Request, a incidents.Alert, version int) error {
	t.Helper()
	ctx := t.Context()
	switch name {
	case "acknowledge":
		return second(desk.Acknowledge(ctx, req))
	case "unacknowledge":
		return second(desk.Unacknowledge(ctx, req))
	case "assign":
		return second(desk.Assign(ctx, req, "for "+req.Who))
	case "unassign":
		return second(desk.Assign(ctx, req, ""))
	case "note":
		return second(desk.Note(ctx, req, "a note"))
	case "close":
		return second(desk.Close(ctx, req, incidents.HandedOn, "done"))
	case "reopen":
		return second(desk.Reopen(ctx, req, ""))
	case "hold", "release":
		return second(desk.Hold(ctx, req, name == "hold"))
	}
	a.Incident.Version = version
	if name == "old alert" {
		a.Incident.Version = 1
	}
	if name == "over" {
		a.Incident.State, a.Ended = detection.Closed, time.Now()
	}
	apply(t, d, r, a)
	return nil
}
