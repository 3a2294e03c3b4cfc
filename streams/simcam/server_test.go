package simcam

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"
	"github.com/pion/rtp"
)

const patience = 20 * time.Second

// serve runs a server until the test ends.
func serve(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return s
}

// viewer plays url and gives the timestamp of each packet that ends a frame.
func viewer(t *testing.T, url string) (*gortsplib.Client, <-chan uint32, error) {
	t.Helper()
	u, err := base.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	tcp := gortsplib.TransportTCP
	c := &gortsplib.Client{Scheme: u.Scheme, Host: u.Host, Transport: &tcp}
	if err := c.Start2(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	desc, _, err := c.Describe(u)
	if err != nil {
		return nil, nil, err
	}
	if err := c.SetupAll(desc.BaseURL, desc.Medias); err != nil {
		return nil, nil, err
	}
	stamps := make(chan uint32, 1000)
	c.OnPacketRTP(desc.Medias[0], desc.Medias[0].Formats[0], func(p *rtp.Packet) {
		if p.Marker {
			select {
			case stamps <- p.Timestamp:
			default:
			}
		}
	})
	if _, err := c.Play(nil); err != nil {
		return nil, nil, err
	}
	return c, stamps, nil
}

// watch plays url as soon as the camera is there.
func watch(t *testing.T, url string) (*gortsplib.Client, <-chan uint32) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		c, stamps, err := viewer(t, url)
		if err == nil {
			return c, stamps
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func next(t *testing.T, stamps <-chan uint32) uint32 {
	t.Helper()
	select {
	case s := <-stamps:
		return s
	case <-time.After(patience):
		t.Fatal("no frame comes")
		return 0
	}
}

func TestTimestampsKeepRisingWhenTheFileBeginsAnew(t *testing.T) {
	s := serve(t, Options{Cameras: []Camera{{Path: "/yard", File: video(t, false), Offset: 900 * time.Millisecond}}})
	_, stamps := watch(t, s.URL("yard"))
	last := next(t, stamps)
	for range 80 { // the file has 50 frames
		stamp := next(t, stamps)
		if stamp-last != 3600 {
			t.Errorf("time goes on by %d ticks, want 3600", int32(stamp-last))
		}
		last = stamp
	}
}

func TestPlaysToFFmpeg(t *testing.T) {
	s := serve(t, Options{
		User: "viewer", Password: "letmein",
		Cameras: []Camera{{Path: "yard", File: video(t, true)}},
	})
	for _, transport := range []string{"tcp", "udp"} {
		var out []byte
		var err error
		for range 5 { // it may ask before the camera has begun
			out, err = exec.CommandContext(t.Context(), "ffmpeg", "-nostdin", "-loglevel", "error", "-rtsp_transport", transport,
				"-i", s.URL("yard"), "-frames:v", "30", "-f", "framemd5", "-").Output()
			if err == nil {
				break
			}
		}
		if err != nil {
			t.Fatalf("%s: ffmpeg: %v", transport, err)
		}
		frames := make(map[string]bool)
		for line := range strings.Lines(string(out)) {
			if fields := strings.Split(strings.TrimSpace(line), ","); len(fields) == 6 {
				frames[strings.TrimSpace(fields[5])] = true
			}
		}
		if len(frames) < 25 {
			t.Errorf("%s: %d different frames were decoded, want 25 at least of 30", transport, len(frames))
		}
	}
	if _, _, err := viewer(t, strings.Replace(s.URL("yard"), "letmein", "wrong", 1)); err == nil {
		t.Error("a wrong password is let in")
	}
}

func TestCameraIsSwitchedOffAndFrozen(t *testing.T) {
	file := video(t, false)
	s := serve(t, Options{Cameras: []Camera{{Path: "yard", File: file}, {Path: "gate", File: file}}})
	c, stamps := watch(t, s.URL("yard"))
	_, gate := watch(t, s.URL("gate"))
	next(t, stamps)

	s.SetPlaying("yard", false)
	if err := c.Wait(); err == nil { // the viewer's connection ends
		t.Error("the viewer's session ended by itself")
	}
	_, _, err := viewer(t, s.URL("yard"))
	var status liberrors.ErrClientBadStatusCode
	if !errors.As(err, &status) || status.Code != base.StatusNotFound {
		t.Errorf("a camera that is off answers %v, want 404", err)
	}
	s.SetPlaying("yard", true)
	_, stamps = watch(t, s.URL("yard"))
	next(t, stamps)

	s.SetFrozen("yard", true)
	for quiet := false; !quiet; {
		for range 20 { // frames of the other camera go on meanwhile
			next(t, gate)
		}
		quiet = len(stamps) == 0
		for len(stamps) > 0 {
			<-stamps
		}
	}
	s.SetFrozen("yard", false)
	next(t, stamps)
	if s.SetPlaying("nowhere", true) {
		t.Error("there is a camera that nobody asked for")
	}
}

func TestOptionsThatCannotWork(t *testing.T) {
	file := video(t, false)
	for i, o := range []Options{
		{Cameras: []Camera{{Path: "", File: file}}},
		{Cameras: []Camera{{Path: "a", File: file}, {Path: "/a/", File: file}}},
		{Cameras: []Camera{{Path: "a", File: file + ".missing"}}},
		{Cameras: []Camera{{Path: "a", File: "simcam.go"}}},
		{Listen: "nowhere"},
	} {
		s, err := NewServer(o)
		if err == nil {
			t.Errorf("%d: no error", i)
			err = s.Close()
		}
		if fmt.Sprint(err) == "" {
			t.Errorf("%d: an error without words", i)
		}
	}
}

func TestCloseWithoutRun(t *testing.T) {
	s, err := NewServer(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
