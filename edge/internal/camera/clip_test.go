package camera

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"gridpost/detection"
	"gridpost/detection/wire"
	"gridpost/devices"
	"gridpost/edge/internal/clips"

	firmwareconfig "gridpost/firmware-config"
)

// disk records clips as a disk lets it.
type disk func(ctx context.Context, q clips.Request) error

func (d disk) Record(ctx context.Context, q clips.Request) error { return d(ctx, q) }

func recording(t *testing.T, d disk) *Camera {
	t.Helper()
	c, err := New(Options{
		Config: firmwareconfig.Camera{Name: "yard", Clips: firmwareconfig.Clips{Before: 10 * time.Second, After: 20 * time.Second, Longest: time.Minute}},
		Alerts: alerts{}, Clips: d, Logger: slog.New(slog.DiscardHandler), OnState: func(devices.State, devices.Cause) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func opened(n int) []detection.Incident {
	return []detection.Incident{{ID: fmt.Sprint("incident-", n), Version: 1, State: detection.Open}}
}

// TestDiskThatHangsStopsNoRule: alerts go on while every clip hangs; what is too much is counted, and the end of the camera ends
// all of them.
func TestDiskThatHangsStopsNoRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := recording(t, func(ctx context.Context, _ clips.Request) error {
			<-ctx.Done()
			return nil
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.recordClips(ctx) }()
		before := time.Now()
		for n := range 50 {
			c.save(ctx, opened(n), &wire.Result{}) // that it waited would be a deadlock, which synctest reports
			synctest.Wait()
		}
		if waited := time.Since(before); waited != 0 {
			t.Errorf("the rules waited %v", waited)
		}
		if n := c.missedClips.Load(); n != 50-maxClips {
			t.Errorf("%d clips were missed, expected all but %d", n, maxClips)
		}
		stop()
		if err := <-done; err != nil || c.savedClips.Load() != maxClips {
			t.Errorf("%d clips at the end, %v", c.savedClips.Load(), err)
		}
	})
}

// TestMissedClipsAreAProblem until one could be recorded; the end of an incident is told.
func TestMissedClipsAreAProblem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := errors.New("the disk is full")
		c := recording(t, func(_ context.Context, q clips.Request) error {
			<-q.Over
			return fails
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.recordClips(ctx) }()
		try := func(n int) {
			inc := opened(n)
			c.save(ctx, inc, &wire.Result{})
			inc[0].Version, inc[0].State = 2, detection.Closed
			c.save(ctx, inc, &wire.Result{})
			synctest.Wait()
		}
		try(1)
		var missed []devices.Cause
		for _, p := range c.Problems() {
			if p.Code == "clips_missed" {
				missed = append(missed, p)
			}
		}
		if len(missed) != 1 || missed[0].Params["count"] != "1" || missed[0].Params["reason"] != "the disk is full" {
			t.Errorf("%+v", missed)
		}
		fails = nil
		try(2)
		if n := c.noClips; n != 0 || len(c.over) != 0 {
			t.Errorf("%d missed clips, %d incidents that are over are remembered", n, len(c.over))
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestRecordNothing: a camera that records nothing keeps no more of the past than before, and is asked for no clip.
func TestRecordNothing(t *testing.T) {
	c := recording(t, nil)
	c.o.Config.Clips = firmwareconfig.Clips{}
	c.save(t.Context(), opened(1), &wire.Result{})
	if len(c.clips) != 0 || ringDuration(c.o.Config.Clips) != 0 {
		t.Error("it records")
	}
	if got := ringDuration(firmwareconfig.Clips{Before: 30 * time.Second}); got != 32*time.Second {
		t.Errorf("the ring keeps %v", got)
	}
}
