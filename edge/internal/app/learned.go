package app

import (
	"context"
	"fmt"

	"gridpost/edge/internal/reconcile"
	"gridpost/edge/internal/status"
)

// learned returns what the rules of a camera had learned when it last ran. What cannot be read is learned anew.
func (e *edge) learned(name string) map[string][]byte {
	learned, err := e.store.Learned(context.Background(), name)
	if err != nil {
		e.o.Logger.Error("what the rules of a camera have learned could not be read; they learn anew", "device", name, "error", err)
	}
	return learned
}

// unlearn removes what the rules of a camera have learned that is gone.
func (e *edge) unlearn(name string) {
	if err := e.store.SaveLearned(context.Background(), name, nil); err != nil {
		e.o.Logger.Error("what the rules of a camera that is gone have learned could not be removed", "device", name, "error", err)
	}
}

// acceptView makes what a camera shows now the view that it is to show.
func (e *edge) acceptView(_ context.Context, name string) (any, error) {
	c := e.camera(name)
	if c == nil {
		return nil, &status.Refused{Reason: fmt.Sprintf("there is no camera %q", name)}
	}
	c.AcceptView()
	e.mu.Lock()
	defer e.mu.Unlock()
	return Changes{File: e.source.File, Cameras: reconcile.Changes{Updated: []string{name}}}, nil
}
