package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/access"
	"gridpost/hub/internal/commands"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/ingest"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/relay"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/leases"
)

// viewLeases stores the leases of live video and of clips, and ends the views of those that somebody else ends.
type viewLeases struct {
	keeper *leases.Keeper
	access *access.Registry

	mu   sync.Mutex
	held map[string]func() // what releases the grants of leases that have begun and not ended
}

// Begin implements relay.Leases.
func (l *viewLeases) Begin(ctx context.Context, lease relay.Lease) (string, context.Context, error) {
	id, err := l.keeper.Begin(ctx, leases.Lease{
		Edge: lease.Edge, Device: lease.Device, Who: lease.User, Incident: lease.Incident,
		Reason: lease.Reason, File: lease.File, Began: lease.From, Until: lease.Until,
	})
	if err != nil {
		return "", nil, err
	}
	held, release, err := l.access.Hold(context.WithoutCancel(ctx), access.Grant{Lease: id})
	if err != nil {
		l.keeper.End(id, problem.NewCause("video_request_ended"))
		return "", nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[id] = release
	return id, held, nil
}

// End implements relay.Leases.
func (l *viewLeases) End(id string, cause devices.Cause) {
	l.keeper.End(id, cause)
	l.mu.Lock()
	release := l.held[id]
	delete(l.held, id)
	l.mu.Unlock()
	if release != nil {
		release()
	}
}

// edgeMedia hands the publications of edges to the relay.
type edgeMedia struct{ *relay.Relay }

// ServeWHIP implements ingest.Media.
func (m edgeMedia) ServeWHIP(w http.ResponseWriter, r *http.Request, p ingest.Publication) {
	m.Relay.ServeWHIP(w, r, relay.Publication{
		Edge: p.Edge, Device: p.Device, Stream: p.Stream, By: "edge:" + p.Edge, Access: p.Access, Release: p.Release,
	})
}

// commander sends commands to an edge that is connected to this hub in memory; others through the database,
// where the edge's stream of commands finds them, on whichever hub that is.
type commander struct {
	live  *commands.Channel
	edges *edges.Repository
	now   func() time.Time
}

// commandLife is how long a command waits for an edge whose stream is just coming back.
const commandLife = 10 * time.Second

// Command implements relay.Commander.
func (c commander) Command(ctx context.Context, edge string, command api.Command) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("generating the ID of a command: %w", err)
	}
	command.ID, command.Issued = id.String(), c.now().UTC()
	ctx, cancel := context.WithTimeout(ctx, commandLife)
	defer cancel()
	result, err := c.live.Send(ctx, edge, command)
	switch {
	case err == nil:
		return outcome(result)
	case errors.Is(err, commands.ErrUnavailable):
		return c.queue(ctx, edge, command)
	}
	return problem.New("video_edge_silent") // ctx has ended
}

// queue sends a command through the database.
func (c commander) queue(ctx context.Context, edge string, command api.Command) error {
	e, err := c.edges.Edge(ctx, scope.All(), edge)
	if errors.Is(err, db.ErrNotFound) {
		return problem.New("video_edge_unknown", "edge", edge)
	}
	if err != nil {
		return err
	}
	if e.State != edges.Online {
		return problem.New("video_edge_offline", "edge", edge)
	}
	if err := c.edges.AddCommand(ctx, edge, command, command.Issued.Add(commandLife)); err != nil {
		return err
	}
	return c.wait(ctx, command.ID)
}

// wait returns when the edge has answered.
func (c commander) wait(ctx context.Context, id string) error {
	for {
		wake := c.edges.CommandFinished(id)
		result, done, err := c.edges.CommandResult(ctx, id)
		switch {
		case ctx.Err() != nil:
			return problem.New("video_edge_silent")
		case err != nil:
			return err
		case done:
			return outcome(result)
		}
		select {
		case <-ctx.Done():
			return problem.New("video_edge_silent")
		case <-wake:
		}
	}
}

// outcome returns the error of an edge's answer.
func outcome(r api.Result) error {
	if r.OK {
		return nil
	}
	return relay.Refused{Cause: r.Cause}
}
