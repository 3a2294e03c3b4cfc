package notify

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// contentType is that of a CloudEvent in structured JSON (CloudEvents JSON format 1.0, section 3).
const contentType = "application/cloudevents+json; charset=utf-8"

// source1 is the source of all events of the versions whose alerts had no UUID. Events of theirs that are still
// to be delivered keep it, and their IDs, so that receivers know them again.
const source1 = "urn:gridpost:hub"

// cloudEvent is the body of a delivery (CloudEvents 1.0). Sequence is the extension attribute of
// that name; it has leading zeros, because receivers compare it as text.
type cloudEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Subject         string          `json:"subject,omitempty"`
	Time            time.Time       `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	DataSchema      string          `json:"dataschema,omitempty"`
	Sequence        string          `json:"sequence,omitempty"`
	IncidentID      string          `json:"incidentid,omitempty"`
	Data            json.RawMessage `json:"data"`
}

// event returns a delivery as a CloudEvent, in the target's format. It is the same in every attempt, unless the
// public URL of the hub changes in between.
func (n *Notifier) event(t Target, d Delivery) (cloudEvent, error) {
	a := d.Alert
	e := cloudEvent{
		SpecVersion:     "1.0",
		ID:              a.ID,
		Source:          n.o.Source,
		Type:            eventType(a.Kind),
		Subject:         a.Device,
		Time:            a.Time.UTC(),
		DataContentType: "application/json",
		IncidentID:      a.Incident,
		Data:            a.Data,
	}
	if d.Sequence > 0 {
		e.Sequence = fmt.Sprintf("%020d", d.Sequence)
	}
	if a.ID == "" {
		e.ID, e.Source = strconv.FormatInt(d.Sequence, 10), source1
	}
	if a.Kind == test {
		return e, nil
	}
	if t.Format == 1 {
		if a.Kind1 != "" {
			e.Type = eventType(a.Kind1)
		}
		return e, nil
	}
	data, schema, err := n.o.Present(a.Data)
	if err != nil {
		return e, fmt.Errorf("completing alert %s: %w", a.ID, err)
	}
	e.Data, e.DataSchema = data, schema
	return e, nil
}

// body returns the body of a delivery.
func (n *Notifier) body(t Target, d Delivery) ([]byte, error) {
	e, err := n.event(t, d)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encoding alert %s as a CloudEvent: %w", d.Alert.ID, err)
	}
	return b, nil
}
