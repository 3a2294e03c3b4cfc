package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/firmware-config/enrol"
	"gridpost/hub/api"
)

const heartbeat = 10 * time.Second // the hub takes a box for lost after 30 s

// box is an enrolled edge that does nothing but post events, over the hub's edge port.
type box struct {
	name   string
	client *http.Client
	url    string
	epoch  string
	stop   context.CancelFunc
	done   chan struct{}

	mu  sync.Mutex // one batch at a time, so that what is acknowledged is known
	seq map[api.Lane]uint64
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
	dir := filepath.Join(s.dir, o.Name)
	if err := s.hub.Enrol(ctx, o.Name, dir); err != nil {
		return nil, err
	}
	id, err := enrol.Load(dir)
	if err != nil {
		return nil, err
	}
	beating, stop := context.WithCancel(context.WithoutCancel(ctx))
	b := &box{
		name: o.Name, client: id.Client(), url: s.hub.EdgeURL() + "/edge/v1/events", epoch: uuid.Must(uuid.NewV7()).String(),
		stop: stop, done: make(chan struct{}), seq: map[api.Lane]uint64{},
	}
	go b.beat(beating)
	s.boxes[o.Name] = b
	given := map[string]bool{}
	events := []event{{api.LaneState, api.KindInventory, api.Inventory{Version: "v1.4.0", Devices: o.Devices}}}
	for _, st := range o.States {
		given[st.Device] = true
		events = append(events, event{api.LaneState, api.KindStatus, st})
	}
	for _, d := range o.Devices {
		if !given[d.Name] {
			events = append(events, event{api.LaneState, api.KindStatus, devices.Status{Device: d.Name, State: devices.Online, Since: time.Now()}})
		}
	}
	if len(o.Said) > 0 {
		events = append(events, event{api.LaneTelemetry, api.KindReadings, o.Said})
	}
	return nil, b.post(ctx, events)
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
	if err := b.post(ctx, []event{{api.LaneAlerts, api.KindIncident, inc}}); err != nil {
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

// event is what a box has to tell.
type event struct {
	lane api.Lane
	kind api.Kind
	data any
}

// post sends events, in as many batches as they need, and expects all of them to be committed.
func (b *box) post(ctx context.Context, events []event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(events) > 0 {
		n := min(len(events), api.MaxBatchEvents)
		if err := b.batch(ctx, events[:n]); err != nil {
			return fmt.Errorf("box %s: %w", b.name, err)
		}
		events = events[n:]
	}
	return nil
}

func (b *box) batch(ctx context.Context, events []event) error {
	batch := api.Batch{Epoch: b.epoch, Sent: time.Now()}
	for _, e := range events {
		data, err := json.Marshal(e.data)
		if err != nil {
			return fmt.Errorf("writing an event: %w", err)
		}
		b.seq[e.lane]++
		batch.Events = append(batch.Events, api.Event{Lane: e.lane, Seq: b.seq[e.lane], Kind: e.kind, Time: time.Now(), Data: data})
	}
	text, err := json.Marshal(batch)
	if err != nil {
		return fmt.Errorf("writing a batch: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("posting a batch: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := b.client.Do(r)
	if err != nil {
		return fmt.Errorf("posting a batch: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return fmt.Errorf("reading the acknowledgement: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the hub answered %d: %s", answer.StatusCode, body)
	}
	var ack api.Ack
	if err := json.Unmarshal(body, &ack); err != nil {
		return fmt.Errorf("reading the acknowledgement: %w", err)
	}
	if len(ack.Refused) > 0 {
		return fmt.Errorf("the hub refused %d events, the first because %s", len(ack.Refused), ack.Refused[0].Reason)
	}
	return nil
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
			_ = b.post(ctx, []event{{api.LaneTelemetry, api.KindHealth, api.Health{Time: now, Problems: []string{}, Counters: map[string]uint64{}}}})
		}
	}
}

func (b *box) close() {
	b.stop()
	<-b.done
	b.client.CloseIdleConnections()
}
