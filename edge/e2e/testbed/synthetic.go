package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/edge/e2e/rig"
	"gridpost/hub/api"
)

const heartbeat = 10 * time.Second // the hub marks an edge as lost after 30 s

// syntheticEdge posts given events, and sends health reports so that the hub shows it online.
type syntheticEdge struct {
	*rig.SyntheticEdge
	problems []devices.Cause
	stop     context.CancelFunc
	done     chan struct{}
}

// edgeRequest describes a synthetic edge.
type edgeRequest struct {
	Name     string            `json:"name"`
	Title    *devices.Title    `json:"title"` // of its site
	Devices  []api.Device      `json:"devices"`
	States   []devices.Status  `json:"states"` // of the devices; online since now if not given
	Readings []devices.Reading `json:"readings"`
	Problems []devices.Cause   `json:"problems"` // of the edge; none if not given
	Gaps     []api.Gap         `json:"gaps"`
}

// edge enrols a synthetic edge and posts its inventory, states and readings.
func (s *testbed) edge(ctx context.Context, o edgeRequest) (any, error) {
	posts, err := rig.NewSyntheticEdge(ctx, s.hub, o.Name, filepath.Join(s.dir, o.Name))
	if err != nil {
		return nil, err
	}
	beating, stop := context.WithCancel(context.WithoutCancel(ctx))
	b := &syntheticEdge{SyntheticEdge: posts, problems: append([]devices.Cause{}, o.Problems...), stop: stop, done: make(chan struct{})}
	go b.beat(beating)
	s.edges[o.Name] = b
	given := map[string]bool{}
	events := []rig.EdgeEvent{{Lane: api.LaneState, Kind: api.KindInventory, Data: api.Inventory{Version: "v1.4.0", Title: o.Title, Devices: o.Devices}}}
	for _, st := range o.States {
		given[st.Device] = true
		events = append(events, rig.EdgeEvent{Lane: api.LaneState, Kind: api.KindStatus, Data: st})
	}
	for _, d := range o.Devices {
		if !given[d.Name] {
			events = append(events, rig.EdgeEvent{Lane: api.LaneState, Kind: api.KindStatus, Data: devices.Status{Device: d.Name, State: devices.Online, Since: time.Now()}})
		}
	}
	for _, g := range o.Gaps {
		events = append(events, rig.EdgeEvent{Lane: api.LaneTelemetry, Kind: api.KindGap, Data: g})
	}
	if len(o.Problems) > 0 {
		events = append(events, b.health(time.Now()))
	}
	if len(o.Readings) > 0 {
		events = append(events, rig.EdgeEvent{Lane: api.LaneTelemetry, Kind: api.KindReadings, Data: o.Readings})
	}
	return nil, b.Post(ctx, events)
}

// incident posts an incident of a synthetic edge. Defaults fill in what is missing: a new ID, state
// open, opened now. The response is sent after the hub has committed it.
func (s *testbed) incident(ctx context.Context, o struct {
	Edge     string             `json:"edge"`
	Incident detection.Incident `json:"incident"`
},
) (any, error) {
	b, ok := s.edges[o.Edge]
	if !ok {
		return nil, fmt.Errorf("there is no synthetic edge %q", o.Edge)
	}
	inc := filled(o.Incident)
	if err := b.Post(ctx, []rig.EdgeEvent{{Lane: api.LaneAlerts, Kind: api.KindIncident, Data: inc}}); err != nil {
		return nil, err
	}
	return map[string]string{"incident": inc.ID}, nil
}

func filled(inc detection.Incident) detection.Incident {
	if inc.ID == "" {
		inc.ID = uuid.Must(uuid.NewV7()).String()
	}
	if inc.State == "" {
		inc.State = detection.Open
	}
	if inc.Opened.IsZero() {
		inc.Opened = time.Now()
	}
	if inc.Updated.IsZero() {
		inc.Updated = inc.Opened
	}
	inc.Version, inc.Count = max(inc.Version, 1), max(inc.Count, 1)
	return inc
}

// beat sends health regularly. An error is ignored: on a bad connection a real edge loses these too.
func (b *syntheticEdge) beat(ctx context.Context) {
	defer close(b.done)
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			_ = b.Post(ctx, []rig.EdgeEvent{b.health(now)})
		}
	}
}

func (b *syntheticEdge) health(now time.Time) rig.EdgeEvent {
	return rig.EdgeEvent{Lane: api.LaneTelemetry, Kind: api.KindHealth, Data: api.Health{Time: now, Problems: b.problems, Counters: map[string]uint64{}}}
}

func (b *syntheticEdge) close() {
	b.stop()
	<-b.done
	b.Close()
}
