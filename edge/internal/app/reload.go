package app

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"gridpost/edge/internal/hublink"
	"gridpost/edge/internal/reconcile"

	firmwareconfig "gridpost/firmware-config"
)

// Changes are what a new document changed.
type Changes struct {
	Cameras reconcile.Changes `json:"cameras"`
	Sensors reconcile.Changes `json:"sensors"`
	Brokers reconcile.Changes `json:"brokers"`
	Hub     bool              `json:"hub,omitempty"` // another hub, or none, or one where none was
}

// check says why a document cannot replace the one that runs.
func (e *edge) check(doc *firmwareconfig.Document) error {
	if doc.Edge != e.name {
		return fmt.Errorf("edge: a running edge cannot be renamed: it is %q, the document is for %q", e.name, doc.Edge)
	}
	if err := Check(doc); err != nil {
		return err
	}
	if doc.Hub.URL != "" {
		return hublink.Check(e.name, e.o.Dir)
	}
	return nil
}

// apply makes the edge run a document that check accepts. Devices that have not changed are not
// touched. It returns when all that changed runs.
func (e *edge) apply(ctx context.Context, doc *firmwareconfig.Document) (Changes, error) {
	e.applying.Lock()
	defer e.applying.Unlock()
	e.mu.Lock()
	e.document = doc
	e.mu.Unlock()
	for _, c := range doc.Cameras {
		e.states.Add(c.Name)
	}
	for _, s := range doc.Sensors {
		e.states.Add(s.Name)
	}
	// The inventory first: the hub must know a device before it gets its state.
	e.newest.SetInventory(inventory(doc, e.o.Version))
	var changes Changes
	changes.Hub = e.link.SetURL(doc.Hub.URL)
	if changes.Hub {
		e.publish.StopAll(ctx)
	}
	// New sensors have an inbox before they start, and removed ones get no messages any more.
	e.intake.SetSensors(doc.Sensors)
	var all errgroup.Group
	all.Go(func() (err error) {
		changes.Cameras, err = e.cameras.Apply(ctx, e.wantedCameras(doc))
		return err
	})
	all.Go(func() (err error) {
		if changes.Sensors, err = e.sensors.Apply(ctx, e.wantedSensors(doc)); err != nil {
			return err
		}
		changes.Brokers, err = e.brokers.Apply(ctx, e.wantedBrokers(doc))
		return err
	})
	return changes, all.Wait()
}
