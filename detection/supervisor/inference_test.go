package supervisor

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gridpost/detection/onnxtest"
	"gridpost/detection/wire"
	"gridpost/devices"
	"gridpost/devices/retry"
	"gridpost/streams"
)

// modelRun is a running Inference.
type modelRun struct {
	t      *testing.T
	n      *Inference
	states chan devices.Cause // zero: running
}

// runModel runs an Inference with a model that sees a car in every frame. o needs only the options that the test
// is about.
func runModel(t *testing.T, o InferenceOptions) *modelRun {
	t.Helper()
	needRuntime(t)
	if o.Binary == "" {
		o.Binary = made.worker
	}
	if o.Config.Model == "" {
		o.Config.Model = filepath.Join(t.TempDir(), "car.onnx")
		if err := os.WriteFile(o.Config.Model, onnxtest.Car(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if o.Restart.Backoff.First == 0 {
		o.Restart.Backoff.First = 20 * time.Millisecond
	}
	if o.Grace == 0 {
		o.Grace = time.Hour
	}
	r := &modelRun{t: t, states: make(chan devices.Cause, 1000)}
	o.OnState = func(_ bool, cause devices.Cause) { r.states <- cause }
	r.n = NewInference(o)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.n.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return r
}

func (r *modelRun) state() devices.Cause {
	r.t.Helper()
	select {
	case s := <-r.states:
		return s
	case <-time.After(patience):
		r.t.Fatal("the state of the inference process did not change")
		return devices.Cause{}
	}
}

func (r *modelRun) running() {
	r.t.Helper()
	if cause := r.state(); !cause.IsZero() {
		r.t.Fatalf("the model was not loaded: %s", cause)
	}
}

// live publishes footage again and again, each time as a new session, until the test ends.
func (b *bench) live(in []*streams.AccessUnit) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Second / footageRate)
		defer tick.Stop()
		for session := uint32(2); ; session++ {
			for _, u := range in {
				again := *u
				again.Session = session
				b.stream.Publish(&again)
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
		}
	})
	b.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

// analysed returns the next result of a frame that was analysed.
func (b *bench) analysed() wire.Result {
	b.t.Helper()
	for {
		if r := b.take(1)[0]; r.Analysed {
			return r
		}
	}
}

// car fails the test unless r has the car of the model.
func (b *bench) car(r wire.Result) {
	b.t.Helper()
	if len(r.Frame.Detections) != 1 {
		b.t.Fatalf("result %+v", r)
	}
	// The frame is stretched, so that fractions of the input are fractions of the frame.
	d := r.Frame.Detections[0]
	if off := math.Abs(d.Box.X-0.25) + math.Abs(d.Box.Y-0.5) + math.Abs(d.Box.W-0.25) + math.Abs(d.Box.H-0.5); d.Class != "car" || off > 0.01 {
		b.t.Errorf("detection %+v", d)
	}
	if r.Width != footageW || r.Height != footageH || r.Frame.Time.IsZero() {
		b.t.Errorf("result %+v", r)
	}
}

// One process with the model serves all cameras, confined as their workers are.
func TestOneModelServesAllCameras(t *testing.T) {
	m := runModel(t, InferenceOptions{Budget: 40})
	m.running()
	in := camera(t)
	var all []*bench
	for range 3 {
		b := work(t, Options{Inference: m.n})
		b.running()
		b.live(in)
		all = append(all, b)
	}
	for _, b := range all {
		var last frameID
		for range 4 {
			r := b.analysed()
			b.car(r)
			id := frameID{r.Frame.Session, r.Frame.PTS}
			if !id.follows(last) {
				t.Errorf("frame %+v after %+v", id, last)
			}
			last = id
		}
		checkConfined(t, b.s.Stats().PID)
	}
	checkConfined(t, m.n.Stats().PID)
	s := m.n.Stats()
	if s.Looks < 12 || s.Restarts != 0 || s.Inference < s.Runtime || s.Budget != 40 || !strings.Contains(s.Detector, "SSD of Caffe") {
		t.Errorf("stats %+v", s)
	}
	if w := all[0].s.Stats(); w.Looks < 4 || w.Looks > w.Analysed || w.Restarts != 0 {
		t.Errorf("stats of a worker %+v", w)
	}
}

// A crash of the inference process costs no worker and no decoding. Cameras get looks again when it has been
// restarted, and detect motion if it is not soon.
func TestCrashOfTheModelCostsNoWorker(t *testing.T) {
	m := runModel(t, InferenceOptions{Restart: Restart{Crashes: 2, Quarantine: retry.Policy{First: 24 * time.Hour, Longest: 24 * time.Hour}}, Grace: 20 * time.Millisecond})
	m.running()
	b := work(t, Options{Inference: m.n})
	b.running()
	b.live(camera(t))
	pid := b.s.Stats().PID
	for crash := 1; crash <= 2; crash++ {
		for r := b.analysed(); len(r.Frame.Detections) != 1 || r.Frame.Detections[0].Class != "car"; r = b.analysed() {
			// results of motion, of the time without the model
		}
		if cause := m.n.Cause(); !cause.IsZero() {
			t.Errorf("cause %+v while the model runs", cause)
		}
		if err := syscall.Kill(m.n.Stats().PID, syscall.SIGSEGV); err != nil {
			t.Fatal(err)
		}
		cause := m.state()
		if want := map[int]string{1: CodeExited, 2: CodeModelQuarantined}[crash]; cause.Code != want {
			t.Errorf("cause %+v, want %s", cause, want)
		}
		if crash == 1 {
			m.running()
		}
	}
	// The model is in quarantine now: motion is detected, by the same worker.
	waitFor(t, func() bool { return !m.n.Cause().IsZero() })
	if cause := m.n.Cause(); cause.Code != CodeModelQuarantined || !strings.Contains(cause.Text, "the object model is off for") {
		t.Errorf("cause %+v", cause)
	}
	for range 40 {
		if r := b.analysed(); len(r.Frame.Detections) > 0 && r.Frame.Detections[0].Class == "motion" {
			break
		}
	}
	if s := b.s.Stats(); s.PID != pid || s.Restarts != 0 {
		t.Errorf("the worker was restarted: %+v", s)
	}
	m.n.Retry()
	m.running()
	for r := b.analysed(); len(r.Frame.Detections) != 1 || r.Frame.Detections[0].Class != "car"; r = b.analysed() {
		// results of motion, of the time without the model
	}
}

// A process that hangs is killed and replaced.
func TestHungModelIsReplaced(t *testing.T) {
	m := runModel(t, InferenceOptions{ReplyTimeout: 2 * time.Second})
	m.running()
	b := work(t, Options{Inference: m.n})
	b.running()
	b.live(camera(t))
	b.car(b.analysed())
	if err := syscall.Kill(m.n.Stats().PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if cause := m.state(); cause.Code != CodeHung {
		t.Errorf("cause %+v", cause)
	}
	m.running()
	b.car(b.analysed())
}

// Programs that are no inference processes end with a cause, and cost no camera its worker.
func TestOtherProgramsAsModel(t *testing.T) {
	for name, c := range map[string]struct{ script, code string }{
		"aborts":             {"kill -ABRT $$", CodeAborted},
		"describes no model": {"printf '\\000\\000\\000\\002\\002{}' >&3; exec sleep 60", CodeProtocol},
		"replies unasked":    {"printf '" + ready() + "' >&3; printf '\\000\\000\\000\\002\\012{}' >&3; exec sleep 60", CodeProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			m := runModel(t, InferenceOptions{Binary: script(t, c.script), Restart: waitAnHour()})
			cause := m.state()
			if cause.IsZero() {
				cause = m.state()
			}
			if cause.Code != c.code {
				t.Errorf("cause %+v, want %s", cause, c.code)
			}
		})
	}
}

// ready is the message of an inference process that is ready, for printf.
func ready() string {
	body := `{"model":{"width":64,"height":64,"inference":1000}}`
	return "\\000\\000\\000\\0" + octal(len(body)) + "\\002" + body
}

func octal(n int) string {
	return string([]byte{byte('0' + n/8%8), byte('0' + n%8)})
}

// Cameras with open incidents get more looks than others, and all get some.
func TestUrgentCamerasComeFirst(t *testing.T) {
	m := runModel(t, InferenceOptions{Budget: 12})
	m.running()
	in := camera(t)
	var urgent atomic.Bool
	urgent.Store(true)
	var all []*bench
	for i := range 4 {
		o := Options{Inference: m.n}
		if i == 0 {
			o.Urgent = urgent.Load
		}
		b := work(t, o)
		b.running()
		all = append(all, b)
	}
	for _, b := range all {
		b.live(in)
	}
	waitFor(t, func() bool { return all[0].s.Stats().Looks >= 20 })
	for i, b := range all[1:] {
		if n, first := b.s.Stats().Looks, all[0].s.Stats().Looks; n == 0 || n >= first {
			t.Errorf("camera %d got %d looks, the one with an open incident %d", i+1, n, first)
		}
	}
}

// A slot is empty for the next camera, and there is one for each of MaxSlots cameras.
func TestSlots(t *testing.T) {
	n := NewInference(InferenceOptions{})
	never := func() bool { return false }
	var all []*lookClient
	for range wire.MaxSlots {
		c, err := n.join(never)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if _, err := n.join(never); err == nil {
		t.Error("a camera too many got a slot")
	}
	if _, err := all[7].file.WriteAt([]byte("secret"), 1000); err != nil {
		t.Fatal(err)
	}
	if err := all[7].file.Truncate(10); err == nil {
		t.Error("a slot could be made smaller")
	}
	all[7].leave()
	again, err := n.join(never)
	if err != nil || again.slot != 7 {
		t.Fatalf("slot %+v, %v", again, err)
	}
	b := make([]byte, 6)
	if _, err := again.file.ReadAt(b, 1000); err != nil || string(b) != "\x00\x00\x00\x00\x00\x00" {
		t.Errorf("the slot holds %q, %v", b, err)
	}
	n.close()
	if _, err := n.join(never); err == nil {
		t.Error("a camera joined after the end")
	}
}

// TestAFrameFitsTheModel: the model fails on a larger frame than its input, and then for all cameras.
func TestAFrameFitsTheModel(t *testing.T) {
	n := NewInference(InferenceOptions{})
	defer n.close()
	c, err := n.join(func() bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	look := wire.Look{ID: 7, Width: 416, Height: 416}
	for _, f := range []struct {
		w, h int
		fits bool
	}{{416, 234, true}, {416, 416, true}, {417, 234, false}, {416, 417, false}, {0, 1, true}, {1, 0, false}, {-1, 1, false}} {
		w := &session{looks: newSessionLooks(c), out: make(chan any, 1), recent: []sentFrame{{session: 1, pts: time.Second}}}
		w.requestLook(look)
		err := w.looked(wire.Looked{ID: 7, Width: f.w, Height: f.h, Session: 1, PTS: time.Second, FrameWidth: 1920, FrameHeight: 1080})
		if f.fits != (err == nil) || err != nil && !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%dx%d: %v", f.w, f.h, err)
		}
	}
}
