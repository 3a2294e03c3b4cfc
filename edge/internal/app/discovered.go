package app

import (
	"context"
	"fmt"

	"gridpost/edge/internal/sitefile"
	"gridpost/edge/internal/status"

	firmwareconfig "gridpost/firmware-config"
)

// waiting returns the devices that have announced themselves and are not in the document.
func (e *edge) waiting() []status.Discovered {
	e.mu.Lock()
	doc := e.document
	e.mu.Unlock()
	var all []status.Discovered
	for _, d := range e.discovered.Waiting(doc) {
		all = append(all, status.Discovered{Device: d, Entries: doc.SensorEntries(d.Discovered, d.Broker)})
	}
	return all
}

// adopt makes sensors of a discovered device, or of one of its values, and saves the document with them as an
// applied one.
func (e *edge) adopt(ctx context.Context, name string) (any, error) {
	e.applying <- struct{}{}
	defer func() { <-e.applying }()
	entries, err := e.entriesOf(name)
	if err != nil {
		return nil, err
	}
	file, text, err := e.o.Files.Text()
	if err == nil {
		text, err = firmwareconfig.AddSensors(text, entries)
	}
	if err != nil {
		return nil, &status.Refused{Reason: err.Error()}
	}
	doc, err := e.o.Files.Parse(file, text)
	if err == nil {
		err = e.check(doc, file)
	}
	if err == nil {
		err = e.o.Files.SaveApplied(file, text)
	}
	if err != nil {
		return nil, &status.Refused{Reason: err.Error()}
	}
	return e.commit(ctx, doc, sitefile.Source{File: file, Applied: true})
}

// entriesOf returns the entry of a value by its name, or those of a device by its name or ID.
func (e *edge) entriesOf(name string) ([]firmwareconfig.SensorEntry, error) {
	var found []firmwareconfig.SensorEntry
	for _, d := range e.waiting() {
		device := d.Name == name || d.ID == name
		for _, entry := range d.Entries {
			if device && entry.Needs == "" || entry.Name == name {
				found = append(found, entry)
			}
		}
		if device && len(found) == 0 {
			return nil, &status.Refused{Reason: fmt.Sprintf("no value of %q can be read as it is: see `edge discovered`", name)}
		}
		if len(found) > 0 {
			return found, nil
		}
	}
	return nil, &status.Refused{Reason: fmt.Sprintf("no device %q has announced itself that is not in the document: see `edge discovered`", name)}
}
