package rtsp

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/devices"
	"gridpost/devices/address"
	"gridpost/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const waitLimit = 20 * time.Second // for what must come; far above what it takes

// gstreamer starts a real camera and returns its port; args go to testdata/camera.py.
func gstreamer(t *testing.T, port string, args ...string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", append([]string{"testdata/camera.py", port}, args...)...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting a camera (Debian package python3-gi; make test installs it): %v", err)
	}
	t.Cleanup(func() { kill(t, cmd) })
	line, err := bufio.NewReader(out).ReadString('\n')
	bound, ok := strings.CutPrefix(strings.TrimSpace(line), "port ")
	if err != nil || !ok {
		kill(t, cmd)
		t.Fatalf("starting a camera (Debian packages gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good and -ugly; "+
			"make test installs them): %q, %v\n%s", line, err, complaints.String())
	}
	return cmd, bound
}

// kill ends a camera as a power cut does.
func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if cmd.ProcessState != nil {
		return
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Errorf("stopping a camera: %v", err)
	}
	_ = cmd.Wait() // says that it was killed
}

type state struct {
	online bool
	cause  string
}

// watched is a source that runs until the test ends.
type testSource struct {
	t      *testing.T
	source *Source
	stream *streams.Stream
	reader *streams.Reader
	states chan state
	log    *logBuffer
	stop   func()
}

// watch runs a source with short waits.
func watch(t *testing.T, o Options) *testSource {
	t.Helper()
	w := &testSource{t: t, stream: streams.New(streams.Options{Name: "yard"}), states: make(chan state, 1000), log: &logBuffer{}}
	o.Stream = w.stream
	o.Logger = slog.New(slog.NewTextHandler(w.log, nil))
	o.OnState = func(online bool, cause devices.Cause) {
		notLive := cause.Code == "video_b_frames" || cause.Code == "video_not_live"
		if online != (cause.IsZero() || notLive) || !known(cause) {
			t.Errorf("online %t with the cause %+v", online, cause)
		}
		w.states <- state{online, cause.Text}
	}
	if o.RetryMin == 0 {
		o.RetryMin, o.RetryMax = 50*time.Millisecond, 200*time.Millisecond
	}
	w.source = NewSource(o)
	w.reader = w.stream.Subscribe(streams.ReaderOptions{Queue: 1000})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.source.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run returned %v after its context ended", err)
			}
		case <-time.After(waitLimit):
			t.Error("Run does not end")
		}
		w.reader.Close()
	})
	t.Cleanup(w.stop)
	return w
}

// known reports whether the registry has the cause's code, and its sentence is complete.
func known(c devices.Cause) bool {
	return c.IsZero() || !strings.Contains(c.Text, "{") &&
		slices.ContainsFunc(devices.Causes(), func(k devices.CauseKind) bool { return k.Code == c.Code })
}

// expect waits for a state; states before it are passed over.
func (w *testSource) expect(online bool, cause string) {
	w.t.Helper()
	deadline := time.After(waitLimit)
	var passed []state
	for {
		select {
		case s := <-w.states:
			if s.online == online && strings.Contains(s.cause, cause) {
				return
			}
			passed = append(passed, s)
		case <-deadline:
			w.t.Fatalf("no state online=%v %q; before it came %v; log:\n%s", online, cause, passed, w.log)
		}
	}
}

// access units waits for n access units and checks what holds for every stream.
func (w *testSource) accessUnits(n int) []*streams.AccessUnit {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), waitLimit)
	defer cancel()
	var aus []*streams.AccessUnit
	for len(aus) < n {
		u, err := w.reader.Next(ctx)
		if err != nil {
			w.t.Fatalf("after %d access units: %v; log:\n%s", len(aus), err, w.log)
		}
		if len(aus) > 0 {
			last := aus[len(aus)-1]
			if u.Session == last.Session && u.PTS < last.PTS-maxReorder {
				w.t.Errorf("time runs backwards: %v after %v", u.PTS, last.PTS)
			}
			if u.Session != last.Session && !u.Keyframe {
				w.t.Errorf("session %d does not begin with a keyframe", u.Session)
			}
		}
		if len(u.NALUs) == 0 || u.Arrived.IsZero() || u.PTS < 0 {
			w.t.Errorf("not an access unit: %+v", u)
		}
		aus = append(aus, u)
	}
	return aus
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// parsed returns the address of a stream.
func parsed(t *testing.T, s string) address.Stream {
	t.Helper()
	a, err := address.ParseStream(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func local(port string) string { return fmt.Sprintf("rtsp://127.0.0.1:%s/main", port) }
