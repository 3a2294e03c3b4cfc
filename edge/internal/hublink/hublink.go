// Package hublink is the edge's connection to its hub: none, waiting for an identity, or an uplink.
package hublink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"gridpost/devices"
	"gridpost/devices/retry"
	"gridpost/edge/internal/store"
	"gridpost/edge/internal/uplink"
	"gridpost/firmware-config/enrol"
	"gridpost/hub/api"
)

// Options are what a Link needs.
type Options struct {
	URL    string // of the hub's edge port; empty: there is no hub
	Edge   string // name of the edge, which must be that of the identity
	Dir    string // the edge's data directory, where its identity is
	Logger *slog.Logger
}

// Link is the edge's connection to its hub.
type Link struct {
	o       Options
	store   *store.Store
	states  *uplink.States
	command func(context.Context, api.Command) api.Result

	mu    sync.Mutex
	up    *uplink.Uplink // nil: no hub is named, or the edge is not enrolled
	cause string         // why there is none, in words
}

// New looks for the edge's identity. It refuses one of another name: the hub would take
// this document's devices for the other edge's.
func New(o Options) (*Link, error) {
	l := &Link{o: o}
	if o.URL == "" {
		return l, nil
	}
	id, err := l.identity()
	if err == nil && id.Edge() != o.Edge {
		return nil, fmt.Errorf("the document is for the edge %q, but %s is enrolled as %q", o.Edge, o.Dir, id.Edge())
	}
	return l, nil
}

func (l *Link) identity() (*enrol.Identity, error) {
	id, err := enrol.Load(l.o.Dir)
	if err != nil {
		l.mu.Lock()
		l.cause = err.Error()
		l.mu.Unlock()
	}
	return id, err
}

// Bind says what the uplink works with; it is called before Run.
func (l *Link) Bind(st *store.Store, states *uplink.States, command func(context.Context, api.Command) api.Result) {
	l.store, l.states, l.command = st, states, command
}

// Run works until ctx ends. An edge that is enrolled while it runs begins to send at once.
func (l *Link) Run(ctx context.Context) error {
	if l.o.URL == "" {
		<-ctx.Done()
		return nil
	}
	logged := false
	for {
		id, err := l.identity()
		if err == nil && id.Edge() != l.o.Edge {
			err = fmt.Errorf("the document is for the edge %q, but this edge is enrolled as %q", l.o.Edge, id.Edge())
			l.mu.Lock()
			l.cause = err.Error()
			l.mu.Unlock()
		}
		if err == nil {
			return l.start(id).Run(ctx)
		}
		if !logged {
			logged = true
			l.o.Logger.Warn("nothing is sent to the hub; it is kept until the edge is enrolled", "cause", err)
		}
		if !retry.Sleep(ctx, 2*time.Second) {
			return nil
		}
	}
}

func (l *Link) start(id *enrol.Identity) *uplink.Uplink {
	up := uplink.New(uplink.Options{
		URL: l.o.URL, Identity: id, Store: l.store, States: l.states, Command: l.command, Logger: l.o.Logger,
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up, l.cause = up, ""
	return up
}

// Uplink returns the uplink, or nil while there is none.
func (l *Link) Uplink() *uplink.Uplink {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up
}

// Client returns the HTTP client that speaks to the hub as this edge.
func (l *Link) Client() (*http.Client, error) {
	up := l.Uplink()
	if up == nil {
		return nil, errors.New("this edge has no connection to a hub")
	}
	return up.Client(), nil
}

// Problems returns what an operator must know of the connection.
func (l *Link) Problems() []devices.Cause {
	l.mu.Lock()
	up, cause := l.up, l.cause
	l.mu.Unlock()
	switch {
	case up != nil:
		return up.Problems()
	case cause != "":
		return []devices.Cause{{Text: cause}}
	}
	return nil
}

// Drain waits until the hub has all alerts and states, if it is there, or until ctx ends.
func (l *Link) Drain(ctx context.Context) {
	if up := l.Uplink(); up != nil {
		up.Drain(ctx)
	}
}
