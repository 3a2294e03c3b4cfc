package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/desk"
	"gridpost/hub/internal/store"
)

type incidentsInput struct {
	Page
	State    string             `query:"state" enum:"open,acknowledged,closed,unclosed"`
	Edge     string             `query:"edge" maxLength:"40"`
	Device   string             `query:"device" maxLength:"40"`
	Severity detection.Severity `query:"severity" enum:"minor,moderate,severe,extreme"`
	Since    time.Time          `query:"since" doc:"opened then or later"`
}

type incidentsOutput struct {
	Body struct {
		Incidents []api.Incident `json:"incidents"`
		Next      *string        `json:"next" doc:"for the page after this one; null: this is the last"`
	}
}

type incidentInput struct {
	ID string `path:"id" maxLength:"80"`
}

type incidentOutput struct{ Body api.Incident }

type textInput struct {
	ID   string `path:"id" maxLength:"80"`
	Body struct {
		Text string `json:"text" maxLength:"4000"`
	}
}

type optionalTextInput struct {
	ID   string `path:"id" maxLength:"80"`
	Body *struct {
		Text string `json:"text,omitempty" maxLength:"4000"`
	} `required:"false"`
}

type assignInput struct {
	ID   string `path:"id" maxLength:"80"`
	Body struct {
		Assignee string `json:"assignee" maxLength:"80" doc:"empty: nobody"`
	}
}

type reportInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"80" doc:"the same report sent again under the same key is one incident"`
	Body struct {
		_        struct{}           `additionalProperties:"true"`
		Title    string             `json:"title,omitempty" maxLength:"200" doc:"one line; the first of the text unless given"`
		Text     string             `json:"text,omitempty" maxLength:"4000"`
		Kind     string             `json:"kind,omitempty" maxLength:"40" pattern:"^[a-z0-9-]*$" doc:"what sort of thing it is; report unless given"`
		Severity detection.Severity `json:"severity,omitempty" enum:"minor,moderate,severe,extreme" doc:"moderate unless given"`
		Place    *devices.Place     `json:"place,omitempty"`
		At       time.Time          `json:"at,omitzero" doc:"when it happened; now unless given"`
	}
}

type reportOutput struct {
	Location string `header:"Location"`
	Body     api.Incident
}

func (s *Server) registerIncidents() {
	tags := []string{"incidents"}
	register(s, auth.Monitor, huma.Operation{
		OperationID: "list-incidents", Method: http.MethodGet, Path: "/api/v1/incidents", Tags: tags, Summary: "Incidents, newest first",
	}, s.listIncidents)
	register(s, auth.Monitor, huma.Operation{
		OperationID: "get-incident", Method: http.MethodGet, Path: "/api/v1/incidents/{id}", Tags: tags, Summary: "One incident with its timeline",
		Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *incidentInput) (*incidentOutput, error) {
		return whole(s.o.Store.Incident(ctx, in.ID))
	})
	act := func(verb, summary string) huma.Operation {
		return huma.Operation{
			OperationID: verb + "-incident", Method: http.MethodPost, Path: "/api/v1/incidents/{id}/" + verb, Tags: tags, Summary: summary,
			Errors: []int{http.StatusNotFound, http.StatusConflict}, DefaultStatus: http.StatusOK,
		}
	}
	register(s, auth.Dispatcher, act("acknowledge", "Say that it has been seen"), func(ctx context.Context, in *incidentInput) (*incidentOutput, error) {
		return whole(s.desk.Acknowledge(ctx, who(ctx).Name, in.ID))
	})
	register(s, auth.Dispatcher, act("assign", "Give it to somebody"), func(ctx context.Context, in *assignInput) (*incidentOutput, error) {
		return whole(s.desk.Assign(ctx, who(ctx).Name, in.ID, in.Body.Assignee))
	})
	register(s, auth.Dispatcher, act("notes", "Add a note"), func(ctx context.Context, in *textInput) (*incidentOutput, error) {
		return whole(s.desk.Note(ctx, who(ctx).Name, in.ID, in.Body.Text))
	})
	register(s, auth.Dispatcher, act("close", "Say that it is done with"), func(ctx context.Context, in *optionalTextInput) (*incidentOutput, error) {
		text := ""
		if in.Body != nil {
			text = in.Body.Text
		}
		return whole(s.desk.Close(ctx, who(ctx).Name, in.ID, text))
	})
	s.registerUndo(tags)
	register(s, auth.Dispatcher, huma.Operation{
		OperationID: "report", Method: http.MethodPost, Path: "/api/v1/reports", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Open an incident for what a person, or another system, has told",
	}, s.report)
}

func whole(inc api.Incident, err error) (*incidentOutput, error) {
	if err != nil {
		return nil, err
	}
	return &incidentOutput{Body: inc}, nil
}

func (s *Server) listIncidents(ctx context.Context, in *incidentsInput) (*incidentsOutput, error) {
	before, id, err := in.moment()
	if err != nil {
		return nil, err
	}
	all, err := s.o.Store.Incidents(ctx, store.IncidentQuery{
		State: in.State, Edge: in.Edge, Device: in.Device, Severity: in.Severity, Since: in.Since,
		BeforeTime: before, BeforeID: id, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	out := &incidentsOutput{}
	out.Body.Incidents = all
	out.Body.Next = next(in.Page, all, func(last api.Incident) string { return atMoment(last.OpenedAt, last.ID) })
	return out, nil
}

func (s *Server) report(ctx context.Context, in *reportInput) (*reportOutput, error) {
	b := in.Body
	if b.Title == "" {
		first, _, _ := strings.Cut(strings.TrimSpace(b.Text), "\n")
		if runes := []rune(first); len(runes) > desk.MaxTitle {
			first = string(runes[:desk.MaxTitle-1]) + "…"
		}
		b.Title = first
	}
	if p := b.Place; p != nil && !onEarth(p.Lat, p.Lon) {
		return nil, fmt.Errorf("%w: place is not on the Earth", desk.ErrInput)
	}
	inc, err := s.desk.Report(ctx, who(ctx).Name, desk.Report{
		Title: b.Title, Text: b.Text, Kind: b.Kind, Severity: b.Severity, Place: b.Place, At: b.At, Key: in.Key,
	})
	if err != nil {
		return nil, err
	}
	return &reportOutput{Location: "/api/v1/incidents/" + inc.ID, Body: inc}, nil
}

func onEarth(lat, lon float64) bool {
	return lat >= -90 && lat <= 90 && lon >= -180 && lon <= 180
}
