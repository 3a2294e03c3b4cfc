package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"gridpost/devices/problem"
	"gridpost/firmware-config/enrol"
	"gridpost/hub/api"
)

// SyntheticEdge is an enrolled edge that does nothing but post events, over the hub's edge port.
type SyntheticEdge struct {
	client *http.Client
	url    string
	epoch  string

	mu  sync.Mutex // one batch at a time, so that what is acknowledged is known
	seq map[api.Lane]uint64
}

// EdgeEvent is one event to post.
type EdgeEvent struct {
	Lane api.Lane
	Kind api.Kind
	Data any
}

// NewSyntheticEdge enrols an edge called name, with its identity in dir. The caller closes it.
func NewSyntheticEdge(ctx context.Context, hub *Hub, name, dir string) (*SyntheticEdge, error) {
	if err := hub.Enrol(ctx, name, dir); err != nil {
		return nil, err
	}
	id, err := enrol.Load(dir)
	if err != nil {
		return nil, err
	}
	return &SyntheticEdge{
		client: id.Client(), url: hub.EdgeURL(),
		epoch: uuid.Must(uuid.NewV7()).String(), seq: map[api.Lane]uint64{},
	}, nil
}

// Close closes idle connections.
func (b *SyntheticEdge) Close() { b.client.CloseIdleConnections() }

// Post sends events, in as many batches as they need, and expects all of them to be committed:
// they are on the hub's disk when it returns.
func (b *SyntheticEdge) Post(ctx context.Context, events []EdgeEvent) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(events) > 0 {
		n := min(len(events), api.MaxBatchEvents)
		batch, err := b.number(events[:n])
		if err != nil {
			return err
		}
		ack, err := b.send(ctx, batch)
		if err != nil {
			return err
		}
		if len(ack.Refused) > 0 {
			return fmt.Errorf("the hub refused %d events, the first because %s", len(ack.Refused), ack.Refused[0].Reason)
		}
		for _, e := range batch.Events {
			if ack.Committed[e.Lane] != b.seq[e.Lane] {
				return fmt.Errorf("the hub committed lane %s up to %d of %d", e.Lane, ack.Committed[e.Lane], b.seq[e.Lane])
			}
		}
		events = events[n:]
	}
	return nil
}

// number returns a batch of events with their sequence numbers. Numbers are never used again, because a
// batch may have arrived although sending it failed.
func (b *SyntheticEdge) number(events []EdgeEvent) (api.Batch, error) {
	now := time.Now()
	batch := api.Batch{Epoch: b.epoch, Sent: now, Events: make([]api.Event, 0, len(events))}
	for _, e := range events {
		data, err := json.Marshal(e.Data)
		if err != nil {
			return batch, fmt.Errorf("writing an event: %w", err)
		}
		b.seq[e.Lane]++
		batch.Events = append(batch.Events, api.Event{Lane: e.Lane, Seq: b.seq[e.Lane], Kind: e.Kind, Time: now, Data: data})
	}
	return batch, nil
}

func (b *SyntheticEdge) send(ctx context.Context, batch api.Batch) (api.Ack, error) {
	return PostBatch(ctx, b.client, b.url, 1, batch)
}

// PostBatch posts one batch to the edge port of the hub at url, in a version of the protocol. Any status but
// 200 is a *problem.Error.
func PostBatch(ctx context.Context, client *http.Client, url string, protocol int, batch api.Batch) (ack api.Ack, err error) {
	text, err := json.Marshal(batch)
	if err != nil {
		return ack, fmt.Errorf("encoding a batch: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/edge/v1/events", bytes.NewReader(text))
	if err != nil {
		return ack, fmt.Errorf("posting a batch: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(api.HeaderProtocol, strconv.Itoa(protocol))
	answer, err := client.Do(r)
	if err != nil {
		return ack, fmt.Errorf("posting a batch: %w", err)
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if answer.StatusCode != http.StatusOK {
		return ack, fmt.Errorf("posting a batch: %w", problem.FromResponse(answer))
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return ack, fmt.Errorf("reading the acknowledgement: %w", err)
	}
	if err := json.Unmarshal(body, &ack); err != nil {
		return ack, fmt.Errorf("reading the acknowledgement: %w", err)
	}
	return ack, nil
}
