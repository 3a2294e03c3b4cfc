package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// delivery is one alert as the receiver got it.
type delivery struct {
	kind     string // opened, changed, cleared or closed
	incident string
	sequence string
	version  int
}

// receiver takes the hub's webhooks. One request in a hundred is refused, so that deliveries are
// repeated; deliveries are counted by their webhook-id.
type receiver struct {
	server *http.Server
	url    string
	served chan error

	mu       sync.Mutex
	byID     map[string]delivery
	repeated int
	changed  []string // webhook-ids that came again with other content
}

func newReceiver() (*receiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the receiver of webhooks: %w", err)
	}
	r := &receiver{url: "http://" + l.Addr().String() + "/alerts", byID: map[string]delivery{}, served: make(chan error, 1)}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	go func() { r.served <- r.server.Serve(l) }()
	return r, nil
}

func (r *receiver) close() error {
	err := r.server.Close()
	if served := <-r.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil {
		return // the hub has gone; it delivers again
	}
	var e struct {
		Type       string `json:"type"`
		Sequence   string `json:"sequence"`
		IncidentID string `json:"incidentid"`
		Data       struct {
			Version int `json:"version"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	d := delivery{kind: e.Type[strings.LastIndexByte(e.Type, '.')+1:], incident: e.IncidentID, sequence: e.Sequence, version: e.Data.Version}
	id := req.Header.Get("webhook-id")
	r.mu.Lock()
	if before, ok := r.byID[id]; ok {
		r.repeated++
		if before != d {
			r.changed = append(r.changed, id)
		}
	}
	r.byID[id] = d
	r.mu.Unlock()
	if rand.IntN(100) == 0 { // it has it, and says that it has not
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// deliveries returns what came, once per webhook-id, and the ids that came with two contents.
func (r *receiver) deliveries() (all []delivery, changed []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.byID {
		all = append(all, d)
	}
	return all, append([]string(nil), r.changed...)
}

// incident is what a run reads of an incident of the hub.
type incident struct {
	ID        string    `json:"id"`
	Edge      string    `json:"edge"`
	Device    string    `json:"device"`
	Condition string    `json:"condition"`
	Value     *float64  `json:"value"`
	Version   int       `json:"version"`
	OpenedAt  time.Time `json:"opened_at"`
	ClosedAt  time.Time `json:"closed_at"`
	Timeline  []struct {
		Kind string `json:"kind"`
	} `json:"timeline"`
}

// observer watches the hub's live stream over all its restarts and remembers every incident that
// the hub has ever shown. An incident that changes backwards is a violation.
type observer struct {
	report func(format string, args ...any)

	mu   sync.Mutex
	last map[string]incident
}

func newObserver(report func(string, ...any)) *observer {
	return &observer{report: report, last: map[string]incident{}}
}

// saw takes in one state of an incident.
func (o *observer) saw(inc incident) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before, known := o.last[inc.ID]
	if known && inc.Version < before.Version {
		o.report("incident %s of %s/%s went from version %d to %d", inc.ID, inc.Edge, inc.Device, before.Version, inc.Version)
	}
	o.last[inc.ID] = inc
}

// seen returns all incidents that the hub has ever shown.
func (o *observer) seen() map[string]incident {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make(map[string]incident, len(o.last))
	for id, inc := range o.last {
		all[id] = inc
	}
	return all
}

// wavesOf returns the waves of a device that the hub has shown.
func (o *observer) wavesOf(edge, device string) map[int]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	waves := map[int]bool{}
	for _, inc := range o.last {
		if inc.Edge == edge && inc.Device == device && inc.Value != nil {
			waves[waveOf(*inc.Value)] = true
		}
	}
	return waves
}

// run reads the stream again and again until ctx ends. stream reads it once.
func (o *observer) run(ctx context.Context, stream func(ctx context.Context, each func(name string, data []byte) error) error) {
	for ctx.Err() == nil {
		_ = stream(ctx, func(name string, data []byte) error { // it ends with every fault of the hub
			var inc incident
			if name != "incident" {
				return nil
			}
			if err := json.Unmarshal(data, &inc); err != nil {
				return fmt.Errorf("reading an incident's event: %w", err)
			}
			o.saw(inc)
			return nil
		})
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}
