package present

import (
	"gridpost/hub/api/public"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/telemetry"
)

// Edge returns the public form of an edge.
func Edge(e edges.Edge) public.EdgeRecord {
	out := public.EdgeRecord{
		Name: e.Name, State: string(e.State), LastSeen: e.LastSeen, Version: e.Version, SkewMS: e.Skew.Milliseconds(),
		Created: e.Created, Revoked: e.Revoked, Token: e.TokenUntil, Inventory: e.Inventory, Title: e.Title.Pointer(),
	}
	if h := e.Health; h != nil {
		out.Health = &public.EdgeHealth{Time: h.Time, Problems: make([]string, len(h.Problems)), Causes: h.Problems, Counters: h.Counters}
		for i, p := range h.Problems {
			out.Health.Problems[i] = p.Text
		}
	}
	return out
}

// Device returns the public form of a device, without its newest reading.
func Device(d edges.Device) public.DeviceRecord {
	out := public.DeviceRecord{
		Edge: d.Edge, Name: d.Name, Title: d.Title.Pointer(), Class: d.Class, Kind: d.Kind, State: d.State, Cause: d.Cause.Text, CauseCode: d.Cause.Code, CauseParams: d.Cause.Params,
		Since: d.Since, Place: d.Place, Unit: d.Unit, Rules: make([]public.Rule, len(d.Rules)),
	}
	for i, r := range d.Rules {
		out.Rules[i] = public.Rule(r)
	}
	return out
}

// Reading returns the public form of a device's newest reading.
func Reading(n telemetry.Newest, unit string) *public.LastReading {
	return &public.LastReading{Time: n.Time, Value: n.Value, Unit: unit, Quality: n.Quality, Text: n.Text}
}

// Gap returns the public form of a gap.
func Gap(g telemetry.Gap) public.Gap {
	return public.Gap{ID: g.ID, Kind: string(g.Kind), Device: g.Device, From: g.From, To: g.To, Count: g.Count, Reason: g.Reason, Received: g.Received}
}
