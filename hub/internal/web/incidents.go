package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/detection"
	"gridpost/hub/api/public"
	"gridpost/hub/internal/present"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/incidents"
)

// IncidentFilter says which incidents are listed or exported, and in which order.
type IncidentFilter struct {
	State     incidents.State         `query:"state" enum:"open,acknowledged,closed,unclosed"`
	Condition detection.IncidentState `query:"condition" enum:"open,closed" doc:"whether what opened it still holds"`
	Edge      string                  `query:"edge" maxLength:"40"`
	Device    string                  `query:"device" maxLength:"40"`
	Rule      string                  `query:"rule" maxLength:"500"`
	Kind      string                  `query:"kind" maxLength:"40" doc:"kind of the rule, or of the report"`
	Severity  []detection.Severity    `query:"severity" enum:"minor,moderate,severe,extreme" maxItems:"4" doc:"one of these, separated by commas"`
	Site      string                  `query:"site" maxLength:"80"`
	Source    incidents.Source        `query:"source" enum:"edge,report"`
	Assignee  string                  `query:"assignee" maxLength:"80"`
	Outcome   incidents.Outcome       `query:"outcome" enum:"false_alarm,dealt_with,handed_on,other,joined" doc:"what came of it"`
	Group     string                  `query:"group" maxLength:"80" doc:"incidents of one group"`
	Since     time.Time               `query:"since" doc:"occurred then or later"`
	Until     time.Time               `query:"until" doc:"occurred before"`
	Text      string                  `query:"q" maxLength:"200" doc:"words that are all found in its title, names, notes or reports; the order by time is then that of arrival"`
	Sort      string                  `query:"sort" enum:"occurred,severity,state,device" default:"occurred" doc:"device: by site, edge and device, not together with q; of the same severity or state the newest first"`
	Order     string                  `query:"order" enum:"asc,desc" default:"desc"`
}

type incidentsInput struct {
	Page
	IncidentFilter
	IDs     []string `query:"ids" maxItems:"200" doc:"only these incidents, or groups when grouped, separated by commas; unknown ones are left out"`
	Grouped bool     `query:"grouped" doc:"groups instead of incidents; not together with q, assignee, outcome, group or another order"`
}

type incidentsOutput struct {
	Body struct {
		Incidents []public.Incident      `json:"incidents"`
		Groups    []public.IncidentGroup `json:"groups,omitempty" doc:"when grouped; incidents is empty then"`
		Next      *string                `json:"next" doc:"for the page after this one; null: this is the last"`
	}
}

type incidentOutput struct {
	ETag string `header:"ETag" doc:"its version, for If-Match"`
	Body public.Incident
}

type countsOutput struct {
	Body struct {
		Counts []public.IncidentCount `json:"counts" doc:"exact; pairs without incidents are left out"`
	}
}

type noiseInput struct {
	Day   string `query:"day" pattern:"^[0-9]{4}-[0-9]{2}-[0-9]{2}$" doc:"today unless given"`
	Zone  string `query:"tz" maxLength:"60" default:"UTC" doc:"IANA time zone of the day, such as Asia/Shanghai"`
	Limit int    `query:"limit" default:"20" minimum:"1" maximum:"200"`
}

type noiseOutput struct {
	Body struct {
		Day   string             `json:"day"`
		Zone  string             `json:"tz"`
		Since time.Time          `json:"since"`
		Until time.Time          `json:"until"`
		Rules []public.NoisyRule `json:"rules" doc:"the noisiest first"`
	}
}

func (s *Server) registerIncidents() {
	tags := []string{"incidents"}
	register(s, huma.Operation{
		OperationID: "list-incidents", Tags: tags, Summary: "Incidents or groups of them, newest first unless sorted otherwise",
	}, s.listIncidents)
	s.registerExport(tags)
	register(s, huma.Operation{
		OperationID: "get-incident", Tags: tags, Summary: "One incident with its timeline and reports",
		Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *struct {
		ID string `path:"id" maxLength:"80"`
	},
	) (*incidentOutput, error) {
		return whole(s.o.Incidents.Get(ctx, who(ctx).Scope, in.ID))
	})
	register(s, huma.Operation{
		OperationID: "count-incidents", Tags: tags,
		Summary: "How many incidents have each state and severity",
	}, s.countIncidents)
	register(s, huma.Operation{
		OperationID: "list-noise", Tags: tags,
		Summary: "The rules that opened the most incidents in a day",
	}, s.noise)
	s.registerTransitions(tags)
	s.registerReports(tags)
	s.registerMutes()
}

// whole answers with one incident and its entity tag.
func whole(inc incidents.Incident, err error) (*incidentOutput, error) {
	if err != nil {
		return nil, err
	}
	return &incidentOutput{ETag: `"` + strconv.Itoa(inc.Version) + `"`, Body: present.Incident(inc)}, nil
}

func (f *IncidentFilter) query(s scope.Scope) incidents.Query {
	q := incidents.Query{
		Scope: s, State: f.State, Condition: f.Condition, Edge: f.Edge, Device: f.Device, Rule: f.Rule, Kind: f.Kind,
		Severities: f.Severity, Site: f.Site, Source: f.Source, Assignee: f.Assignee, Outcome: f.Outcome, Group: f.Group,
		Since: f.Since, Until: f.Until, Text: f.Text, Sort: incidents.Sort(f.Sort), Ascending: f.Order == "asc",
	}
	if f.Sort == "occurred" {
		q.Sort = incidents.ByTime
	}
	return q
}

