package supervisor

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/detection/health"
	"gridpost/detection/wire"
	"gridpost/devices/retry"
)

// waitAnHour keeps a worker that failed from being started again during a test.
func waitAnHour() Restart {
	return Restart{Backoff: retry.Policy{First: 2 * time.Hour, Longest: 2 * time.Hour}}
}

// Programs that are not workers: each must end with a cause for people, and with nothing else.
func TestOtherProgramsAsWorker(t *testing.T) {
	for name, c := range map[string]struct{ script, code, cause string }{
		"exits with output":  {"echo 'the lens is on fire' >&2; exit 3", CodeExited, "exited with status 3, saying: the lens is on fire"},
		"aborts":             {"kill -ABRT $$", CodeAborted, "the worker aborted"},
		"never gets ready":   {"exec sleep 60", CodeNotReady, "not ready within 2 s"},
		"sends no message":   {"printf 'GET / HTTP/1.1\\r\\n\\r\\n' >&3; exec sleep 60", CodeProtocol, "malformed"},
		"sends out of order": {"printf '\\000\\000\\000\\002\\004{}' >&3; exec sleep 60", CodeProtocol, "instead of Ready"},
		"gives up":           {"printf '\\000\\000\\000\\016\\010{\"error\":\"no\"}' >&3; exec sleep 60", CodeGaveUp, "no"},
		"floods its output":  {"yes 'panic: over and over' | head -c 3000000 >&2; exit 2", CodeExited, "panic: over and over"},
		"says it is ready":   {"printf '\\000\\000\\000\\002\\002{}\\000\\000\\000\\002\\004{}' >&3; exec sleep 60", CodeProtocol, "a result without an access unit"},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Binary: script(t, c.script), Restart: waitAnHour()}
			if c.code == CodeNotReady {
				o.StartTimeout = 2 * time.Second
			}
			b := work(t, o)
			cause := b.state()
			if cause.IsZero() {
				cause = b.state()
			}
			if cause.Code != c.code || !strings.Contains(cause.Text, c.cause) || len(cause.Text) > 700 {
				t.Errorf("cause %+v, want %s, %q", cause, c.code, c.cause)
			}
		})
	}
}

func TestMissingProgramIsReported(t *testing.T) {
	b := work(t, Options{Binary: "/nowhere/worker", Restart: waitAnHour()})
	if cause := b.state(); cause.Code != CodeNotExecutable || !strings.Contains(cause.Text, "/nowhere/worker") {
		t.Errorf("cause %+v", cause)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := b.s.Snapshot(ctx, wire.Snapshot{})
	failUnless(t, err, ErrNotRunning)
}

// A model that cannot be loaded costs a few restarts and then a long wait.
func TestBudgetEndsAHotLoop(t *testing.T) {
	b := work(t, Options{
		Config:  wire.Config{Model: "model.onnx"},
		Restart: Restart{Backoff: retry.Policy{First: time.Millisecond, Longest: time.Millisecond}, Budget: 3, Window: time.Hour},
	})
	for i := range 3 {
		cause := b.state()
		if cause.Code != CodeGaveUp || !strings.Contains(cause.Text, "model.onnx: no such file") {
			t.Errorf("cause %+v", cause)
		}
		if over := strings.Contains(cause.Text, "so often") && cause.Params["retry_in"] != ""; over != (i == 2) {
			t.Errorf("after failure %d: %+v", i+1, cause)
		}
	}
	if n := b.s.Stats().Restarts; n != 3 {
		t.Errorf("%d restarts", n)
	}
}

func TestResultsAreChecked(t *testing.T) {
	with := func(change func(r *wire.Result, d *detection.Detection)) wire.Result {
		d := detection.Detection{Class: "car", Score: 0.5, Box: detection.Box{X: 0.1, Y: 0.1, W: 0.2, H: 0.2}}
		r := wire.Result{Width: 640, Height: 480}
		change(&r, &d)
		if r.Frame.Detections == nil {
			r.Frame.Detections = []detection.Detection{d}
		}
		return r
	}
	for name, r := range map[string]wire.Result{
		"negative size": with(func(r *wire.Result, _ *detection.Detection) { r.Width = -1 }),
		"huge size":     with(func(r *wire.Result, _ *detection.Detection) { r.Height = 1 << 20 }),
		"too many":      with(func(r *wire.Result, _ *detection.Detection) { r.Frame.Detections = make([]detection.Detection, 1000) }),
		"no class":      with(func(_ *wire.Result, d *detection.Detection) { d.Class = "" }),
		"a long class":  with(func(_ *wire.Result, d *detection.Detection) { d.Class = strings.Repeat("x", 100) }),
		"a huge sample": with(func(r *wire.Result, _ *detection.Detection) {
			r.Sample = &health.Sample{Width: 1 << 40, Height: 1 << 40}
		}),
		"a torn sample": with(func(r *wire.Result, _ *detection.Detection) {
			r.Sample = &health.Sample{Width: 80, Height: 45, Gray: make([]byte, 10)}
		}),
		"a class with bell": with(func(_ *wire.Result, d *detection.Detection) { d.Class = "car\a" }),
	} {
		if err := validate(&r); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := with(func(_ *wire.Result, d *detection.Detection) {
		d.Score, d.Box = 7, detection.Box{X: -1, Y: 0.5, W: 9, H: 0.1}
	})
	if err := validate(&r); err != nil {
		t.Fatal(err)
	}
	if d := r.Frame.Detections[0]; d.Score != 1 || d.Box.X != 0 || d.Box.W != 1 || math.Abs(d.Box.H-0.1) > 1e-9 {
		t.Errorf("put into the frame: %+v", d)
	}
	r = with(func(_ *wire.Result, d *detection.Detection) { d.Box.X = 3 })
	if err := validate(&r); err != nil || len(r.Frame.Detections) != 0 {
		t.Errorf("outside of the frame: %+v, %v", r.Frame.Detections, err)
	}
}

func TestProcessTimes(t *testing.T) {
	stat := "7 (a b) c) S 1 7 7 0 -1 0 0 0 0 0 250 50 0 0 20 0 1 0"
	if got := parseStat([]byte(stat)); got != 3*time.Second {
		t.Errorf("got %v, want 3 s", got)
	}
	for _, bad := range []string{"", "7 (x", "7 (x) S 1", "7 (x) S 1 7 7 0 -1 0 0 0 0 0 x 50 0"} {
		if got := parseStat([]byte(bad)); got != 0 {
			t.Errorf("%q gives %v", bad, got)
		}
	}
}
