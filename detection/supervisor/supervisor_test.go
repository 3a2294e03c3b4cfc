package supervisor

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"strings"
	"syscall"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/detection/wire"
	"gridpost/streams"
)

func TestFramesBecomeResults(t *testing.T) {
	b := work(t, Options{})
	b.running()
	in := camera(t)
	b.publish(in)
	seen := 0
	for i, r := range b.take(len(in)) {
		if r.Error != "" || r.Frame.Session != 1 || r.Frame.PTS != in[i].PTS || !r.Frame.Time.Equal(in[i].Arrived) {
			t.Fatalf("frame %d became %+v", i, r)
		}
		if r.Width != footageW || r.Height != footageH {
			t.Fatalf("frame %d is %dx%d", i, r.Width, r.Height)
		}
		seen += checkBox(t, r)
	}
	if seen < 30 { // of forty frames analysed while something moved
		t.Errorf("the box was detected only %d times", seen)
	}
	stats := b.s.Stats()
	if !stats.Running || stats.Results != uint64(len(in)) || stats.Errors != 0 || stats.CPU <= 0 || stats.Restarts != 0 {
		t.Errorf("stats %+v", stats)
	}
	if want := uint64(60); stats.Analysed < want-2 || stats.Analysed > want {
		t.Errorf("%d frames of 6 s were analysed, want %d", stats.Analysed, want)
	}
	pid := stats.PID
	b.end()
	if err := syscall.Kill(pid, 0); err == nil {
		t.Error("the worker is still there after Run")
	}
}

// checkBox checks the detections in a frame of the footage and returns how often the box was detected.
func checkBox(t *testing.T, r wire.Result) int {
	t.Helper()
	want := boxAt(r.Frame.PTS)
	switch n := len(r.Frame.Detections); {
	case n == 0:
		return 0
	case n > 1 || r.Frame.PTS.Seconds() < footageStart:
		t.Errorf("at %v: %v, want the box at %v", r.Frame.PTS, r.Frame.Detections, want)
		return 0
	}
	d := r.Frame.Detections[0]
	if d.Class != detection.Motion || d.Score != 1 {
		t.Errorf("at %v: %+v is not motion", r.Frame.PTS, d)
	}
	want = want.Intersect(image.Rect(0, 0, footageW, footageH))
	for what, off := range map[string]float64{
		"left":  d.Box.X*footageW - float64(want.Min.X),
		"top":   d.Box.Y*footageH - float64(want.Min.Y),
		"right": (d.Box.X+d.Box.W)*footageW - float64(want.Max.X),
		"foot":  (d.Box.Y+d.Box.H)*footageH - float64(want.Max.Y),
	} {
		if off < -15 || off > 15 {
			t.Errorf("at %v: %s is off by %.0f pixels", r.Frame.PTS, what, off)
		}
	}
	return 1
}

func TestSnapshotShowsTheBox(t *testing.T) {
	b := work(t, Options{})
	b.running()
	in := camera(t)[:80]
	b.publish(in)
	b.take(len(in))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got, err := b.s.Snapshot(ctx, wire.Snapshot{Session: 1, PTS: in[70].PTS, Marks: []wire.Mark{
		{Box: detection.Box{X: 0.5, Y: 0.5, W: 0.25, H: 0.25}, Label: "motion 1.00"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if off := (got.PTS - in[70].PTS).Abs(); off > 100*time.Millisecond {
		t.Errorf("the frame is %v off", off)
	}
	img, err := jpeg.Decode(bytes.NewReader(got.Data))
	if err != nil {
		t.Fatal(err)
	}
	if img.Bounds().Dx() != footageW {
		t.Errorf("the snapshot is %v", img.Bounds())
	}
	if r, g, _, _ := img.At(footageW*3/4, footageH*5/8).RGBA(); r < 2*g {
		t.Errorf("the box's right side is not red but %d %d", r>>8, g>>8)
	}
	if _, err := b.s.Snapshot(ctx, wire.Snapshot{Session: 9}); err == nil || !strings.Contains(err.Error(), "no frame") {
		t.Errorf("of an unknown session: %v", err)
	}
}

func TestKilledWorkerIsReplaced(t *testing.T) {
	b := work(t, Options{})
	in := camera(t)
	for i := range 3 {
		b.running()
		b.publish(in[25*i : 25*i+25])
		b.take(25)
		if err := syscall.Kill(b.s.Stats().PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if cause := b.state(); cause.Code != CodeSignal || cause.Params["signal"] != "9 (killed)" {
			t.Errorf("cause %q", cause)
		}
	}
	b.running()
	b.publish(in[75:100])
	b.take(25)
	if stats := b.s.Stats(); stats.Restarts != 3 || stats.Analysed < 40 || stats.Repeated != 0 {
		t.Errorf("stats %+v", stats)
	}
}

func TestStoppedWorkerIsKilledAndReplaced(t *testing.T) {
	b := work(t, Options{ReplyTimeout: 5 * time.Second})
	b.running()
	in := camera(t)
	b.publish(in[:25])
	b.take(25)
	pid := b.s.Stats().PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	b.publish(in[25:50])
	if cause := b.state(); !strings.Contains(cause.Text, "no answer for") {
		t.Errorf("cause %q", cause)
	}
	if err := syscall.Kill(pid, 0); err == nil {
		t.Error("the stopped worker was left behind")
	}
	b.running()
	b.publish(in[:25])
	b.take(25)
}

// A worker without requests has nothing to reply: silence is no failure then.
func TestQuietStreamIsNoFailure(t *testing.T) {
	b := work(t, Options{ReplyTimeout: 200 * time.Millisecond})
	b.running()
	select {
	case cause := <-b.states:
		t.Errorf("the worker was given up: %s", cause)
	case <-time.After(time.Second): // five times the patience
	}
}

func TestGarbageIsCountedAndSurvived(t *testing.T) {
	b := work(t, Options{})
	b.running()
	in := camera(t)
	bad := 0
	var mixed []*streams.AccessUnit
	for i, u := range in[:100] {
		if i%10 == 5 {
			// A damaged access unit, with NALUs that make no sense.
			broken := *u
			broken.NALUs = [][]byte{bytes.Repeat([]byte{0x65, 0xff, 0x00, byte(i)}, 500), {0x67}, {0x68, 0x01}, {0xff}}
			u = &broken
			bad++
		}
		mixed = append(mixed, u)
	}
	b.publish(mixed)
	b.take(len(mixed))
	stats := b.s.Stats()
	if stats.Errors < uint64(bad) || stats.Restarts != 0 {
		t.Errorf("of %d broken access units %d were counted, with %d restarts", bad, stats.Errors, stats.Restarts)
	}
	b.publish(in[100:])
	for _, r := range b.take(len(in) - 100)[5:] {
		if r.Error != "" {
			t.Errorf("after the garbage: %+v", r)
		}
	}
}

// A camera that reconnects with other parameters starts a new session.
func TestNewSessionWithAnotherSize(t *testing.T) {
	b := work(t, Options{})
	b.running()
	in := camera(t)
	b.publish(in[:30])
	b.take(30)
	small := accessUnits(t, footage(t, "small.h264", "-s", "320x180", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "25",
		"-x264-params", "aud=1", "-f", "h264"))
	for _, u := range small[:30] {
		u.Session = 2
	}
	b.publish(small[:30])
	for i, r := range b.take(30) {
		if r.Frame.Session != 2 || r.Width != 320 || r.Height != 180 || r.Error != "" {
			t.Fatalf("frame %d became %+v", i, r)
		}
	}
}