func (s *Server) listIncidents(ctx context.Context, in *incidentsInput) (*incidentsOutput, error) {
	q := in.query(who(ctx).Scope)
	q.IDs, q.Limit = in.IDs, in.Limit
	if in.Grouped {
		return s.listGroups(ctx, in, q)
	}
	var err error
	if q.After, err = in.incidentPosition(q.Sort); err != nil {
		return nil, err
	}
	all, err := s.o.Incidents.List(ctx, q)
	if err != nil {
		return nil, listProblem(err)
	}
	out := &incidentsOutput{}
	out.Body.Incidents = make([]public.Incident, len(all))
	for i, inc := range all {
		out.Body.Incidents[i] = present.Incident(inc)
	}
	out.Body.Next = next(in.Page, all, func(last incidents.Incident) string { return atIncident(q.Sort, last) })
	return out, nil
}

// listProblem gives the errors of a list that its caller can mend their codes.
func listProblem(err error) error {
	switch {
	case errors.Is(err, incidents.ErrNoWords):
		return problem.New("search_empty")
	case errors.Is(err, incidents.ErrNotSorted):
		return problem.New("search_sort")
	}
	return err
}

// atIncident is the cursor of a list of incidents: the time, the number and what it is sorted by.
func atIncident(sort incidents.Sort, last incidents.Incident) string {
	parts := []string{strconv.FormatInt(last.OccurredAt.UnixMilli(), 10), strconv.FormatInt(last.Number, 10)}
	switch sort {
	case incidents.ByTime:
	case incidents.BySeverity:
		parts = append(parts, string(last.Severity))
	case incidents.ByState:
		parts = append(parts, string(last.State))
	case incidents.ByDevice:
		parts = append(parts, last.Site, last.Edge, last.Device)
	}
	return cursor(parts...)
}

// incidentPosition reads a cursor of atIncident; the zero position for the first page.
func (p Page) incidentPosition(sort incidents.Sort) (at incidents.Position, err error) {
	n := map[incidents.Sort]int{incidents.ByTime: 2, incidents.BySeverity: 3, incidents.ByState: 3, incidents.ByDevice: 5}[sort]
	parts, err := p.parts(n)
	if err != nil || parts[0] == "" {
		return at, err
	}
	ms, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return at, notOurs()
	}
	at.At = time.UnixMilli(ms)
	if at.Number, err = strconv.ParseInt(parts[1], 10, 64); err != nil {
		return at, notOurs()
	}
	switch sort {
	case incidents.ByTime:
	case incidents.BySeverity:
		at.Severity = detection.Severity(parts[2])
	case incidents.ByState:
		at.State = incidents.State(parts[2])
	case incidents.ByDevice:
		at.Site, at.Edge, at.Device = parts[2], parts[3], parts[4]
	}
	return at, nil
}

func (s *Server) listGroups(ctx context.Context, in *incidentsInput, q incidents.Query) (*incidentsOutput, error) {
	at, id, err := in.moment()
	if err != nil {
		return nil, err
	}
	all, err := s.o.Incidents.Groups(ctx, q, incidents.GroupPosition{At: at, ID: id})
	if errors.Is(err, incidents.ErrNotGrouped) {
		return nil, problem.New("groups_filter")
	}
	if err != nil {
		return nil, err
	}
	out := &incidentsOutput{}
	out.Body.Incidents = []public.Incident{}
	out.Body.Groups = make([]public.IncidentGroup, len(all))
	for i, g := range all {
		out.Body.Groups[i] = present.Group(g)
	}
	out.Body.Next = next(in.Page, all, func(last incidents.Group) string { return atMoment(last.LastAt, last.ID) })
	return out, nil
}

func (s *Server) countIncidents(ctx context.Context, _ *struct{}) (*countsOutput, error) {
	all, err := s.o.Incidents.Counts(ctx, who(ctx).Scope)
	if err != nil {
		return nil, err
	}
	out := &countsOutput{}
	out.Body.Counts = make([]public.IncidentCount, len(all))
	for i, c := range all {
		out.Body.Counts[i] = public.IncidentCount{State: string(c.State), Severity: c.Severity, Count: c.N}
	}
	return out, nil
}

func (s *Server) noise(ctx context.Context, in *noiseInput) (*noiseOutput, error) {
	zone, err := time.LoadLocation(in.Zone)
	if err != nil || in.Zone == "Local" {
		return nil, problem.New("input_not_known", "field", "tz")
	}
	if in.Day == "" {
		in.Day = time.Now().In(zone).Format(time.DateOnly)
	}
	day, err := time.ParseInLocation(time.DateOnly, in.Day, zone)
	if err != nil {
		return nil, problem.New("time_invalid", "field", "day")
	}
	out := &noiseOutput{}
	out.Body.Day, out.Body.Zone = in.Day, in.Zone
	out.Body.Since, out.Body.Until = day.UTC(), day.AddDate(0, 0, 1).UTC() // 23 to 25 hours
	all, err := s.o.Incidents.Noisiest(ctx, who(ctx).Scope, out.Body.Since, out.Body.Until, in.Limit)
	if err != nil {
		return nil, err
	}
	out.Body.Rules = make([]public.NoisyRule, len(all))
	for i, n := range all {
		out.Body.Rules[i] = present.Noise(n)
	}
	return out, nil
}
