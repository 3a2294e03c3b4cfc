package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/detection"
	"gridpost/detection/wire"
	"gridpost/detection/worker/decode"
)

func TestMain(m *testing.M) {
	saveMemory()
	goleak.VerifyTestMain(m)
}

func TestRateFollowsTheClockOfTheStream(t *testing.T) {
	for _, c := range []struct {
		rate, fps float64
		want      int // in ten seconds
	}{{10, 25, 100}, {10, 12.5, 100}, {10, 30, 100}, {10, 8, 80}, {5, 25, 50}, {25, 25, 250}, {0.5, 25, 5}} {
		l, err := newDetector(wire.Config{Rate: c.rate}, nil)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for i := range int(10 * c.fps) {
			if l.due(time.Hour + time.Duration(float64(i)/c.fps*float64(time.Second))) {
				n++
			}
		}
		if n < c.want-1 || n > c.want {
			t.Errorf("of %v frames per second at a rate of %v, %d were analysed in ten seconds, want %d", c.fps, c.rate, n, c.want)
		}
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}
}

func TestClocksThatJump(t *testing.T) {
	l, err := newDetector(wire.Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, pts := range []time.Duration{time.Hour, 2 * time.Hour, 0} { // a gap, and a clock set back
		if !l.due(pts) || l.due(pts+50*time.Millisecond) || !l.due(pts+100*time.Millisecond) {
			t.Errorf("the rate after %v is wrong", pts)
		}
	}
	for _, rate := range []float64{-1, 0.01, 1000} {
		if _, err := newDetector(wire.Config{Rate: rate}, nil); err == nil {
			t.Errorf("a rate of %v was accepted", rate)
		}
	}
}

// frames decodes the first n frames of a test video.
func frames(t *testing.T, n int) []*decode.Frame {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.mp4")
	out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=25:d=2", "-c:v", "libx264", "-preset", "ultrafast", path).CombinedOutput()
	if err != nil {
		t.Fatalf("making a recording needs the program ffmpeg, which `make test` installs: %v\n%s", err, out)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := decode.NewFile(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var ps []*decode.Frame
	for range n {
		p, err := f.Next()
		if errors.Is(err, io.EOF) {
			t.Fatalf("the video has only %d frames", len(ps))
		}
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	return ps
}

func TestHistoryIsBoundedAndSearched(t *testing.T) {
	h := &frameHistory{}
	defer h.close()
	if got := h.snapshot(wire.Snapshot{ID: 3}); got.ID != 3 || got.Error == "" {
		t.Errorf("from an empty history: %+v", got)
	}
	ps := frames(t, 30)
	for i, p := range ps[:29] {
		h.add(p, 1, time.Duration(i)*time.Second)
	}
	h.setLatest(ps[29], 2, 0)
	if h.bytes > maxHistoryBytes || len(h.frames) < 2 || len(h.frames) > maxHistoryFrames {
		t.Errorf("%d frames of %d bytes are held", len(h.frames), h.bytes)
	}
	for _, c := range []struct {
		session uint32
		request time.Duration
		want    time.Duration
	}{{1, 28 * time.Second, 28 * time.Second}, {1, 27400 * time.Millisecond, 27 * time.Second}, {1, time.Hour, 28 * time.Second}, {2, 5 * time.Second, 0}} {
		if got, ok := h.nearest(c.session, c.request); !ok || got.pts != c.want {
			t.Errorf("nearest to %v is %v (%v), want %v", c.request, got.pts, ok, c.want)
		}
	}
	got := h.snapshot(wire.Snapshot{ID: 4, Session: 1, PTS: 28 * time.Second, Marks: make([]wire.Mark, 1000)})
	if got.Error != "" || len(got.Data) == 0 || got.PTS != 28*time.Second {
		t.Errorf("snapshot %d bytes of %v, %q", len(got.Data), got.PTS, got.Error)
	}
}

// TestMarksOnlyOnTheirFrame: a frame that is too far from the one that the marks belong to is returned without them.
func TestMarksOnlyOnTheirFrame(t *testing.T) {
	h := &frameHistory{}
	defer h.close()
	h.add(frames(t, 1)[0], 1, time.Second)
	marked := func(pts time.Duration, marks ...wire.Mark) []byte {
		got := h.snapshot(wire.Snapshot{Session: 1, PTS: pts, Marks: marks})
		if got.Error != "" || got.PTS != time.Second {
			t.Fatalf("snapshot of %v, %q", got.PTS, got.Error)
		}
		return bytes.Clone(got.Data)
	}
	mark := wire.Mark{Box: detection.Box{X: 0.2, Y: 0.2, W: 0.5, H: 0.5}, Label: "car"}
	plain := marked(time.Second)
	for off, want := range map[time.Duration]bool{
		0: true, wire.MaxMarkOffset: true, -wire.MaxMarkOffset: true,
		wire.MaxMarkOffset + 1: false, -wire.MaxMarkOffset - 1: false, time.Minute: false,
	} {
		if got := !bytes.Equal(marked(time.Second+off, mark), plain); got != want {
			t.Errorf("a frame %v away has marks: %v, want %v", off, got, want)
		}
	}
}
