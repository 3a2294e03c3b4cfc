package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/detection/wire"
	"gridpost/devices"
	"gridpost/streams"
	"gridpost/streams/h26x"
)

// shared are the paths of what the tests share. TestMain creates it.
type shared struct{ dir, worker string }

var made shared

func TestMain(m *testing.M) {
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err == nil && code == 0 {
		err = goleak.Find()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	if err != nil {
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (code int, err error) {
	if dir := os.Getenv(scriptedWorkerDir); dir != "" {
		return 0, scriptedWorker(dir)
	}
	dir, err := os.MkdirTemp("", "supervisor")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// The results depend on the worker's sources, which only a child process reads: stat them, so that
	// the test cache notices changes.
	err = filepath.WalkDir("../worker", func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		return 1, err
	}
	made = shared{dir: dir, worker: filepath.Join(dir, "worker")}
	build := exec.Command("go", "build", "-o", made.worker, "gridpost/detection/worker")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building the worker needs libopencv-dev and FFmpeg's -dev packages, which `make test` installs: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// The moving box of the footage.
const (
	footageRate  = 25
	footageStart = 2.0  // s; nothing moves before
	footageSpeed = 80.0 // pixels per second, to the right
	footageW     = 640
	footageH     = 360
)

// boxAt returns the position of the box at t.
func boxAt(t time.Duration) image.Rectangle {
	x := int((t.Seconds() - footageStart) * footageSpeed)
	return image.Rect(x, 150, x+60, 150+100)
}

// footage returns the path of six seconds of raw H.264: a noisy wall, and after two seconds a bright
// box that moves to the right.
func footage(t testing.TB, name string, encoder ...string) string {
	t.Helper()
	path := filepath.Join(made.dir, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	scene := fmt.Sprintf("color=c=0x606060:s=%dx%d:r=%d:d=6,noise=alls=6:allf=t,format=yuv420p[wall];"+
		"color=c=0xe0e0e0:s=60x100:r=%d:d=6[box];[wall][box]overlay=x='if(lt(t,%g),-100,(t-%g)*%g)':y=150",
		footageW, footageH, footageRate, footageRate, footageStart, footageStart, footageSpeed)
	args := append([]string{"-v", "error", "-y", "-filter_complex", scene}, encoder...)
	out, err := exec.Command("ffmpeg", append(args, path)...).CombinedOutput()
	if err != nil {
		t.Fatalf("making footage needs the program ffmpeg, which `make test` installs: %v\n%s", err, out)
	}
	return path
}

// camera returns a stream like that of most cameras: no B-frames, a keyframe per second.
func camera(t testing.TB) []*streams.AccessUnit {
	return accessUnits(t, footage(t, "camera.h264", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "25",
		"-x264-params", "aud=1:scenecut=0", "-f", "h264"))
}

// accessUnits reads a raw H.264 file whose access units begin with access unit delimiters.
func accessUnits(t testing.TB, path string) []*streams.AccessUnit {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []*streams.AccessUnit
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for nalu := range bytes.SplitSeq(data, []byte{0, 0, 1}) { // start codes (ITU-T H.264, annex B)
		nalu = bytes.TrimRight(nalu, "\x00")
		if len(nalu) == 0 {
			continue
		}
		if h26x.TypeOf(streams.H264, nalu) == h26x.H264AUD {
			pts := time.Duration(len(out)) * time.Second / footageRate
			out = append(out, &streams.AccessUnit{Codec: streams.H264, Session: 1, PTS: pts, Arrived: start.Add(pts)})
		}
		u := out[len(out)-1]
		u.NALUs = append(u.NALUs, nalu)
		u.Keyframe = h26x.IsKeyframe(streams.H264, u.NALUs)
	}
	return out
}

// bench is a running supervisor with a stream that the test publishes to.
type bench struct {
	t      *testing.T
	s      *Supervisor
	stream *streams.Stream

	backfill bool // a worker begins where the supervisor wants it to

	results chan wire.Result
	states  chan devices.Cause // zero: running
	cancel  context.CancelFunc
	done    chan struct{}
	once    sync.Once
}

// work starts a supervisor. o needs only the options that the test is about.
func work(t *testing.T, o Options) *bench {
	t.Helper()
	return workOn(t, &bench{stream: streams.New(streams.Options{})}, o)
}

// workOn starts a supervisor for b.
func workOn(t *testing.T, b *bench, o Options) *bench {
	t.Helper()
	b.t, b.results, b.states, b.done = t, make(chan wire.Result, 1000), make(chan devices.Cause, 1000), make(chan struct{})
	if o.Binary == "" {
		o.Binary = made.worker
	}
	if o.Restart.Backoff.First == 0 {
		o.Restart.Backoff.First = 20 * time.Millisecond
	}
	o.Camera = "test"
	o.Reader = func(o streams.ReaderOptions) *streams.Reader {
		// Without a backfill there is one result for each access unit that a test publishes.
		return b.stream.Subscribe(streams.ReaderOptions{Queue: 1000, Backfill: o.Backfill && b.backfill})
	}
	o.OnResult = func(r wire.Result) { b.results <- r }
	o.OnState = func(running bool, cause devices.Cause) {
		if running != cause.IsZero() {
			t.Errorf("state %v with cause %+v", running, cause)
		}
		b.states <- cause
	}
	b.s = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	go func() {
		defer close(b.done)
		if err := b.s.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(b.end)
	return b
}

// end stops Run and waits for it.
func (b *bench) end() {
	b.once.Do(func() {
		b.cancel()
		<-b.done
	})
}

func (b *bench) publish(us []*streams.AccessUnit) {
	for _, u := range us {
		b.stream.Publish(u)
	}
}

// patience bounds every wait of the tests. It is long, because the machine may be busy.
const patience = 90 * time.Second

func (b *bench) state() devices.Cause {
	b.t.Helper()
	select {
	case s := <-b.states:
		return s
	case <-time.After(patience):
		b.t.Fatal("the worker's state did not change")
		return devices.Cause{}
	}
}

func (b *bench) running() {
	b.t.Helper()
	if cause := b.state(); !cause.IsZero() {
		b.t.Fatalf("the worker did not start: %s", cause)
	}
}

func (b *bench) take(n int) []wire.Result {
	b.t.Helper()
	var out []wire.Result
	for len(out) < n {
		select {
		case r := <-b.results:
			out = append(out, r)
		case <-time.After(patience):
			b.t.Fatalf("received %d results of %d", len(out), n)
		}
	}
	return out
}

func testContext(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(context.Background(), patience)
}

func snapshotOf(u *streams.AccessUnit) wire.Snapshot {
	return wire.Snapshot{Session: u.Session, PTS: u.PTS}
}

// waitFor waits until a condition in the file system holds, which nothing can signal.
func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the condition was not met in time")
		}
	}
}

// failUnless fails the test unless err is want.
func failUnless(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

// script writes a shell script that stands in for the worker.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(f, "#!/bin/sh\n"+text+"\n")
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}
