package uplink

import (
	"context"
	"sync"
)

// gate keeps telemetry and evidence from starting a request while alerts are being sent. A piece
// that has begun is finished: it is small enough.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // nil: open; otherwise closed when it opens
}

// shut closes the gate; the alerts loop calls it when it has found alerts.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		g.open = make(chan struct{})
	}
}

// lift opens the gate; the alerts loop calls it when no alerts wait, and when it fails, so that
// its trouble does not become that of the others.
func (g *gate) lift() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open != nil {
		close(g.open)
		g.open = nil
	}
}

// pass waits until the gate is open. It returns false when ctx ended before.
func (g *gate) pass(ctx context.Context) bool {
	for {
		g.mu.Lock()
		open := g.open
		g.mu.Unlock()
		if open == nil {
			return ctx.Err() == nil
		}
		select {
		case <-open:
		case <-ctx.Done():
			return false
		}
	}
}
