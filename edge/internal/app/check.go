package app

import (
	"fmt"

	"gridpost/detection/rules"
	"gridpost/devices/mqtt"
	"gridpost/edge/internal/incidents"

	firmwareconfig "gridpost/firmware-config"
)

// Check makes everything of a document that can be made without touching the site, and returns
// the errors that Run would meet.
func Check(doc *firmwareconfig.Document) error {
	check := func(device string, specs []rules.Spec) error {
		_, err := rules.NewEngine(device, specs, incidents.NewID)
		return err
	}
	for _, c := range doc.Cameras {
		if err := check(c.Name, c.Rules); err != nil {
			return fmt.Errorf("checking the document: %w", err)
		}
	}
	for _, s := range doc.Sensors {
		if err := check(s.Name, s.Rules); err != nil {
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
	return nil
}
