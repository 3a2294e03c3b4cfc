package notify

import (
	"encoding/json"
	"fmt"
	"time"
)

// contentType is that of a CloudEvent in structured JSON (CloudEvents JSON format 1.0, section 3).
const contentType = "application/cloudevents+json; charset=utf-8"

// cloudEvent is an alert as receivers get it (CloudEvents 1.0). Sequence is the extension of
// that name: it orders alerts as text, so it has leading zeros.
type cloudEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Subject         string          `json:"subject,omitempty"`
	Time            time.Time       `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	Sequence        string          `json:"sequence"`
	IncidentID      string          `json:"incidentid,omitempty"`
	Data            json.RawMessage `json:"data"`
}

// body returns the bytes of an alert's delivery. They are the same at every attempt.
func body(source string, a Alert) ([]byte, error) {
	b, err := json.Marshal(cloudEvent{
		SpecVersion:     "1.0",
		ID:              a.ID,
		Source:          source,
		Type:            eventType(a.Kind),
		Subject:         a.Device,
		Time:            a.Time.UTC(),
		DataContentType: "application/json",
		Sequence:        fmt.Sprintf("%020d", a.Sequence),
		IncidentID:      a.Incident,
		Data:            a.Data,
	})
	if err != nil {
		return nil, fmt.Errorf("writing alert %s as a CloudEvent: %w", a.ID, err)
	}
	return b, nil
}
