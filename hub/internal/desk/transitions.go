package desk

import (
	"errors"
	"slices"
	"strconv"

	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/incidents"
)

// Action is what a person does to an incident.
type Action string

// The actions.
const (
	Acknowledge   Action = "acknowledge"
	Unacknowledge Action = "unacknowledge"
	Assign        Action = "assign"
	Unassign      Action = "unassign" // Assign with an empty assignee
	Note          Action = "note"
	Close         Action = "close"
	Reopen        Action = "reopen"
	Join          Action = "join"
	AddReport     Action = "add_report" // a report joins the incident
	Hold          Action = "hold"
)

// TableVersion grows when a row of the table changes. Facts of an older table stay as they are.
const TableVersion = 2

// Role is the least role that an action needs.
type Role string

// Dispatcher is the role of those who deal with incidents.
const Dispatcher Role = "dispatcher"

// Transition is a row of the table: what an action does to an incident in a state.
type Transition struct {
	From     incidents.State
	Action   Action
	May      Role
	Requires []string        // fields of the request
	To       incidents.State // afterwards
	Done     bool            // nothing is left to do: the answer is the incident as it is
	Refusal  string          // code of the refusal; empty: it is allowed
}

// Transitions returns the table. Each action has a row for each state.
func Transitions() []Transition {
	const (
		open, acknowledged, closed = incidents.Open, incidents.Acknowledged, incidents.Closed
		isClosed                   = "incident_closed"
	)
	allow := func(from incidents.State, a Action, to incidents.State, requires ...string) Transition {
		return Transition{From: from, Action: a, May: Dispatcher, To: to, Requires: requires}
	}
	done := func(from incidents.State, a Action, requires ...string) Transition {
		return Transition{From: from, Action: a, May: Dispatcher, To: from, Done: true, Requires: requires}
	}
	refuse := func(from incidents.State, a Action, code string, requires ...string) Transition {
		return Transition{From: from, Action: a, May: Dispatcher, To: from, Refusal: code, Requires: requires}
	}
	return []Transition{
		allow(open, Acknowledge, acknowledged),
		done(acknowledged, Acknowledge),
		done(closed, Acknowledge),

		done(open, Unacknowledge),
		allow(acknowledged, Unacknowledge, open),
		refuse(closed, Unacknowledge, isClosed),

		allow(open, Assign, acknowledged, "assignee"),
		allow(acknowledged, Assign, acknowledged, "assignee"),
		refuse(closed, Assign, isClosed, "assignee"),

		allow(open, Unassign, open),
		allow(acknowledged, Unassign, acknowledged),
		refuse(closed, Unassign, isClosed),

		allow(open, Note, open, "text"),
		allow(acknowledged, Note, acknowledged, "text"),
		allow(closed, Note, closed, "text"),

		allow(open, Close, closed),
		allow(acknowledged, Close, closed),
		done(closed, Close),

		done(open, Reopen),
		done(acknowledged, Reopen),
		allow(closed, Reopen, acknowledged),

		allow(open, Join, closed, "into"),
		allow(acknowledged, Join, closed, "into"),
		refuse(closed, Join, isClosed, "into"),

		allow(open, AddReport, open),
		allow(acknowledged, AddReport, acknowledged),
		refuse(closed, AddReport, isClosed),

		allow(open, Hold, open),
		allow(acknowledged, Hold, acknowledged),
		allow(closed, Hold, closed),
	}
}

// May returns the least role that an action needs.
func May(a Action) Role {
	table := Transitions()
	i := slices.IndexFunc(table, func(t Transition) bool { return t.Action == a })
	if i < 0 {
		return ""
	}
	return table[i].May
}

// find returns the row for an action on an incident, or the refusal.
func find(inc incidents.Incident, a Action) (Transition, error) {
	table := Transitions()
	i := slices.IndexFunc(table, func(t Transition) bool { return t.From == inc.State && t.Action == a })
	if i < 0 {
		return Transition{}, problem.New("incident_transition", "state", string(inc.State))
	}
	t := table[i]
	if t.Refusal != "" {
		return t, problem.New(t.Refusal)
	}
	if a == Join && inc.Source != incidents.FromReport {
		return t, problem.New("incident_not_reported")
	}
	return t, nil
}

// allowReport says whether a report may join an incident.
func allowReport(inc incidents.Incident) error {
	_, err := find(inc, AddReport)
	return err
}

// refused puts a version that does not match into a code.
func refused(inc incidents.Incident, err error) (incidents.Incident, error) {
	var version *incidents.VersionError
	if errors.As(err, &version) {
		return inc, problem.New("incident_changed", "version", strconv.Itoa(version.Current))
	}
	return inc, err
}
