package store

import (
	"context"

	"gridpost/detection"
)

// SaveIncident saves one alert.
func (s *Store) SaveIncident(ctx context.Context, inc detection.Incident) error {
	return s.SaveIncidents(ctx, []detection.Incident{inc})
}
