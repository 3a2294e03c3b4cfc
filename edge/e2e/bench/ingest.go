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
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/edge/e2e/rig"
	"gridpost/firmware-config/enrol"
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
	var senders []*sender
	for i := range f.Edges {
		s, err := newSender(ctx, h, fmt.Sprintf("bench-%d", i), f)
		if err != nil {
			return 0, err
		}
		defer s.client.CloseIdleConnections()
		senders = append(senders, s)
	}
	var committed atomic.Uint64
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range senders {
		g.Go(func() error {
			for time.Since(began) < ingestWindow {
				if err := s.batch(ctx); err != nil {
					return err
				}
				committed.Add(uint64(f.Batch))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	return round(float64(committed.Load()) / time.Since(began).Seconds()), nil
}

// sender is an edge that does nothing but post.
type sender struct {
	client *http.Client
	url    string
	epoch  string
	seq    uint64
	make   func(seq uint64) (api.Event, error)
	size   int
}

func newSender(ctx context.Context, h *rig.Hub, name string, f ingestFigure) (*sender, error) {
	dir := filepath.Join(h.Dir, name)
	if err := h.Enrol(ctx, name, dir); err != nil {
		return nil, err
	}
	id, err := enrol.Load(dir)
	if err != nil {
		return nil, err
	}
	s := &sender{client: id.Client(), url: h.EdgeURL() + "/edge/v1/events", epoch: uuid.Must(uuid.NewV7()).String(), size: f.Batch, make: alert}
	if f.Events == "readings" {
		s.make = reading
	}
	return s, nil
}

// alert is an incident that opens, or one that closes.
func alert(seq uint64) (api.Event, error) {
	now := time.Now()
	data, err := json.Marshal(detection.Incident{
		ID: uuid.Must(uuid.NewV7()).String(), Device: "yard", Rule: "yard", Kind: detection.Zone, Severity: detection.Moderate,
		State: detection.Open, Opened: now, Updated: now, Version: 1, Class: detection.Motion, Score: 1,
		Box: &detection.Box{X: 0.1, Y: 0.2, W: 0.1, H: 0.3}, TrackID: seq, Count: 1,
	})
	return api.Event{Lane: api.LaneAlerts, Seq: seq, Kind: api.KindIncident, Time: now, Data: data}, err
}

// reading is one value of one sensor.
func reading(seq uint64) (api.Event, error) {
	now := time.Now()
	data, err := json.Marshal([]devices.Reading{{Device: "river", Time: now, Value: float64(seq), Unit: "m", Quality: devices.Good}})
	return api.Event{Lane: api.LaneTelemetry, Seq: seq, Kind: api.KindReadings, Time: now, Data: data}, err
}

// batch posts the next events and expects all of them to be acknowledged.
func (s *sender) batch(ctx context.Context) error {
	b := api.Batch{Epoch: s.epoch, Sent: time.Now(), Events: make([]api.Event, 0, s.size)}
	for range s.size {
		s.seq++
		e, err := s.make(s.seq)
		if err != nil {
			return fmt.Errorf("writing an event: %w", err)
		}
		b.Events = append(b.Events, e)
	}
	text, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("writing a batch: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("posting a batch: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := s.client.Do(r)
	if err != nil {
		return fmt.Errorf("posting a batch: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return fmt.Errorf("reading the acknowledgement: %w", err)
	}
	var ack api.Ack
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the hub answered %d: %s", answer.StatusCode, body)
	}
	if err := json.Unmarshal(body, &ack); err != nil {
		return fmt.Errorf("reading the acknowledgement: %w", err)
	}
	lane := b.Events[0].Lane
	if ack.Committed[lane] != s.seq || len(ack.Refused) > 0 {
		return fmt.Errorf("the hub committed up to %d of %d and refused %v", ack.Committed[lane], s.seq, ack.Refused)
	}
	return nil
}
