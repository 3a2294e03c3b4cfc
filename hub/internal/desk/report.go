package desk

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/incidents"
)

// Bounds of the time of a report.
const (
	// MaxAhead is how far in the future of the hub's clock a report may be: clocks of callers differ.
	MaxAhead = 5 * time.Minute

	// MaxAge is how old a report may be: old records of another system can still be entered, a time near
	// 1970 is a mistake.
	MaxAge = 5 * 365 * 24 * time.Hour
)

// Report is what reached the hub by another way than an edge: a call, a patrol, another system.
type Report struct {
	Title    string
	Text     string
	Kind     string // of the incident; "report" unless set
	Severity detection.Severity
	Place    *devices.Place // only Lat and Lon are stored
	At       time.Time      // when it happened; zero: now
	Key      string         // reports of one person under one key are one report; empty: each is its own
	Join     string         // incident that it joins; empty: it opens one
	Site     string         // of the incident that it opens; empty: of no site, which only those who see all sites see
	Taken    bool           // the reporter deals with the incident that it opens: it begins acknowledged and assigned to them
}

// Report adds a report, and opens an incident for it unless it joins one.
func (d *Desk) Report(ctx context.Context, who string, s scope.Scope, r Report) (incidents.Incident, error) {
	title, err := line("title", r.Title, MaxTitle)
	if err == nil && title == "" {
		err = problem.New("input_empty", "field", "title")
	}
	if err != nil {
		return incidents.Incident{}, err
	}
	text, err := prose("text", r.Text)
	if err != nil {
		return incidents.Incident{}, err
	}
	now := d.now()
	if !r.At.IsZero() && (r.At.After(now.Add(MaxAhead)) || r.At.Before(now.Add(-MaxAge))) {
		return incidents.Incident{}, problem.New("time_invalid", "field", "at")
	}
	if r.Kind == "" {
		r.Kind = "report"
	}
	if r.Severity == "" {
		r.Severity = detection.Moderate
	}
	id, err := reportID(who, r.Key)
	if err != nil {
		return incidents.Incident{}, fmt.Errorf("making the ID of a report: %w", err)
	}
	n := incidents.NewReport{Scope: s, Join: r.Join, Site: r.Site, Taken: r.Taken, Allow: allowReport, Report: incidents.Report{
		ID: id.String(), Who: who, Title: title, Text: text, Kind: r.Kind, Severity: r.Severity, OccurredAt: r.At,
	}}
	if r.Place != nil {
		n.Place = &devices.Place{Lat: r.Place.Lat, Lon: r.Place.Lon}
	}
	incident, err := d.store.AddReport(ctx, n)
	if err != nil {
		return incidents.Incident{}, err
	}
	return d.store.Get(ctx, s, incident)
}

// reportID makes the same ID whenever the same person uses the same key.
func reportID(who, key string) (uuid.UUID, error) {
	if key == "" {
		return uuid.NewV7()
	}
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte("gridpost report\x00"+who+"\x00"+key)), nil
}
