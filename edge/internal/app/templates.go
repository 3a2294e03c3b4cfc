package app

import (
	"context"
	"fmt"

	"gridpost/devices"
	"gridpost/edge/internal/reconcile"
	"gridpost/edge/internal/status"

	firmwareconfig "gridpost/firmware-config"
)

// withTemplates returns a document with the sensors that its templates have become.
func (e *edge) withTemplates(doc *firmwareconfig.Document) *firmwareconfig.Document {
	full := *doc
	full.Sensors = append(doc.Sensors[:len(doc.Sensors):len(doc.Sensors)], e.templates.Sensors()...)
	return &full
}

// submit takes a message of a broker over, as devices.Store says.
func (e *edge) submit(ctx context.Context, m devices.Message, done func(error)) {
	e.discovered.Notice(m)
	if e.templates.Notice(m) {
		if err := e.addSensors(ctx); err != nil {
			done(err)
			return
		}
	}
	e.intake.Submit(ctx, m, done)
}

// addSensors starts the sensors that templates have become. When ctx ends before, the next change of the
// devices starts them.
func (e *edge) addSensors(ctx context.Context) error {
	select {
	case e.applying <- struct{}{}:
	case <-ctx.Done(): // such as the broker's: a reload that stops it may hold applying
		return context.Cause(ctx)
	}
	defer func() { <-e.applying }()
	e.mu.Lock()
	base := e.base
	e.mu.Unlock()
	doc := e.withTemplates(base)
	e.loadMemory(ctx, doc)
	e.setDevices(doc)
	_, err := e.sensors.Apply(ctx, e.wantedSensors(doc))
	return err
}

// setDevices makes the devices of a document known to everything that a device needs before it runs. The
// caller holds applying.
func (e *edge) setDevices(doc *firmwareconfig.Document) {
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
	// New sensors have an inbox before they start, and removed ones get no messages any more.
	e.intake.SetSensors(doc.Sensors)
}

// forgetDevice removes a device of a template, until it is heard of again.
func (e *edge) forgetDevice(ctx context.Context, name string) (any, error) {
	if !e.templates.Forget(name) {
		return nil, &status.Refused{Reason: fmt.Sprintf("no template has a device %q", name)}
	}
	e.mu.Lock()
	file := e.source.File
	e.mu.Unlock()
	return Changes{File: file, Sensors: reconcile.Changes{Removed: []string{name}}}, e.addSensors(ctx)
}
