package web

import (
	"context"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/api/public"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/leases"
)

// ViewsFilter selects views.
type ViewsFilter struct {
	Who        string    `query:"who" maxLength:"160" doc:"a name; a user is found by every name that the user has or had"`
	Edge       string    `query:"edge" maxLength:"40"`
	Device     string    `query:"device" maxLength:"80"`
	Incident   string    `query:"incident" maxLength:"80" doc:"the ID of the incident that they were for"`
	NoIncident bool      `query:"no_incident" doc:"only those that were for no incident"`
	Since      time.Time `query:"since" doc:"began then or later"`
	Until      time.Time `query:"until" doc:"began before"`
}

func (f ViewsFilter) query(s scope.Scope) leases.Query {
	return leases.Query{
		Scope: s, Who: f.Who, Edge: f.Edge, Device: f.Device, Incident: f.Incident, NoIncident: f.NoIncident, Since: f.Since, Until: f.Until,
	}
}

type viewsInput struct {
	Page
	ViewsFilter
}

type viewsOutput struct {
	Body struct {
		Views []public.ViewRecord `json:"views"`
		Next  *string             `json:"next"`
	}
}

func (s *Server) registerLeases() {
	registerList(s, huma.Operation{
		OperationID: "list-views", Tags: []string{"record"}, Summary: "Who watched which camera, and why; newest first",
	}, list[*viewsInput, leases.Lease, viewsOutput]{
		fetch: func(ctx context.Context, in *viewsInput) (all []leases.Lease, err error) {
			q := in.query(who(ctx).Scope)
			if q.After.Began, q.After.ID, err = in.moment(); err != nil {
				return nil, err
			}
			q.Limit = in.Limit
			return s.o.Leases.List(ctx, q)
		},
		cursor: func(last leases.Lease) string { return atMoment(last.Began, last.ID) },
		answer: func(all []leases.Lease, next *string) *viewsOutput {
			out := &viewsOutput{}
			out.Body.Views, out.Body.Next = convert(all, PresentLease), next
			return out
		},
	})
	register(s, huma.Operation{
		OperationID: "export-views", Tags: []string{"record"}, Summary: "Who watched which camera, and why, as a table (CSV), newest first; the export is recorded itself",
	}, s.exportViews)
	registerRemoval(s, huma.Operation{
		OperationID: "end-view", Tags: []string{"record"}, Summary: "End a view that is going on",
	}, s.endView)
}

func (s *Server) exportViews(ctx context.Context, in *ViewsFilter) (*huma.StreamResponse, error) {
	q := in.query(who(ctx).Scope)
	q.Limit = exportPage
	return s.export(ctx, exported{
		action: "view export", name: "views",
		columns: []string{"began_at", "ended_at", "seconds", "who", "user_id", "site", "edge", "device", "incident", "reason", "ended_code", "ended_why", "file", "id"},
		page: func(ctx context.Context) (rows [][]string, last bool, err error) {
			all, err := s.o.Leases.List(ctx, q)
			for _, l := range all {
				ended, seconds := "", ""
				if l.Ended != nil {
					ended, seconds = moment(*l.Ended), strconv.FormatInt(int64(l.Ended.Sub(l.Began).Round(time.Second).Seconds()), 10)
				}
				rows = append(rows, []string{moment(l.Began), ended, seconds, l.Who, l.UserID, l.Site, l.Edge, l.Device, l.Incident, l.Reason, l.Why.Code, l.Why.Text, l.File, l.ID})
				q.After = leases.Position{Began: l.Began, ID: l.ID}
			}
			return rows, len(all) < exportPage, err
		},
	})
}

// endView ends somebody's view.
func (s *Server) endView(ctx context.Context, in *idInput) error {
	return s.o.Leases.EndBy(ctx, who(ctx).Scope, who(ctx).Name, in.ID)
}

// PresentLease returns a lease as the API and the live stream show it.
func PresentLease(l leases.Lease) public.ViewRecord {
	return public.ViewRecord{
		ID: l.ID, Edge: l.Edge, Device: l.Device, Site: l.Site, Who: l.Who, UserID: l.UserID, Incident: l.Incident, File: l.File, Reason: l.Reason,
		Began: l.Began, Until: l.Until, Ended: l.Ended, EndedWhy: l.Why.Text, EndedCode: l.Why.Code, EndedParams: l.Why.Params,
	}
}
