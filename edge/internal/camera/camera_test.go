package camera

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"gridpost/detection"
	"gridpost/detection/supervisor"
	"gridpost/detection/wire"
	"gridpost/devices"

	firmwareconfig "gridpost/firmware-config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type alerts struct{ err error }

func (a alerts) Save(context.Context, string, []detection.Incident) error { return a.err }

// TestMissedSnapshotsAreAProblem until one could be taken.
func TestMissedSnapshotsAreAProblem(t *testing.T) {
	c, err := New(Options{
		Config: firmwareconfig.Camera{Name: "yard"}, Alerts: alerts{errors.New("the disk is full")}, Logger: slog.New(slog.DiscardHandler),
		OnState: func(devices.State, devices.Cause) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	opened := []detection.Incident{{ID: "a", Version: 1, State: detection.Open}}
	c.save(t.Context(), opened, &wire.Result{})
	p := c.Problems()
	if len(p) != 1 || p[0].Code != "snapshots_missed" || p[0].Text != "yard: 1 snapshots could not be taken: its incident could not be saved yet" {
		t.Errorf("problems: %+v", p)
	}
	c.o.Alerts = alerts{}
	for range queueSnapshots + 1 {
		c.save(t.Context(), opened, &wire.Result{})
	}
	n := map[string]uint64{}
	c.Count(n)
	if p := c.Problems(); len(p) != 1 || p[0].Params["count"] != "2" || n["edge_snapshots_missed_total"] != 2 {
		t.Errorf("problems: %+v, counters %v", p, n)
	}
	c.savedSnapshot()
	if p := c.Problems(); len(p) != 0 {
		t.Errorf("after a snapshot: %+v", p)
	}
}

// TestRetryDetection: a reload ends a quarantine, and disturbs no worker that runs.
func TestRetryDetection(t *testing.T) {
	c, err := New(Options{Config: firmwareconfig.Camera{Name: "yard"}, Alerts: alerts{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]int{"": 0, supervisor.CodeHung: 0, supervisor.CodeQuarantined: 1} {
		c.setCause(&c.workerCause, devices.Cause{Code: code})
		c.RetryDetection()
		c.RetryDetection() // before the first one is taken
		if len(c.retries) != want {
			t.Errorf("%q: %d retries, expected %d", code, len(c.retries), want)
		}
		for len(c.retries) > 0 {
			<-c.retries
		}
	}
}
