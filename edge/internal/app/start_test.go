package app

import (
	"context"
	"errors"
	"testing"
	"time"
)

// An edge that is told to stop while it starts ends without an error, however far it has come.
func TestStopWhileStarting(t *testing.T) {
	for i := range 60 {
		files := site(t, "edge: gate-7\n")
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(time.Duration(i)*250*time.Microsecond, cancel)
		if err := Run(ctx, Options{Files: files, Dir: files.Dir}); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("stopped %v after the start: %v", time.Duration(i)*250*time.Microsecond, err)
		}
		timer.Stop()
		cancel()
	}
}
