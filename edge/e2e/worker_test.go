package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gridpost/edge/e2e/rig"
	"gridpost/hub/api/public"
	"gridpost/streams/webrtc"
)

// A worker that is killed, and one that stands still, is replaced: detection comes back. The
// frame is relayed and sensors are heard all the time.
func TestWorkerThatDiesOrHangsIsReplaced(t *testing.T) {
	h := startHub(t)
	s := startSite(t, h, rig.SiteOptions{
		Name: "gate-7", Footage: pedestrians(t),
		Cameras: map[string][]rig.Map{"yard": {passing()}}, Sensors: map[string][]rig.Map{"river": {flood()}},
	})
	river := sensor(t, s, "river")
	if err := river.Publish(t.Context(), 0.5); err != nil {
		t.Fatal(err)
	}
	if err := h.AllOnline(t.Context(), 2, time.Minute); err != nil {
		t.Fatal(err)
	}
	frames := play(t, h, "/whep/gate-7/yard?reason=test")

	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			waitPassing(t, h)
			old := worker(t, s, 0)
			if err := syscall.Kill(old, signal); err != nil {
				t.Fatal(err)
			}
			hurt := time.Now()

			before := frames.Load()
			if err := river.Publish(t.Context(), 3); err != nil {
				t.Fatal(err)
			}
			inc, _, err := await(t, h, func(i public.Incident) bool { return i.Device == "river" }, func() error {
				return errors.Join(river.Publish(t.Context(), 0.5), river.Publish(t.Context(), 3))
			})
			if err != nil {
				t.Errorf("a sensor was not heard while the worker was gone: %v", err)
			} else if inc.Rule != "flood" {
				t.Errorf("the river opened %s", inc.Rule)
			}

			replaced := worker(t, s, old)
			t.Logf("worker %d, %s, was replaced by %d after %v", old, name, replaced, time.Since(hurt).Round(time.Millisecond))
			waitPassing(t, h)
			t.Logf("somebody was detected again after %v", time.Since(hurt).Round(time.Millisecond))
			// At least 80 % of the frames of that time: ten a second.
			got, due := frames.Load()-before, int64(time.Since(hurt).Seconds()*10)
			if got < due*8/10 {
				t.Errorf("the viewer got %d frames, %d were due", got, due)
			}
		})
	}
}

// worker waits for a worker process of the edge that is not old, and returns its number.
func worker(t *testing.T, s *rig.Site, old int) (pid int) {
	t.Helper()
	err := rig.Until(t.Context(), 60*time.Second, "a worker process", func(context.Context) error {
		all, err := rig.Children(s.PID(), "worker")
		if err != nil {
			return err
		}
		if len(all) != 1 || all[0] == old {
			return fmt.Errorf("%w: workers %v", rig.ErrNotYet, all)
		}
		pid = all[0]
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// waitPassing waits until somebody crosses the line, from now on.
func waitPassing(t *testing.T, h *rig.Hub) {
	t.Helper()
	began := time.Now()
	_, _, err := await(t, h, func(i public.Incident) bool { return i.Device == "yard" && i.OpenedAt.After(began) }, nil)
	if err != nil {
		t.Fatal(err)
	}
}

// await waits for an incident's event; do is done once the stream is open.
func await(t *testing.T, h *rig.Hub, fits func(public.Incident) bool, do func() error) (public.Incident, time.Time, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	return h.FirstIncident(ctx, fits, do)
}

// play watches a camera until the test ends, and counts its frames.
func play(t *testing.T, h *rig.Hub, path string) *atomic.Int64 {
	t.Helper()
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var frames atomic.Int64
	ctx, stop := context.WithCancel(context.Background())
	client := &http.Client{Transport: &http.Transport{}}
	done := make(chan error, 1)
	go func() {
		_, err := engine.Play(ctx, webrtc.PlayOptions{
			URL: h.URL + path, Header: http.Header{"Authorization": {"Bearer " + h.Token}}, Client: client,
			OnFrame: func(webrtc.Frame) { frames.Add(1) },
		})
		done <- err
	}()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-done, engine.Close()); err != nil {
			t.Errorf("watching: %v", err)
		}
		client.CloseIdleConnections()
	})
	if err := rig.Until(t.Context(), 30*time.Second, "the first frames", func(context.Context) error {
		if frames.Load() == 0 {
			return rig.ErrNotYet
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return &frames
}
