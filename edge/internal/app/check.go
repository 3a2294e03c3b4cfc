package app

import (
	"fmt"
	"time"

	"gridpost/detection/rules"
	"gridpost/devices/mqtt"
	"gridpost/edge/internal/incidents"
	"gridpost/edge/internal/sensor"

	firmwareconfig "gridpost/firmware-config"
)

// Check makes everything of a document that can be made without touching the site, and returns
// the errors that Run would meet.
func Check(doc *firmwareconfig.Document) error {
	for _, c := range doc.Cameras {
		if _, err := rules.NewEngine(c.Name, c.Rules, incidents.NewID); err != nil {
			return fmt.Errorf("checking the document: %w", err)
		}
	}
	for i, b := range doc.MQTT.Brokers {
		if b.CA == "" {
			continue
		}
		if _, err := mqtt.ReadCA(b.CA); err != nil {
			return fmt.Errorf("checking the document: mqtt.brokers[%d].ca: %w", i, err)
		}
	}
	if _, _, err := sensor.New(sensor.Options{Document: doc}, nil, time.Now()); err != nil {
		return fmt.Errorf("checking the document: %w", err)
	}
	return nil
}
