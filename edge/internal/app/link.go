package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"gridpost/edge/internal/store"
	"gridpost/edge/internal/uplink"
	"gridpost/firmware-config/enrol"
	"gridpost/hub/api"
)

// link is the way to the hub: none, not enrolled yet, or an uplink.
type link struct {
	o       Options
	store   *store.Store
	command func(context.Context, api.Command) api.Result

	mu    sync.Mutex
	up    *uplink.Uplink // nil: no hub is named, or the edge is not enrolled
	cause string         // why there is none, in words
}

// newLink looks for the edge's identity. It refuses one of another name: the hub would take
// this document's devices for the other edge's.
func newLink(o Options) (*link, error) {
	l := &link{o: o}
	if o.Document.Hub.URL == "" {
		return l, nil
	}
	id, err := l.identity()
	if err == nil && id.Edge() != o.Document.Edge {
		return nil, fmt.Errorf("the document is for the edge %q, but %s is enrolled as %q", o.Document.Edge, o.Dir, id.Edge())
	}
	return l, nil
}

func (l *link) identity() (*enrol.Identity, error) {
	id, err := enrol.Load(l.o.Dir)
	if err != nil {
		l.mu.Lock()
		l.cause = err.Error()
		l.mu.Unlock()
	}
	return id, err
}

// bind says what the uplink works with; it is called before run.
func (l *link) bind(st *store.Store, command func(context.Context, api.Command) api.Result) {
	l.store, l.command = st, command
}

// run works until ctx ends. An edge that is enrolled while it runs begins to send at once.
func (l *link) run(ctx context.Context) error {
	if l.o.Document.Hub.URL == "" {
		<-ctx.Done()
		return nil
	}
	said := false
	for {
		id, err := l.identity()
		if err == nil && id.Edge() != l.o.Document.Edge {
			err = fmt.Errorf("the document is for the edge %q, but this edge is enrolled as %q", l.o.Document.Edge, id.Edge())
			l.mu.Lock()
			l.cause = err.Error()
			l.mu.Unlock()
		}
		if err == nil {
			return l.start(id).Run(ctx)
		}
		if !said {
			said = true
			l.o.Logger.Warn("nothing is sent to the hub; it is kept until the edge is enrolled", "cause", err)
		}
		if !sleep(ctx, 2*time.Second) {
			return nil
		}
	}
}

func (l *link) start(id *enrol.Identity) *uplink.Uplink {
	up := uplink.New(uplink.Options{
		URL: l.o.Document.Hub.URL, Identity: id, Store: l.store, Command: l.command, Logger: l.o.Logger,
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up, l.cause = up, ""
	return up
}

func (l *link) uplink() *uplink.Uplink {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up
}

// client returns the HTTP client that speaks to the hub as this edge.
func (l *link) client() (*http.Client, error) {
	up := l.uplink()
	if up == nil {
		return nil, errors.New("this edge has no line to a hub")
	}
	return up.Client(), nil
}

// problems returns what a person must know of the line, in words.
func (l *link) problems() []string {
	l.mu.Lock()
	up, cause := l.up, l.cause
	l.mu.Unlock()
	switch {
	case up != nil:
		return up.Problems()
	case cause != "":
		return []string{cause}
	}
	return nil
}

// drain waits until the hub has all alerts and states, if it is there, or until ctx ends.
func (l *link) drain(ctx context.Context) {
	up := l.uplink()
	if up == nil {
		return
	}
	for {
		if online, _ := up.State(); !online {
			return
		}
		waiting := l.store.Waiting()
		if waiting[api.LaneAlerts]+waiting[api.LaneState] == 0 {
			return
		}
		if !sleep(ctx, 20*time.Millisecond) {
			return
		}
	}
}
