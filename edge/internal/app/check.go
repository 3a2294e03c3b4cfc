package app

import (
	"crypto/tls"
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
	for _, t := range doc.Templates {
		if err := check(t.Name, t.Rules); err != nil {
			return fmt.Errorf("checking the document: %w", err)
		}
	}
	for _, s := range doc.Sensors {
		if err := check(s.Name, s.Rules); err != nil {
			return fmt.Errorf("checking the document: %w", err)
		}
	}
	for i, b := range doc.MQTT.Brokers {
		if b.CA != "" {
			if _, err := mqtt.ReadCA(b.CA); err != nil {
				return fmt.Errorf("checking the document: mqtt.brokers[%d].ca: %w", i, err)
			}
		}
		if b.Certificate != "" {
			if _, err := mqtt.ReadCertificate(b.Certificate, b.Key); err != nil {
				return fmt.Errorf("checking the document: mqtt.brokers[%d].certificate: %w", i, err)
			}
		}
	}
	if m := doc.MQTT; m.TLSListen != "" {
		if _, err := tls.LoadX509KeyPair(m.Certificate, m.Key); err != nil {
			return fmt.Errorf("checking the document: mqtt.certificate: %w", err)
		}
	}
	return nil
}
