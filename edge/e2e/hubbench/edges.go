package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/devices/problem"
	"gridpost/devices/retry"
	"gridpost/edge/e2e/rig"
	"gridpost/firmware-config/enrol"
	"gridpost/hub/api"
)

// edge is a simulated edge: one client certificate, one camera, one sensor. It retries what fails, as
// a real edge does, and begins a new epoch when the hub has restarted.
type edge struct {
	name   string
	client *http.Client
	urls   []string // hubs, or the load balancer before them; tried in turn
	town   *town

	answered atomic.Int64 // when a request was last acknowledged; Unix time in nanoseconds

	mu    sync.Mutex // one request at a time
	turn  int
	epoch string
	hub   string // run of the hub that answered last; empty: greet first
	seq   map[api.Lane]uint64
}

// town is what all simulated edges share.
type town struct {
	edges []*edge

	committed sync.Map // incident ID to time.Time of its acknowledgement
	posted    sync.Map // incident ID to time.Time at which it was posted first
	retries   atomic.Int64
	listening atomic.Int64 // streams of commands that are open
}

// enrolTown enrols n edges, some at a time.
func enrolTown(ctx context.Context, h *rig.Hub, dir string, n int, urls []string) (*town, error) {
	t := &town{edges: make([]*edge, n)}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range t.edges {
		g.Go(func() (err error) {
			t.edges[i], err = t.enrol(ctx, h, filepath.Join(dir, "edges"), fmt.Sprintf("town-%d", i+1), urls)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *town) enrol(ctx context.Context, h *rig.Hub, dir, name string, urls []string) (*edge, error) {
	body, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		return nil, fmt.Errorf("adding edge %s: %w", name, err)
	}
	status, text, err := h.Do(ctx, http.MethodPost, "/api/v1/edges", body)
	if err != nil || status != http.StatusCreated {
		return nil, fmt.Errorf("adding edge %s: status %d %s: %w", name, status, text, err)
	}
	var added struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(text, &added); err != nil {
		return nil, fmt.Errorf("adding edge %s: %w", name, err)
	}
	token, err := enrol.ParseToken(added.Token)
	if err != nil {
		return nil, fmt.Errorf("enrolling %s: %w", name, err)
	}
	id, err := enrol.Enrol(ctx, filepath.Join(dir, name), urls[0], token)
	if err != nil {
		return nil, fmt.Errorf("enrolling %s: %w", name, err)
	}
	return &edge{name: name, client: id.Client(), urls: urls, town: t, epoch: uuid.NewString(), seq: map[api.Lane]uint64{}}, nil
}

// silent counts the edges of which no request has been acknowledged since a time.
func (t *town) silent(since time.Time) (n int) {
	for _, e := range t.edges {
		if e.answered.Load() < since.UnixNano() {
			n++
		}
	}
	return n
}

func (t *town) close() {
	for _, e := range t.edges {
		e.client.CloseIdleConnections()
	}
}

// patience is how long an edge retries one request before the measurement ends with its error.
const patience = 2 * time.Minute

// post sends events until they are committed, ctx ends or patience is over.
func (e *edge) post(ctx context.Context, events ...rig.EdgeEvent) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for began, wait := time.Now(), 100*time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := e.try(ctx, events)
		if err == nil {
			e.answered.Store(time.Now().UnixNano())
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(began) > patience {
			return fmt.Errorf("edge %s: %w", e.name, err)
		}
		e.town.retries.Add(1)
		e.turn++
		if !retry.Sleep(ctx, wait/2+rand.N(wait)) {
			return ctx.Err()
		}
	}
}

func (e *edge) try(ctx context.Context, events []rig.EdgeEvent) error {
	if e.hub == "" {
		ack, err := e.request(ctx, api.Batch{Epoch: e.epoch, Hello: &api.Hello{}})
		if err != nil {
			return err
		}
		e.hub = ack.Hub
	}
	batch := api.Batch{Epoch: e.epoch}
	next := map[api.Lane]uint64{}
	for _, ev := range events {
		data, err := json.Marshal(ev.Data)
		if err != nil {
			return fmt.Errorf("encoding an event: %w", err)
		}
		next[ev.Lane] = max(next[ev.Lane], e.seq[ev.Lane]) + 1
		age := int64(0)
		batch.Events = append(batch.Events, api.Event{
			Lane: ev.Lane, Seq: next[ev.Lane], Kind: ev.Kind, Time: time.Now(), Clock: api.ClockSynchronized, AgeMS: &age, Data: data,
		})
	}
	ack, err := e.request(ctx, batch)
	if err != nil {
		return err
	}
	if len(ack.Refused) > 0 {
		return fmt.Errorf("the hub refused an event: %s", ack.Refused[0].Reason)
	}
	for lane, seq := range next {
		if ack.Committed[lane] < seq {
			return fmt.Errorf("the hub committed lane %s up to %d of %d", lane, ack.Committed[lane], seq)
		}
		e.seq[lane] = seq
	}
	if ack.Hub != e.hub {
		e.restart()
	}
	return nil
}

// restart begins a new epoch, in which everything is numbered from 1.
func (e *edge) restart() { e.epoch, e.hub, e.seq = uuid.NewString(), "", map[api.Lane]uint64{} }

func (e *edge) request(ctx context.Context, batch api.Batch) (api.Ack, error) {
	batch.Sent = time.Now()
	if batch.Events == nil {
		batch.Events = []api.Event{}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ack, err := rig.PostBatch(ctx, e.client, e.urls[e.turn%len(e.urls)], api.ProtocolVersion, batch)
	var refusal *problem.Error
	if errors.As(err, &refusal) && refusal.Code == api.CodeEpochSuperseded {
		e.restart()
	}
	return ack, err
}

// listen holds the edge's stream of commands open until ctx ends, and reconnects with back-off.
func (e *edge) listen(ctx context.Context) {
	for wait := time.Second; ctx.Err() == nil; wait = min(2*wait, 10*time.Second) {
		if e.stream(ctx) {
			wait = time.Second
		}
		e.mu.Lock()
		e.turn++
		e.mu.Unlock()
		retry.Sleep(ctx, wait/2+rand.N(wait))
	}
}

func (e *edge) stream(ctx context.Context) (opened bool) {
	e.mu.Lock()
	url := e.urls[e.turn%len(e.urls)]
	e.mu.Unlock()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/edge/v1/commands", nil)
	if err != nil {
		return false
	}
	r.Header.Set(api.HeaderProtocol, strconv.Itoa(api.ProtocolVersion))
	answer, err := e.client.Do(r)
	if err != nil {
		return false
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return false
	}
	e.town.listening.Add(1)
	defer e.town.listening.Add(-1)
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
	}
	return true
}

// incident opens a new incident at the edge's camera and posts it.
func (e *edge) incident(ctx context.Context) error {
	now := time.Now()
	id := uuid.Must(uuid.NewV7()).String()
	e.town.posted.Store(id, now)
	err := e.post(ctx, rig.EdgeEvent{Lane: api.LaneAlerts, Kind: api.KindIncident, Data: detection.Incident{
		ID: id, Device: "camera", Rule: "yard", Kind: detection.Zone, Severity: detection.Moderate, State: detection.Open,
		Opened: now, Updated: now, Version: 1, Class: detection.Motion, Score: 1, Box: &detection.Box{X: 0.1, Y: 0.2, W: 0.1, H: 0.3}, Count: 1,
	}})
	if err == nil {
		e.town.committed.Store(id, time.Now())
	}
	return err
}

// inventory posts the edge's devices.
func (e *edge) inventory(ctx context.Context, n int) error {
	at := func(k int) *devices.Place {
		return &devices.Place{Lat: 30.9 + float64(n%40)/1000 + float64(k)/1e4, Lon: 120.9 + float64(n/40)/1000}
	}
	limit := 2.0
	camera := at(0)
	camera.Heading, camera.FOV, camera.Range, camera.Height = float64(n%360), 70, 60, 4
	return e.post(ctx, rig.EdgeEvent{Lane: api.LaneState, Kind: api.KindInventory, Data: api.Inventory{Version: "bench", Devices: []api.Device{
		{Name: "camera", Kind: devices.Camera, Place: camera, Rules: []api.Rule{{Name: "yard", Kind: detection.Zone, Severity: detection.Moderate}}},
		{Name: "level", Kind: devices.Sensor, Place: at(1), Unit: "m", Rules: []api.Rule{{Name: "flood", Kind: detection.Above, Severity: detection.Severe, Value: &limit}}},
	}}})
}

// readings returns n events of one reading each.
func readings(n int) []rig.EdgeEvent {
	events := make([]rig.EdgeEvent, n)
	now := time.Now()
	for i := range events {
		events[i] = rig.EdgeEvent{Lane: api.LaneTelemetry, Kind: api.KindReadings, Data: []devices.Reading{{
			Device: "level", Time: now.Add(time.Duration(i-n) * 10 * time.Millisecond), Value: rand.Float64(), Unit: "m", Quality: devices.Good,
		}}}
	}
	return events
}

// readingEvery is how often an edge sends a reading, and every other time its health.
const readingEvery = 5 * time.Second

// live runs the edge's ordinary life until ctx ends: readings and health, at a phase of its own, and its
// stream of commands.
func (e *edge) live(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { e.listen(ctx) })
	pause := rand.N(readingEvery) // edges do not start together
	for n := rand.IntN(2); retry.Sleep(ctx, pause); n++ {
		pause = readingEvery
		events := readings(1)
		if n%2 == 0 {
			events = append(events, rig.EdgeEvent{Lane: api.LaneState, Kind: api.KindHealth, Data: api.Health{
				Time: time.Now(), Problems: []devices.Cause{}, Counters: map[string]uint64{"frames_total": uint64(n)},
			}})
		}
		if e.post(ctx, events...) != nil {
			break
		}
	}
	wg.Wait()
}
