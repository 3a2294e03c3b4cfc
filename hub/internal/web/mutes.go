package web

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"gridpost/hub/api/public"
	"gridpost/hub/internal/present"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/incidents"
)

type mutesOutput struct {
	Body struct {
		Mutes []public.Mute `json:"mutes"`
		Next  *string       `json:"next"`
	}
}

type muteInput struct {
	Body struct {
		Edge    string `json:"edge" maxLength:"40"`
		Device  string `json:"device" maxLength:"40"`
		Rule    string `json:"rule" maxLength:"500"`
		Reason  string `json:"reason" maxLength:"500" doc:"why: it is shown to everybody and recorded"`
		Minutes int    `json:"minutes" minimum:"1" maximum:"1440" doc:"from now on"`
	}
}

type muteOutput struct {
	Body public.Mute
}

func (s *Server) registerMutes() {
	tags := []string{"mutes"}
	registerList(s, huma.Operation{
		OperationID: "list-mutes", Tags: tags, Summary: "Rules that are muted now",
	}, list[*Page, incidents.Mute, mutesOutput]{
		fetch: func(ctx context.Context, in *Page) ([]incidents.Mute, error) {
			after, err := in.parts(1)
			if err != nil {
				return nil, err
			}
			return s.o.Incidents.Mutes(ctx, who(ctx).Scope, after[0], in.Limit)
		},
		cursor: func(last incidents.Mute) string { return cursor(last.ID) },
		answer: func(all []incidents.Mute, next *string) *mutesOutput {
			out := &mutesOutput{}
			out.Body.Mutes, out.Body.Next = convert(all, present.Mute), next
			return out
		},
	})
	register(s, huma.Operation{
		OperationID: "mute-rule", Tags: tags, Summary: "Mute a rule of a device for some time",
		Description:   "Its incidents are recorded and delivered as before. Consoles raise no alarm for them and leave those that nobody has taken out of the list.",
		DefaultStatus: http.StatusCreated, Errors: []int{http.StatusNotFound},
	}, s.mute)
	registerRemoval(s, huma.Operation{
		OperationID: "end-mute", Tags: tags, Summary: "End a mute before its time",
	}, func(ctx context.Context, in *idInput) error {
		return s.o.Incidents.EndMute(ctx, who(ctx).Scope, who(ctx).Name, in.ID)
	})
}

func (s *Server) mute(ctx context.Context, in *muteInput) (*muteOutput, error) {
	reason := strings.TrimSpace(in.Body.Reason)
	if reason == "" {
		return nil, problem.New("input_empty", "field", "reason")
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	m, err := s.o.Incidents.Mute(ctx, incidents.MuteRequest{
		ID: id.String(), Who: who(ctx).Name, Scope: who(ctx).Scope, Edge: in.Body.Edge, Device: in.Body.Device, Rule: in.Body.Rule,
		Reason: reason, For: time.Duration(in.Body.Minutes) * time.Minute,
	})
	if err != nil {
		return nil, err
	}
	return &muteOutput{Body: present.Mute(m)}, nil
}
