// Package present converts the hub's domain types into those of its public API, which the live stream and
// alerts carry too.
//
// The package must import nothing of the hub but its domain types.
package present

import (
	"net/url"

	"gridpost/hub/api/public"
	"gridpost/hub/internal/store/incidents"
)

// Incident returns the public form of an incident.
func Incident(inc incidents.Incident) public.Incident {
	out := public.Incident{
		ID: inc.ID, Edge: inc.Edge, Device: inc.Device, Rule: inc.Rule, Kind: inc.Kind, Title: inc.Title, Severity: inc.Severity,
		State: string(inc.State), Condition: inc.Condition, Source: string(inc.Source), Site: inc.Site, Group: inc.Group,
		OpenedAt: inc.OpenedAt, OccurredAt: inc.OccurredAt, Clock: public.ClockGrade(inc.Clock), ReceivedAt: inc.ReceivedAt,
		UpdatedAt: inc.UpdatedAt, ClosedAt: inc.ClosedAt, Place: inc.Place, Class: inc.Class, Box: inc.Box, Value: inc.Value,
		Limit: inc.Limit, Unit: inc.Unit, Count: inc.Count, Version: inc.Version, Assignee: inc.Assignee, StateBy: inc.StateBy,
		Outcome: string(inc.Outcome), Held: inc.Held, MutedUntil: inc.MutedUntil, Evidence: make([]public.EvidenceFile, len(inc.Evidence)),
	}
	n := inc.Names
	out.EdgeTitle, out.DeviceTitle, out.RuleTitle, out.DeviceClass = n.Edge.Pointer(), n.Device.Pointer(), n.Rule.Pointer(), n.Class
	for i, f := range inc.Evidence {
		out.Evidence[i] = public.EvidenceFile{
			Name: f.Name, URL: EvidenceURL(f), ContentType: f.ContentType, Size: f.Size, SHA256: f.SHA256, Time: f.Time, Complete: f.Complete, Clip: clip(f.Clip),
		}
	}
	for _, f := range inc.Facts {
		out.Timeline = append(out.Timeline, public.TimelineEntry{
			At: f.OccurredAt, Kind: string(f.Kind), Who: f.Who, Text: f.Text, Data: f.Data, OccurredAt: f.OccurredAt, RecordedAt: f.RecordedAt,
		})
	}
	for _, r := range inc.Reports {
		out.Reports = append(out.Reports, public.Report{
			ID: r.ID, Who: r.Who, Title: r.Title, Text: r.Text, Kind: r.Kind, Severity: r.Severity, Place: r.Place,
			OccurredAt: r.OccurredAt, RecordedAt: r.RecordedAt,
		})
	}
	return out
}

func clip(c *incidents.Clip) *public.Clip {
	if c == nil {
		return nil
	}
	out := &public.Clip{From: c.From, To: c.To, Frames: c.Frames, Codec: c.Codec, Signed: c.Signed}
	for _, g := range c.Gaps {
		out.Gaps = append(out.Gaps, public.ClipGap(g))
	}
	return out
}

// EvidenceURL returns where a file of evidence is served.
func EvidenceURL(f incidents.File) string {
	return "/api/v1/evidence/" + url.PathEscape(f.Incident) + "/" + url.PathEscape(f.Name)
}

// Group returns the public form of a group.
func Group(g incidents.Group) public.IncidentGroup {
	return public.IncidentGroup{
		ID: g.ID, Edge: g.Edge, Device: g.Device, Rule: g.Rule, Kind: g.Kind, Site: g.Site, Source: string(g.Source), Severity: g.Severity,
		Title: g.Newest.Title, Count: g.Count(), Open: g.Open, Acknowledged: g.Acknowledged, Closed: g.Closed, Holding: g.Holding,
		FirstAt: g.FirstAt, LastAt: g.LastAt, Newest: Incident(g.Newest),
	}
}

// Noise returns the public form of a noisy rule.
func Noise(n incidents.Noise) public.NoisyRule {
	return public.NoisyRule{
		Edge: n.Edge, Device: n.Device, Rule: n.Rule, Kind: n.Kind, Site: n.Site, Count: n.Count, Groups: n.Groups, LastAt: n.LastAt,
	}
}

// Mute returns the public form of a mute.
func Mute(m incidents.Mute) public.Mute {
	return public.Mute{
		ID: m.ID, Edge: m.Edge, Device: m.Device, Rule: m.Rule, Site: m.Site, Reason: m.Reason, Who: m.Who,
		Began: m.Began, Until: m.Until, Ended: m.Ended, EndedBy: m.EndedBy,
	}
}
