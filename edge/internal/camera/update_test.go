package camera

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices"

	firmwareconfig "gridpost/firmware-config"
)

// yard returns a camera of a document, with the rules given.
func yard(t *testing.T, rules string) firmwareconfig.Camera {
	t.Helper()
	text := "edge: a\ncameras: [{name: yard, url: \"rtsp://127.0.0.1:1/x\", rules: [" + rules + "]}]\n"
	doc, err := firmwareconfig.Parse("site.yml", []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return doc.Cameras[0]
}

// recorder passes alerts on to a test.
type recorder chan detection.Incident

func (r recorder) Save(_ context.Context, _ string, all []detection.Incident) error {
	for _, inc := range all {
		r <- inc
	}
	return nil
}

const (
	silent  = "{name: silent, kind: silence, for: 1s, severity: minor}"
	walkway = "{name: walkway, kind: zone, polygon: [[0,0],[1,0],[1,1]], severity: minor}"
)

// TestUpdate changes the rules of a camera that runs: its stream and its source stay, its worker comes
// and goes with the rules, and the incident of a rule that has gone is closed.
func TestUpdate(t *testing.T) {
	saved := make(recorder, 10)
	c, err := New(Options{
		Config: yard(t, silent), Worker: filepath.Join(t.TempDir(), "no-such-program"), Alerts: saved, Logger: slog.New(slog.DiscardHandler),
		OnState: func(devices.State, devices.Cause) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	stream := c.Stream()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	opened := <-saved
	problems := func(want int) {
		t.Helper()
		deadline := time.Now().Add(time.Minute)
		for len(c.Problems()) != want {
			if time.Now().After(deadline) {
				t.Fatalf("problems: %+v, expected %d", c.Problems(), want)
			}
			time.Sleep(time.Millisecond)
		}
	}
	for range 3 {
		// A rule that needs a worker, which cannot be started.
		if !c.Update(yard(t, silent+","+walkway), firmwareconfig.Detection{Rate: 5}) {
			t.Fatal("a further rule needs a new camera")
		}
		problems(1)
		if !c.Update(yard(t, silent+","+walkway), firmwareconfig.Detection{Rate: 10}) {
			t.Fatal("another detection needs a new camera")
		}
		problems(1)
		if !c.Update(yard(t, silent), firmwareconfig.Detection{}) {
			t.Fatal("one rule less needs a new camera")
		}
		problems(0)
	}
	if w := c.workerStats(); w.Restarts == 0 {
		t.Error("no worker was started")
	}
	if !c.Update(yard(t, walkway), firmwareconfig.Detection{}) {
		t.Fatal("other rules need a new camera")
	}
	if closed := <-saved; closed.ID != opened.ID || closed.State != detection.Closed {
		t.Errorf("%+v follows %+v", closed, opened)
	}
	select {
	case <-c.Stopped():
		t.Error("the camera has stopped")
	default:
	}
	if c.Stream() != stream {
		t.Error("the camera has another stream")
	}
}

// TestUpdateOfOtherKeys: only rules and detection can change while a camera runs.
func TestUpdateOfOtherKeys(t *testing.T) {
	c, err := New(Options{Config: yard(t, silent), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for i, change := range []func(*firmwareconfig.Camera){
		func(c *firmwareconfig.Camera) { c.Transport = "tcp" },
		func(c *firmwareconfig.Camera) { c.Detect = c.URL },
		func(c *firmwareconfig.Camera) { c.Rules = append(c.Rules, c.Rules[0]) }, // two of one name
	} {
		changed := yard(t, silent)
		change(&changed)
		if c.Update(changed, firmwareconfig.Detection{}) {
			t.Errorf("change %d was taken over without a restart", i)
		}
	}
}
