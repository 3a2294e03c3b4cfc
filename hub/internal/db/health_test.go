package db

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestFailingReads: reads that fail one after the other are noticed; one that succeeds, one whose caller has gone,
// and one that finds nothing are no failures.
func TestFailingReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h readHealth
		broken := errors.New("database disk image is malformed")
		fail := func(n int) {
			for range n {
				h.note(t.Context(), broken)
			}
		}
		fail(failingReads - 1)
		if err := h.check(); err != nil {
			t.Errorf("after %d failures: %v", failingReads-1, err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		h.note(gone, context.Canceled)
		if err := h.check(); err != nil {
			t.Errorf("a caller who has gone counts: %v", err)
		}
		fail(1)
		if err := h.check(); err == nil {
			t.Error("reads that fail are not noticed")
		}
		time.Sleep(failingFor + time.Second)
		if err := h.check(); err != nil {
			t.Errorf("nothing was read for long: %v", err)
		}
		fail(1)
		if err := h.check(); err == nil {
			t.Error("the next failure is not noticed")
		}
		h.note(t.Context(), ErrNotFound)
		if err := h.check(); err != nil {
			t.Errorf("after a read that succeeded: %v", err)
		}
	})
}
