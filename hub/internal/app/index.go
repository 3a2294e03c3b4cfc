package app

import (
	"context"

	"gridpost/devices/retry"
)

// indexIncidents indexes the incidents that the full-text index lacks, after an upgrade or a copy from
// another database.
func (h *hub) indexIncidents(ctx context.Context) error {
	wait := retry.Policy{}.New()
	for {
		err := h.incidents.IndexBacklog(ctx)
		if err == nil || ctx.Err() != nil {
			break
		}
		h.log.Error("indexing incidents", "error", err)
		wait.Wait(ctx)
	}
	<-ctx.Done()
	return nil
}
