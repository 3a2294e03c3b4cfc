package app

import (
	"context"

	"gridpost/detection"
	"gridpost/devices"

	firmwareconfig "gridpost/firmware-config"
)

// memory is what the rules of a sensor knew when it last ran.
type memory struct {
	newest  *devices.Reading // that is stored; nil: none
	pending []detection.Pending
}

// loadMemory reads what the rules of a document's sensors knew when they last ran, for those that do not
// run yet, and removes what is known of other sensors. What cannot be read is as if it had never been
// known.
func (e *edge) loadMemory(ctx context.Context, doc *firmwareconfig.Document) {
	pending, err := e.store.Pending(ctx)
	if err != nil {
		e.o.Logger.Error("since when conditions of rules hold could not be read; they start anew", "error", err)
	}
	loaded := map[string]memory{}
	for _, s := range doc.Sensors {
		if !e.sensorRuns(s.Name) {
			newest, err := e.store.NewestReading(ctx, s.Name)
			if err != nil {
				e.o.Logger.Error("the newest reading could not be read", "device", s.Name, "error", err)
			}
			loaded[s.Name] = memory{newest: newest, pending: pending[s.Name]}
		}
		delete(pending, s.Name)
	}
	for device := range pending {
		e.forget(device)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.memory = loaded
}

func (e *edge) sensorRuns(name string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.running.sensors[name] != nil
}

// forget removes what was pending of a sensor that is gone.
func (e *edge) forget(sensor string) {
	if err := e.store.SavePending(context.Background(), sensor, nil); err != nil {
		e.o.Logger.Error("what was pending of a sensor that is gone could not be removed", "device", sensor, "error", err)
	}
}
