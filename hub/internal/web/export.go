package web

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/incidents"
)

const (
	exportPage = 500     // incidents that are read at once
	exportMost = 100_000 // incidents of one export, about 40 MB
)

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

// exportIncidents answers with a file that is written page by page. What cannot be recorded is not exported, and
// a list that cannot be read is refused before the file begins.
func (s *Server) exportIncidents(ctx context.Context, in *exportInput) (*huma.StreamResponse, error) {
	zone, err := time.LoadLocation(in.Zone)
	if err != nil || in.Zone == "Local" {
		return nil, problem.New("input_not_known", "field", "tz")
	}
	p := who(ctx)
	q := in.query(p.Scope)
	q.Limit = exportPage
	first, err := s.o.Incidents.List(ctx, q)
	if err != nil {
		return nil, listProblem(err)
	}
	if err := s.o.Audit.Record(ctx, audit.Entry{Who: p.Name, Action: "incidents exported", Detail: in.describe()}); err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(out huma.Context) {
		out.SetHeader("Content-Type", "text/csv; charset=utf-8; header=present")
		out.SetHeader("Content-Disposition", `attachment; filename="incidents.csv"`)
		out.SetHeader("Cache-Control", "no-store")
		if err := s.writeCSV(ctx, out.BodyWriter(), q, first, zone, exportMost); err != nil {
			s.o.Logger.Warn("exporting incidents", "error", err)
			panic(http.ErrAbortHandler) // the file must not look whole
		}
	}}, nil
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
		{"state", string(f.State)}, {"condition", string(f.Condition)}, {"edge", f.Edge}, {"device", f.Device}, {"rule", f.Rule}, {"kind", f.Kind},
		{"severity", strings.Join(severities, ",")}, {"site", f.Site}, {"source", string(f.Source)}, {"assignee", f.Assignee},
		{"outcome", string(f.Outcome)}, {"group", f.Group}, {"since", day(f.Since)}, {"until", day(f.Until)}, {"q", f.Text},
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
	{"id", func(inc incidents.Incident, _ *time.Location) string { return plain(inc.ID) }},
	{"occurred_at", func(inc incidents.Incident, zone *time.Location) string { return exportTime(&inc.OccurredAt, zone) }},
	{"ended_at", func(inc incidents.Incident, zone *time.Location) string { return exportTime(inc.EndedAt, zone) }},
	{"closed_at", func(inc incidents.Incident, zone *time.Location) string { return exportTime(inc.ClosedAt, zone) }},
	{"received_at", func(inc incidents.Incident, zone *time.Location) string { return exportTime(&inc.ReceivedAt, zone) }},
	{"severity", func(inc incidents.Incident, _ *time.Location) string { return string(inc.Severity) }},
	{"state", func(inc incidents.Incident, _ *time.Location) string { return string(inc.State) }},
	{"condition", func(inc incidents.Incident, _ *time.Location) string { return string(inc.Condition) }},
	{"outcome", func(inc incidents.Incident, _ *time.Location) string { return string(inc.Outcome) }},
	{"source", func(inc incidents.Incident, _ *time.Location) string { return string(inc.Source) }},
	{"site", func(inc incidents.Incident, _ *time.Location) string { return plain(inc.Site) }},
	{"edge", func(inc incidents.Incident, _ *time.Location) string { return plain(inc.Edge) }},
	{"device", func(inc incidents.Incident, _ *time.Location) string { return plain(inc.Device) }},
	{"rule", func(inc incidents.Incident, _ *time.Location) string { return plain(inc.Rule) }},
	{"kind", func(inc incidents.Incident, _ *time.Location) string { return plain(inc.Kind) }},
	{"title", func(inc incidents.Incident, _ *time.Location) string { return plain(inc.Title) }},
	{"value", func(inc incidents.Incident, _ *time.Location) string { return exportNumber(inc.Value) }},
	{"limit", func(inc incidents.Incident, _ *time.Location) string { return exportNumber(inc.Limit) }},
	{"unit", func(inc incidents.Incident, _ *time.Location) string { return plain(inc.Unit) }},
	{"assignee", func(inc incidents.Incident, _ *time.Location) string { return plain(inc.Assignee) }},
	{"state_by", func(inc incidents.Incident, _ *time.Location) string { return plain(inc.StateBy) }},
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

// writeCSV writes incidents, the first page of which has been read, up to a number of them. The times are by
// the hub's clock.
func (s *Server) writeCSV(ctx context.Context, w io.Writer, q incidents.Query, page []incidents.Incident, zone *time.Location, most int) error {
	if _, err := io.WriteString(w, "\ufeff"); err != nil { // Excel takes a file without it for one in the machine's own code page
		return fmt.Errorf("writing incidents: %w", err)
	}
	out := csv.NewWriter(w)
	out.UseCRLF = true
	record := make([]string, len(exportColumns))
	for i, c := range exportColumns {
		record[i] = c.name
	}
	// An error of the writer stays and is returned by its Error.
	_ = out.Write(record)
	for written := 0; ; {
		for _, inc := range page {
			if written == most {
				clear(record)
				record[0] = fmt.Sprintf("more than %d incidents match: this file ends here", most)
				_ = out.Write(record)
				out.Flush()
				return out.Error()
			}
			for i, c := range exportColumns {
				record[i] = c.cell(inc, zone)
			}
			_ = out.Write(record)
			written++
		}
		out.Flush()
		if err := out.Error(); err != nil || len(page) < q.Limit {
			return err
		}
		q.After = incidents.PositionOf(page[len(page)-1])
		var err error
		if page, err = s.o.Incidents.List(ctx, q); err != nil {
			return err
		}
	}
}

// plain returns a text that a spreadsheet takes for a text: one that it would take for a formula gets an
// apostrophe before it.
func plain(text string) string {
	trimmed := strings.TrimLeft(text, " \u00a0\u3000\ufeff")
	if trimmed != "" && slices.Contains([]rune("=+-@\t\r\n＝＋－＠"), []rune(trimmed)[0]) {
		return "'" + text
	}
	return text
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
