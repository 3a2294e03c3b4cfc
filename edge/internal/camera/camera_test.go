package camera

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/detection"
	"gridpost/detection/supervisor"
	"gridpost/detection/wire"
	"gridpost/devices"
	"gridpost/devices/address"
	"gridpost/streams/rtsp/rtsptest"

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

// TestLosingPacketsIsAProblem of the camera that loses them, and of no other.
func TestLosingPacketsIsAProblem(t *testing.T) {
	server := rtsptest.Start(t, map[string]*rtsptest.Camera{
		"/main": {Play: func(c *rtsptest.Conn) {
			for n := 0; c.SendFrame(n) && c.Pause(time.Millisecond); n++ {
				if n%10 == 0 {
					c.SkipPackets(0, 1)
				}
			}
		}},
	})
	url, err := address.ParseStream(server.URL("/main"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Options{
		Config: firmwareconfig.Camera{Name: "yard", URL: url}, Alerts: alerts{}, Logger: slog.New(slog.DiscardHandler),
		OnState: func(devices.State, devices.Cause) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	if p := c.Problems(); len(p) != 0 {
		t.Errorf("before it runs: %+v", p)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for deadline := time.Now().Add(30 * time.Second); len(c.Problems()) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no problem with %+v", c.Loss())
		}
	}
	if p := c.Problems()[0]; p.Code != "camera_losing_packets" || p.Params["device"] != "yard" || p.Params["percent"] == "" {
		t.Errorf("problem %+v", p)
	}
	n := map[string]uint64{}
	c.Count(n)
	if n["edge_camera_lost_packets_total"] < 20 || n["edge_camera_packets_total"] < 200 || n["edge_camera_damaged_frames_total"] == 0 {
		t.Errorf("counters %v", n)
	}
}
