package app

import (
	"context"
	"log/slog"
	"testing"
	"time"
)

// A hub that is told to stop while it starts has not failed, whatever it was doing.
func TestStopWhileStarting(t *testing.T) {
	for i := range 40 {
		ctx, cancel := context.WithCancel(t.Context())
		after := time.Duration(i) * 5 * time.Millisecond
		timer := time.AfterFunc(after, cancel)
		if err := Run(ctx, config(t), "test", slog.New(slog.DiscardHandler)); err != nil {
			t.Errorf("stopped %v after the start: %v", after, err)
		}
		timer.Stop()
		cancel()
	}
}
