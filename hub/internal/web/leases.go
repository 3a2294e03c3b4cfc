package web

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/api/public"
	"gridpost/hub/internal/store/leases"
)

type viewsOutput struct {
	Body struct {
		Views []public.ViewRecord `json:"views"`
		Next  *string             `json:"next"`
	}
}

func (s *Server) registerLeases() {
	registerList(s, huma.Operation{
		OperationID: "list-views", Tags: []string{"record"}, Summary: "Who watched which camera, and why; newest first",
	}, list[*Page, leases.Lease, viewsOutput]{
		fetch: func(ctx context.Context, in *Page) ([]leases.Lease, error) {
			before, id, err := in.moment()
			if err != nil {
				return nil, err
			}
			return s.o.Leases.List(ctx, who(ctx).Scope, before, id, in.Limit)
		},
		cursor: func(last leases.Lease) string { return atMoment(last.Began, last.ID) },
		answer: func(all []leases.Lease, next *string) *viewsOutput {
			out := &viewsOutput{}
			out.Body.Views, out.Body.Next = convert(all, PresentLease), next
			return out
		},
	})
	registerRemoval(s, huma.Operation{
		OperationID: "end-view", Tags: []string{"record"}, Summary: "End a view that is going on",
	}, s.endView)
}

// endView ends somebody's view.
func (s *Server) endView(ctx context.Context, in *idInput) error {
	return s.o.Leases.EndBy(ctx, who(ctx).Scope, who(ctx).Name, in.ID)
}

// PresentLease returns a lease as the API and the live stream show it.
func PresentLease(l leases.Lease) public.ViewRecord {
	return public.ViewRecord{
		ID: l.ID, Edge: l.Edge, Device: l.Device, Site: l.Site, Who: l.Who, UserID: l.UserID, Incident: l.Incident, Reason: l.Reason,
		Began: l.Began, Until: l.Until, Ended: l.Ended, EndedWhy: l.Why.Text, EndedCode: l.Why.Code, EndedParams: l.Why.Params,
	}
}
