package app

import (
	"fmt"
	"time"

	"gridpost/detection/rules"

	firmwareconfig "gridpost/firmware-config"
)

// Check makes everything of a document that can be made without touching the site, and returns
// what Run would stumble over.
func Check(doc *firmwareconfig.Document) error {
	for _, c := range doc.Cameras {
		if _, err := rules.NewEngine(c.Name, c.Rules, newID); err != nil {
			return fmt.Errorf("checking the document: %w", err)
		}
	}
	e := &edge{o: Options{Document: doc}.withDefaults()}
	if _, _, err := newSensors(e, nil, time.Now()); err != nil {
		return fmt.Errorf("checking the document: %w", err)
	}
	return nil
}
