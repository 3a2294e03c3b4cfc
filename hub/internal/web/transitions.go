package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/internal/desk"
	"gridpost/hub/internal/store/incidents"
)

// Action is the input of every action on an incident.
type Action struct {
	ID      string `path:"id" maxLength:"80"`
	IfMatch string `header:"If-Match" maxLength:"200" doc:"the ETag of the incident as the caller has seen it: 412 if it has changed since"`
}

// request returns who acts on which incident.
func (in *Action) request(ctx context.Context) desk.Request {
	return desk.Request{Who: who(ctx).Name, Scope: who(ctx).Scope, ID: in.ID, Versions: versions(in.IfMatch)}
}

// versions reads If-Match (RFC 9110, section 13.1.1): nil matches any version. A weak tag matches none.
func versions(ifMatch string) []int {
	if ifMatch = strings.TrimSpace(ifMatch); ifMatch == "" || ifMatch == "*" {
		return nil
	}
	all := []int{}
	for tag := range strings.SplitSeq(ifMatch, ",") {
		tag, quoted := strings.CutPrefix(strings.TrimSpace(tag), `"`)
		tag, closed := strings.CutSuffix(tag, `"`)
		n, err := strconv.Atoi(tag)
		if quoted && closed && err == nil {
			all = append(all, n)
		}
	}
	return all
}

type assignInput struct {
	Action
	Body struct {
		Assignee string `json:"assignee" maxLength:"80" doc:"empty: nobody"`
	}
}

type noteInput struct {
	Action
	Body struct {
		Text string `json:"text" maxLength:"4000"`
	}
}

type closeInput struct {
	Action
	Body *struct {
		Text    string            `json:"text,omitempty" maxLength:"4000"`
		Outcome incidents.Outcome `json:"outcome,omitempty" enum:"false_alarm,dealt_with,handed_on,other"`
	} `required:"false"`
}

type reopenInput struct {
	Action
	Body *struct {
		Text string `json:"text,omitempty" maxLength:"4000"`
	} `required:"false"`
}

type holdInput struct {
	Action
	Body struct {
		Held bool `json:"held" doc:"true: it is not deleted, however old it becomes"`
	}
}

type joinInput struct {
	Action
	Body struct {
		Into string `json:"into" maxLength:"80" doc:"ID of the incident that gets its reports"`
	}
}

// transition is a row of the table of transitions.
type transition struct {
	State    incidents.State `json:"state" enum:"open,acknowledged,closed"`
	Action   desk.Action     `json:"action"`
	Role     desk.Role       `json:"role" doc:"the least that may"`
	Requires []string        `json:"requires" doc:"fields of the request"`
	To       incidents.State `json:"to" enum:"open,acknowledged,closed" doc:"the state afterwards"`
	Done     bool            `json:"done,omitempty" doc:"nothing changes: it is done already"`
	Refusal  string          `json:"refusal,omitempty" doc:"code of the refusal"`
}

type transitionsOutput struct {
	Body struct {
		Version     int          `json:"version"`
		Transitions []transition `json:"transitions"`
	}
}

// registerTransitions adds what people do to incidents.
func (s *Server) registerTransitions(tags []string) {
	register(s, huma.Operation{
		OperationID: "list-transitions", Tags: tags,
		Summary: "What each action does to an incident in each state",
	}, listTransitions)
	act(s, tags, "acknowledge-incident", "Say that it has been seen", func(ctx context.Context, in *Action) (incidents.Incident, error) {
		return s.desk.Acknowledge(ctx, in.request(ctx))
	})
	act(s, tags, "unacknowledge-incident", "Take an acknowledgement back: it waits for somebody again", func(ctx context.Context, in *Action) (incidents.Incident, error) {
		return s.desk.Unacknowledge(ctx, in.request(ctx))
	})
	act(s, tags, "assign-incident", "Give it to somebody", func(ctx context.Context, in *assignInput) (incidents.Incident, error) {
		return s.desk.Assign(ctx, in.request(ctx), in.Body.Assignee)
	})
	act(s, tags, "notes-incident", "Add a note", func(ctx context.Context, in *noteInput) (incidents.Incident, error) {
		return s.desk.Note(ctx, in.request(ctx), in.Body.Text)
	})
	act(s, tags, "close-incident", "Say that nothing is left to be done, and what came of it", func(ctx context.Context, in *closeInput) (incidents.Incident, error) {
		if in.Body == nil {
			return s.desk.Close(ctx, in.request(ctx), "", "")
		}
		return s.desk.Close(ctx, in.request(ctx), in.Body.Outcome, in.Body.Text)
	})
	act(s, tags, "reopen-incident", "Open it again after it was closed", func(ctx context.Context, in *reopenInput) (incidents.Incident, error) {
		if in.Body == nil {
			return s.desk.Reopen(ctx, in.request(ctx), "")
		}
		return s.desk.Reopen(ctx, in.request(ctx), in.Body.Text)
	})
	act(s, tags, "hold-incident", "Say whether it may be deleted when it is old", func(ctx context.Context, in *holdInput) (incidents.Incident, error) {
		return s.desk.Hold(ctx, in.request(ctx), in.Body.Held)
	})
	act(s, tags, "join-incident", "Move its reports to another incident and close it", func(ctx context.Context, in *joinInput) (incidents.Incident, error) {
		return s.desk.Join(ctx, in.request(ctx), in.Body.Into)
	})
}

// act adds an action on an incident.
func act[I any](s *Server, tags []string, id, summary string, handle func(context.Context, *I) (incidents.Incident, error)) {
	register(s, huma.Operation{
		OperationID: id, Tags: tags, Summary: summary,
		Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed}, DefaultStatus: http.StatusOK,
	}, func(ctx context.Context, in *I) (*incidentOutput, error) {
		return whole(handle(ctx, in))
	})
}

func listTransitions(context.Context, *struct{}) (*transitionsOutput, error) {
	out := &transitionsOutput{}
	out.Body.Version, out.Body.Transitions = desk.TableVersion, []transition{}
	for _, t := range desk.Transitions() {
		if t.Requires == nil {
			t.Requires = []string{}
		}
		out.Body.Transitions = append(out.Body.Transitions, transition{
			State: t.From, Action: t.Action, Role: t.May, Requires: t.Requires, To: t.To, Done: t.Done, Refusal: t.Refusal,
		})
	}
	return out, nil
}
