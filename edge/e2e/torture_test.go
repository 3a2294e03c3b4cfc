package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"gridpost/edge/e2e/faults"
)

// Every kind of fault is injected at least once, two at a time, and nothing that was acknowledged is
// lost, doubled or wrong. `make torture` does the same for longer.
func TestFaultsLoseAndDoubleNothing(t *testing.T) {
	// The logs of a failed run are to be read afterwards, so that t.TempDir does not do.
	dir, err := os.MkdirTemp("", "gridpost-torture-")
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().Unix())
	result, err := faults.Run(t.Context(), faults.Options{
		Programs: programs(t), Root: "../..", Cache: filepath.Dir(os.Getenv(footageKey)), Dir: dir,
		Seed: seed, Progress: t.Logf, // no time beyond that: each fault once
	})
	if err != nil || !result.OK {
		t.Fatalf("with the seed %d: %v; %d violations; logs and data are in %s", seed, err, len(result.Violations), dir)
	}
	if len(result.NotTested) > 0 && os.Getenv("CI") != "" {
		t.Errorf("not tested: %q", result.NotTested)
	}
	if result.Incidents == 0 || result.Readings == 0 {
		t.Errorf("only %d incidents and %d readings: nothing was tested", result.Incidents, result.Readings)
	}
	t.Logf("%+v", result)
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}
