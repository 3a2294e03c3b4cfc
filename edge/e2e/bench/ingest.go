package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/edge/e2e/rig"
	"gridpost/hub/api"
)

const ingestWindow = 5 * time.Second

// ingestFigure is how many events the hub commits over its edge port.
type ingestFigure struct {
	Events          string  `json:"events"`
	Edges           int     `json:"edges"`
	Batch           int     `json:"events_per_batch"`
	EventsPerSecond float64 `json:"events_per_s"`
}

// ingest posts alerts and readings as edges do, and counts what was acknowledged, which is on
// the hub's disk.
func (b bench) ingest(ctx context.Context) (all []ingestFigure, err error) {
	for _, f := range []ingestFigure{
		{Events: "alerts", Edges: 1, Batch: 1},
		{Events: "alerts", Edges: 1, Batch: 100},
		{Events: "alerts", Edges: 8, Batch: 100},
		{Events: "readings", Edges: 1, Batch: 500},
	} {
		progress("Committing %s of %d edges, %d in a batch", f.Events, f.Edges, f.Batch)
		if err := b.withHub(ctx, func(h *rig.Hub) (err error) {
			f.EventsPerSecond, err = post(ctx, h, f)
			return err
		}); err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// post lets the edges post for a while.
func post(ctx context.Context, h *rig.Hub, f ingestFigure) (perSecond float64, err error) {
	edges := make([]*rig.SyntheticEdge, f.Edges)
	for i := range edges {
		name := fmt.Sprintf("bench-%d", i)
		if edges[i], err = rig.NewSyntheticEdge(ctx, h, name, filepath.Join(h.Dir, name)); err != nil {
			return 0, err
		}
		defer edges[i].Close()
	}
	event := alert
	if f.Events == "readings" {
		event = reading
	}
	var committed atomic.Uint64
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for _, e := range edges {
		g.Go(func() error {
			events := make([]rig.EdgeEvent, f.Batch)
			for seq := uint64(0); time.Since(began) < ingestWindow; {
				for i := range events {
					seq++
					events[i] = event(seq)
				}
				if err := e.Post(ctx, events); err != nil {
					return err
				}
				committed.Add(uint64(len(events)))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	return round(float64(committed.Load()) / time.Since(began).Seconds()), nil
}

// alert is an incident that opens.
func alert(seq uint64) rig.EdgeEvent {
	now := time.Now()
	return rig.EdgeEvent{Lane: api.LaneAlerts, Kind: api.KindIncident, Data: detection.Incident{
		ID: uuid.Must(uuid.NewV7()).String(), Device: "yard", Rule: "yard", Kind: detection.Zone, Severity: detection.Moderate,
		State: detection.Open, Opened: now, Updated: now, Version: 1, Class: detection.Motion, Score: 1,
		Box: &detection.Box{X: 0.1, Y: 0.2, W: 0.1, H: 0.3}, TrackID: seq, Count: 1,
	}}
}

// reading is one value of one sensor.
func reading(seq uint64) rig.EdgeEvent {
	return rig.EdgeEvent{Lane: api.LaneTelemetry, Kind: api.KindReadings, Data: []devices.Reading{
		{Device: "river", Time: time.Now(), Value: float64(seq), Unit: "m", Quality: devices.Good},
	}}
}
