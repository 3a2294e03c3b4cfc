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

const heartbeat = 10 * time.Second // the hub takes a box for lost after 30 s

// box only posts, and stays online.
type box struct {
	*rig.Box
	stop context.CancelFunc
	done chan struct{}
}

// boxOrder says what a box is to have.
type boxOrder struct {
	Name    string            `json:"name"`
	Devices []api.Device      `json:"devices"`
	States  []devices.Status  `json:"states"` // of the devices; online since now if not given
	Said    []devices.Reading `json:"readings"`
}

// box enrols a box and lets it tell of its devices.
func (s *stage) box(ctx context.Context, o boxOrder) (any, error) {
	posts, err := rig.NewBox(ctx, s.hub, o.Name, filepath.Join(s.dir, o.Name))
	if err != nil {
		return nil, err
	}
	beating, stop := context.WithCancel(context.WithoutCancel(ctx))
	b := &box{Box: posts, stop: stop, done: make(chan struct{})}
	go b.beat(beating)
	s.boxes[o.Name] = b
	given := map[string]bool{}
	events := []rig.BoxEvent{{Lane: api.LaneState, Kind: api.KindInventory, Data: api.Inventory{Version: "v1.4.0", Devices: o.Devices}}}
	for _, st := range o.States {
		given[st.Device] = true
		events = append(events, rig.BoxEvent{Lane: api.LaneState, Kind: api.KindStatus, Data: st})
	}
	for _, d := range o.Devices {
		if !given[d.Name] {
			events = append(events, rig.BoxEvent{Lane: api.LaneState, Kind: api.KindStatus, Data: devices.Status{Device: d.Name, State: devices.Online, Since: time.Now()}})
		}
	}
	if len(o.Said) > 0 {
		events = append(events, rig.BoxEvent{Lane: api.LaneTelemetry, Kind: api.KindReadings, Data: o.Said})
	}
	return nil, b.Post(ctx, events)
}

// tell lets a box tell of an incident. What is not given of it is made up: its id, that it is
// open, and that it opens now. Answered when the hub has it on its disk.
func (s *stage) tell(ctx context.Context, o struct {
	Box      string             `json:"box"`
	Incident detection.Incident `json:"incident"`
},
) (any, error) {
	b, ok := s.boxes[o.Box]
	if !ok {
		return nil, fmt.Errorf("there is no box %q", o.Box)
	}
	inc := filled(o.Incident)
	if err := b.Post(ctx, []rig.BoxEvent{{Lane: api.LaneAlerts, Kind: api.KindIncident, Data: inc}}); err != nil {
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

// beat keeps the box online. A beat that does not arrive is missed, as on a bad line.
func (b *box) beat(ctx context.Context) {
	defer close(b.done)
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			_ = b.Post(ctx, []rig.BoxEvent{{Lane: api.LaneTelemetry, Kind: api.KindHealth, Data: api.Health{Time: now, Problems: []string{}, Counters: map[string]uint64{}}}})
		}
	}
}

func (b *box) close() {
	b.stop()
	<-b.done
	b.Close()
}
