package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/edge/e2e/rig"
	"gridpost/hub/api"
)

// bulkRequest gives the numbers of edges, devices and incidents to create.
type bulkRequest struct {
	Edges     int `json:"edges"`
	Devices   int `json:"devices"`
	Incidents int `json:"incidents"`
	Open      int `json:"open"` // number of incidents that are still open: the newest ones
}

// bulk enrols synthetic edges crowd-1, crowd-2, ..., which post devices and incidents of the last
// month. The same request creates the same data, except for its times.
func (s *testbed) bulk(ctx context.Context, o bulkRequest) (any, error) {
	if o.Edges < 1 || o.Devices < o.Edges {
		return nil, fmt.Errorf("%d devices cannot be distributed over %d edges", o.Devices, o.Edges)
	}
	r := rand.New(rand.NewPCG(1, 2))
	now := time.Now()
	for n := range o.Edges {
		b := edgeRequest{Name: fmt.Sprintf("crowd-%d", n+1)}
		for i := range share(o.Devices, o.Edges, n) {
			b.Devices = append(b.Devices, device(r, i))
			if i%3 != 0 {
				continue
			}
			b.Readings = append(b.Readings, devices.Reading{Device: b.Devices[i].Name, Time: now.Add(-time.Duration(r.IntN(60)) * time.Second), Value: round(r.Float64() * 4), Unit: "m", Quality: devices.Good})
		}
		if _, err := s.edge(ctx, b); err != nil {
			return nil, err
		}
		var events []rig.EdgeEvent
		count := share(o.Incidents, o.Edges, n)
		for i := range count {
			age := time.Duration(count-i) * 30 * 24 * time.Hour / time.Duration(count+1)
			inc := past(r, b.Devices[r.IntN(len(b.Devices))], now.Add(-age))
			if i < count-share(o.Open, o.Edges, n) {
				inc.State, inc.Version = detection.Closed, 2
				inc.Closed = inc.Opened.Add(time.Duration(5+r.IntN(300)) * time.Second)
				inc.Updated = inc.Closed
			}
			events = append(events, rig.EdgeEvent{Lane: api.LaneAlerts, Kind: api.KindIncident, Data: filled(inc)})
		}
		if err := s.edges[b.Name].Post(ctx, events); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// share returns the nth of several nearly equal parts of all.
func share(all, several, n int) int { return all*(n+1)/several - all*n/several }

// device returns the ith device of an edge; every third one is a sensor.
func device(r *rand.Rand, i int) api.Device {
	at := &devices.Place{Lat: round(30.92 + (r.Float64()-0.5)/25), Lon: round(120.93 + (r.Float64()-0.5)/20)}
	if i%3 == 0 {
		limit := 2.0
		return api.Device{Name: fmt.Sprintf("level-%d", i), Kind: devices.Sensor, Unit: "m", Place: at, Rules: []api.Rule{{Name: "flood", Kind: detection.Above, Severity: detection.Severe, Value: &limit}}}
	}
	at.Heading, at.FOV, at.Range, at.Height = float64(r.IntN(360)), 70, 60, 4
	return api.Device{Name: fmt.Sprintf("camera-%d", i), Kind: devices.Camera, Place: at, Rules: []api.Rule{{Name: "yard", Kind: detection.Zone, Severity: detection.Moderate}}}
}

func past(r *rand.Rand, d api.Device, opened time.Time) detection.Incident {
	severities := []detection.Severity{detection.Minor, detection.Minor, detection.Moderate, detection.Severe, detection.Extreme}
	inc := detection.Incident{Device: d.Name, Severity: severities[r.IntN(len(severities))], Opened: opened}
	if d.Kind == devices.Sensor {
		value, limit := round(2+r.Float64()*2), 2.0
		inc.Rule, inc.Kind, inc.Value, inc.Limit, inc.Unit = "flood", detection.Above, &value, &limit, "m"
		return inc
	}
	inc.Rule, inc.Kind, inc.Class, inc.Box = "yard", detection.Zone, "person", &detection.Box{X: 0.3, Y: 0.4, W: 0.1, H: 0.3}
	return inc
}

func round(v float64) float64 { return math.Round(v*1e5) / 1e5 }
