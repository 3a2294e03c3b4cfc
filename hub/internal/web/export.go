package web

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/incidents"
)

// exportMost is how many incidents one export has at most, about 40 MB.
const exportMost = 100_000

type exportInput struct {
	IncidentFilter
	Zone string `query:"tz" maxLength:"60" default:"UTC" doc:"IANA time zone of its times, such as Asia/Shanghai"`
}

func (s *Server) registerExport(tags []string) {
	register(s, huma.Operation{
		OperationID: "export-incidents", Tags: tags,
		Summary: fmt.Sprintf("Incidents as CSV (RFC 4180, UTF-8 with a byte order mark), %d at most; the last row says when there are more", exportMost),
		Responses: map[string]*huma.Response{"200": {Description: "the first row has the names of the columns", Content: map[string]*huma.MediaType{
			"text/csv": {Schema: &huma.Schema{Type: huma.TypeString}},
		}}},
	}, s.exportIncidents)
}

func (s *Server) exportIncidents(ctx context.Context, in *exportInput) (*huma.StreamResponse, error) {
	zone, err := time.LoadLocation(in.Zone)
	if err != nil || in.Zone == "Local" {
		return nil, problem.New("input_not_known", "field", "tz")
	}
	q := in.query(who(ctx).Scope)
	q.Limit = exportPage
	names := make([]string, len(exportColumns))
	for i, c := range exportColumns {
		names[i] = c.name
	}
	return s.export(ctx, exported{
		action: "incident export", detail: in.describe(), name: "incidents", columns: names, page: s.incidentRows(q, zone, exportMost),
	})
}

// describe writes a filter for the audit log.
func (f *IncidentFilter) describe() string {
	severities := make([]string, len(f.Severity))
	for i, s := range f.Severity {
		severities[i] = string(s)
	}
	day := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	var all []string
	for _, one := range [][2]string{
		{"state", string(f.State)},
		{"condition", string(f.Condition)},
		{"edge", f.Edge},
		{"device", f.Device},
		{"rule", f.Rule},
		{"kind", f.Kind},
		{"severity", strings.Join(severities, ",")},
		{"site", f.Site},
		{"source", string(f.Source)},
		{"assignee", f.Assignee},
		{"outcome", string(f.Outcome)},
		{"group", f.Group},
		{"since", day(f.Since)},
		{"until", day(f.Until)},
		{"q", f.Text},
	} {
		if one[1] != "" {
			all = append(all, one[0]+"="+one[1])
		}
	}
	if all == nil {
		return "all"
	}
	return strings.Join(all, " ")
}

// exportColumns are the columns of the file.
var exportColumns = []struct {
	name string
	cell func(inc incidents.Incident, zone *time.Location) string
}{
	{"id", func(inc incidents.Incident, _ *time.Location) string { return inc.ID }},
	{"occurred_at", func(inc incidents.Incident, zone *time.Location) string { return exportTime(&inc.OccurredAt, zone) }},
	{"ended_at", func(inc incidents.Incident, zone *time.Location) string { return exportTime(inc.EndedAt, zone) }},
	{"closed_at", func(inc incidents.Incident, zone *time.Location) string { return exportTime(inc.ClosedAt, zone) }},
	{"received_at", func(inc incidents.Incident, zone *time.Location) string { return exportTime(&inc.ReceivedAt, zone) }},
	{"severity", func(inc incidents.Incident, _ *time.Location) string { return string(inc.Severity) }},
	{"state", func(inc incidents.Incident, _ *time.Location) string { return string(inc.State) }},
	{"condition", func(inc incidents.Incident, _ *time.Location) string { return string(inc.Condition) }},
	{"outcome", func(inc incidents.Incident, _ *time.Location) string { return string(inc.Outcome) }},
	{"source", func(inc incidents.Incident, _ *time.Location) string { return string(inc.Source) }},
	{"site", func(inc incidents.Incident, _ *time.Location) string { return inc.Site }},
	{"edge", func(inc incidents.Incident, _ *time.Location) string { return inc.Edge }},
	{"device", func(inc incidents.Incident, _ *time.Location) string { return inc.Device }},
	{"rule", func(inc incidents.Incident, _ *time.Location) string { return inc.Rule }},
	{"kind", func(inc incidents.Incident, _ *time.Location) string { return inc.Kind }},
	{"title", func(inc incidents.Incident, _ *time.Location) string { return inc.Title }},
	{"value", func(inc incidents.Incident, _ *time.Location) string { return exportNumber(inc.Value) }},
	{"limit", func(inc incidents.Incident, _ *time.Location) string { return exportNumber(inc.Limit) }},
	{"unit", func(inc incidents.Incident, _ *time.Location) string { return inc.Unit }},
	{"assignee", func(inc incidents.Incident, _ *time.Location) string { return inc.Assignee }},
	{"state_by", func(inc incidents.Incident, _ *time.Location) string { return inc.StateBy }},
	{"lat", func(inc incidents.Incident, _ *time.Location) string {
		if inc.Place == nil {
			return ""
		}
		return exportNumber(&inc.Place.Lat)
	}},
	{"lon", func(inc incidents.Incident, _ *time.Location) string {
		if inc.Place == nil {
			return ""
		}
		return exportNumber(&inc.Place.Lon)
	}},
	{"files", func(inc incidents.Incident, _ *time.Location) string { return strconv.Itoa(len(inc.Evidence)) }},
}

// incidentRows returns the pages of a table of incidents, up to a number of them. The times are by the hub's clock.
func (s *Server) incidentRows(q incidents.Query, zone *time.Location, most int) func(context.Context) ([][]string, bool, error) {
	written := 0
	return func(ctx context.Context) (rows [][]string, last bool, err error) {
		page, err := s.o.Incidents.List(ctx, q)
		if err != nil {
			return nil, true, listProblem(err)
		}
		for _, inc := range page {
			cells := make([]string, len(exportColumns))
			if written == most {
				cells[0] = fmt.Sprintf("more than %d incidents match: this file ends here", most)
				return append(rows, cells), true, nil
			}
			for i, c := range exportColumns {
				cells[i] = c.cell(inc, zone)
			}
			rows = append(rows, cells)
			q.After = incidents.PositionOf(inc)
			written++
		}
		return rows, len(page) < q.Limit, nil
	}
}

// exportTime writes a time with its offset; nothing when there is none.
func exportTime(t *time.Time, zone *time.Location) string {
	if t == nil {
		return ""
	}
	return t.In(zone).Format("2006-01-02T15:04:05.000Z07:00")
}

func exportNumber(f *float64) string {
	if f == nil {
		return ""
	}
	return strconv.FormatFloat(*f, 'f', -1, 64)
}
