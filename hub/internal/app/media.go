package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/relay"
	"gridpost/hub/internal/store"
)

// leases keeps the relay's views in the store.
type leases struct{ store *store.Store }

// Begin implements relay.Leases.
func (l leases) Begin(ctx context.Context, lease relay.Lease) (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("naming a view: %w", err)
	}
	return id.String(), l.store.BeginView(ctx, api.ViewRecord{
		ID: id.String(), Edge: lease.Edge, Device: lease.Device, Who: lease.Who, Incident: lease.Incident,
		Reason: lease.Reason, Began: lease.From, Until: lease.Until,
	})
}

// End implements relay.Leases.
func (l leases) End(ctx context.Context, id, why string) error {
	err := l.store.EndView(ctx, id, why)
	if errors.Is(err, store.ErrNotFound) {
		return nil // ended before
	}
	return err
}

// commander sends commands by way of the store, where the edge's stream of commands finds them.
type commander struct {
	store *store.Store
	now   func() time.Time
}

// commandLife is how long a command waits for an edge whose stream is just coming back.
const commandLife = 10 * time.Second

// Command implements relay.Commander.
func (c commander) Command(ctx context.Context, edge string, command api.Command) error {
	e, err := c.store.Edge(ctx, edge)
	if errors.Is(err, store.ErrNotFound) {
		return relay.Refused{Cause: devices.Cause{Text: "there is no edge " + edge}}
	}
	if err != nil {
		return err
	}
	if e.State != "online" {
		return relay.Refused{Cause: devices.Cause{Text: "the edge " + edge + " is not connected"}}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("naming a command: %w", err)
	}
	command.ID, command.Issued = id.String(), c.now().UTC()
	ctx, cancel := context.WithTimeout(ctx, commandLife)
	defer cancel()
	if err := c.store.AddCommand(ctx, edge, command, command.Issued.Add(commandLife)); err != nil {
		return err
	}
	return c.wait(ctx, edge, command.ID)
}

// wait returns when the edge has answered. Another process may have written the answer, so it
// looks now and then without being woken.
func (c commander) wait(ctx context.Context, edge, id string) error {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		wake := c.store.CommandsChanged()
		result, done, err := c.store.CommandResult(ctx, id)
		switch {
		case ctx.Err() != nil:
			return relay.Refused{Cause: devices.Cause{Text: "the edge " + edge + " does not answer"}}
		case err != nil:
			return err
		case done && result.OK:
			return nil
		case done:
			return relay.Refused{Cause: result.Cause}
		}
		select {
		case <-ctx.Done():
			return relay.Refused{Cause: devices.Cause{Text: "the edge " + edge + " does not answer"}}
		case <-wake:
		case <-look.C:
		}
	}
}
