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
	"gridpost/devices/clock"
	"gridpost/devices/retry"
	"gridpost/edge/internal/uplink"
	"gridpost/firmware-config/enrol"
	"gridpost/hub/api"
)

// Store is what an uplink delivers from.
type Store interface {
	uplink.Store
	// Deliver says whether there is a hub to deliver to.
	Deliver(on bool)
}

// Options are what a Link needs.
type Options struct {
	Edge    string // name of the edge, which must be that of the identity
	Dir     string // the edge's data directory, where its identity is
	Store   Store
	States  *uplink.States
	Command func(context.Context, api.Command) api.Result // carries out a command of the hub
	Share   func() uplink.Share                           // what clips may use of the line; nil: all of it
	Logger  *slog.Logger
}

// Link is the edge's connection to its hub. The hub may change while it runs.
type Link struct {
	o       Options
	clock   *clock.Clock  // learns from the hub, and outlives identities
	changed chan struct{} // room for one: the URL has changed

	mu    sync.Mutex
	url   string         // of the hub's edge port; empty: there is no hub
	up    *uplink.Uplink // nil: no hub is named, or the edge is not enrolled
	cause devices.Cause  // why there is none
}

// identityInterval is how often an edge that is not enrolled looks for an identity.
const identityInterval = 2 * time.Second

// New returns a Link without a hub.
func New(o Options) *Link {
	return &Link{o: o, clock: clock.New(clock.Options{}), changed: make(chan struct{}, 1)}
}

// Check says why this edge cannot use a hub: its identity has another name, and the hub would take
// this document's devices for those of the other edge. An edge without an identity may be enrolled
// later.
func Check(edge, dir string) error {
	id, err := enrol.Load(dir)
	if err == nil && id.Edge() != edge {
		return fmt.Errorf("the document is for the edge %q, but %s is enrolled as %q", edge, dir, id.Edge())
	}
	return nil
}

// SetURL changes the hub; empty: there is none. It never blocks. It reports whether that is a change.
func (l *Link) SetURL(url string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.url == url {
		return false
	}
	l.url = url
	select {
	case l.changed <- struct{}{}:
	default:
	}
	return true
}

// URL returns the address of the hub, or nothing.
func (l *Link) URL() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.url
}

// Run works until ctx ends.
func (l *Link) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := l.serve(ctx); err != nil {
			return err
		}
	}
	return nil
}

// serve works for one hub, until ctx ends or the hub changes.
func (l *Link) serve(ctx context.Context) error {
	url := l.URL()
	l.o.Store.Deliver(url != "")
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- l.connect(ctx, url) }()
	select {
	case err := <-done:
		return err
	case <-l.changed:
		cancel()
		err := <-done
		l.set(nil, devices.Cause{})
		return err
	}
}

// connect runs an uplink as soon as the edge is enrolled, until ctx ends.
func (l *Link) connect(ctx context.Context, url string) error {
	if url == "" {
		<-ctx.Done()
		return nil
	}
	logged := false
	for {
		id, err := l.identity()
		if err == nil {
			up := uplink.New(uplink.Options{URL: url, Identity: id, Store: l.o.Store, States: l.o.States, Command: l.o.Command, Share: l.o.Share, Logger: l.o.Logger})
			l.set(up, devices.Cause{})
			return up.Run(ctx)
		}
		l.set(nil, devices.NewCause("not_enrolled", "reason", err.Error()))
		if !logged {
			logged = true
			l.o.Logger.Warn("nothing is sent to the hub until the edge is enrolled", "cause", err)
		}
		if !retry.Sleep(ctx, identityInterval) {
			return nil
		}
	}
}

func (l *Link) identity() (*enrol.Identity, error) {
	id, err := enrol.Load(l.o.Dir)
	if err != nil {
		return nil, err
	}
	if id.Edge() != l.o.Edge {
		return nil, fmt.Errorf("the document is for the edge %q, but this edge is enrolled as %q", l.o.Edge, id.Edge())
	}
	id.UseClock(l.clock)
	return id, nil
}

func (l *Link) set(up *uplink.Uplink, cause devices.Cause) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up, l.cause = up, cause
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

// Clock returns how far this machine's clock can be trusted.
func (l *Link) Clock() api.ClockGrade { return api.ClockGrade(l.clock.Grade()) }

// Problems returns what an operator must know of the connection, worst first.
func (l *Link) Problems() []devices.Cause {
	l.mu.Lock()
	up, cause := l.up, l.cause
	l.mu.Unlock()
	switch {
	case up != nil:
		return up.Problems()
	case !cause.IsZero():
		return []devices.Cause{cause}
	}
	return nil
}

// Drain waits until the hub has all alerts and states, if it is reachable, or until ctx ends.
func (l *Link) Drain(ctx context.Context) {
	if up := l.Uplink(); up != nil {
		up.Drain(ctx)
	}
}
