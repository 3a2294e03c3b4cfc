package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api/public"
	"gridpost/hub/internal/desk"
	"gridpost/hub/internal/nearby"
	"gridpost/hub/internal/present"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/scope"
)

type reportInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"80" doc:"the same report sent again under the same key is one report"`
	Body struct {
		_        struct{}           `additionalProperties:"true"`
		Title    string             `json:"title,omitempty" maxLength:"200" doc:"one line; the first of the text unless given"`
		Text     string             `json:"text,omitempty" maxLength:"4000"`
		Kind     string             `json:"kind,omitempty" maxLength:"40" pattern:"^[a-z0-9-]*$" doc:"what sort of thing it is; report unless given"`
		Severity detection.Severity `json:"severity,omitempty" enum:"minor,moderate,severe,extreme" doc:"moderate unless given"`
		Place    *devices.Place     `json:"place,omitempty"`
		At       time.Time          `json:"at,omitzero" doc:"when it happened; now unless given; at most 5 minutes ahead and 5 years ago"`
		Join     string             `json:"join,omitempty" maxLength:"80" doc:"ID of the incident that it joins; it opens one unless given"`
		Site     string             `json:"site,omitempty" maxLength:"40" doc:"site of the incident that it opens; unless given, the caller's if that is one, else that of the nearest camera of the caller's sites; of no site if the caller sees all"`
	}
}

type reportOutput struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     public.Incident
}

func (s *Server) registerReports(tags []string) {
	register(s, huma.Operation{
		OperationID: "report", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary:     "Open an incident for what a person or another system reports, or add the report to one",
		Description: "The incident that a person opens begins acknowledged and assigned to them; that of a program, which reports with a token, begins open.",
		Errors:      []int{http.StatusNotFound, http.StatusConflict},
	}, s.report)
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
		return nil, problem.New("place_invalid")
	}
	site, err := s.siteOfReport(ctx, b.Join, b.Site, b.Place)
	if err != nil {
		return nil, err
	}
	caller := who(ctx)
	inc, err := s.desk.Report(ctx, caller.Name, caller.Scope, desk.Report{
		Title: b.Title, Text: b.Text, Kind: b.Kind, Severity: b.Severity, Place: b.Place, At: b.At, Key: in.Key, Join: b.Join, Site: site,
		Taken: caller.ID != "", // a person has seen what they report; a program cannot deal with it
	})
	if err != nil {
		return nil, err
	}
	out, err := whole(inc, nil)
	if err != nil {
		return nil, err
	}
	return &reportOutput{Location: "/api/v1/incidents/" + inc.ID, ETag: out.ETag, Body: present.Incident(inc)}, nil
}

// reportRadius is how far from the place of a report the camera may be whose site the report gets, in metres.
const reportRadius = 50_000

// siteOfReport returns the site of the incident that a report opens: one that the caller sees, or none if the
// caller sees all sites and names none.
func (s *Server) siteOfReport(ctx context.Context, join, site string, at *devices.Place) (string, error) {
	in := who(ctx).Scope
	if join != "" {
		return "", nil // the incident has its site
	}
	if site != "" {
		if !in.Allows(site) {
			return "", problem.New("site_unknown", "name", site)
		}
		all, err := s.o.Edges.Edges(ctx, scope.Sites(site))
		if err == nil && len(all) == 0 {
			err = problem.New("site_unknown", "name", site)
		}
		return site, err
	}
	if in.IsAll() {
		return "", nil
	}
	if names := in.Names(); len(names) == 1 {
		return names[0], nil
	}
	if at == nil {
		return "", problem.New("report_site_missing")
	}
	near, err := s.o.Edges.CamerasWithin(ctx, in, at.Lat, at.Lon, reportRadius)
	if err != nil {
		return "", err
	}
	if len(near) == 0 {
		return "", problem.New("report_site_missing")
	}
	nearest := slices.MinFunc(rankCameras(*at, near), func(a, b nearby.Ranked) int { return cmp.Compare(a.Distance, b.Distance) })
	for _, d := range near {
		if d.Edge == nearest.Edge && d.Name == nearest.Device {
			site = d.Site
		}
	}
	return site, nil
}

func onEarth(lat, lon float64) bool {
	return lat >= -90 && lat <= 90 && lon >= -180 && lon <= 180
}
