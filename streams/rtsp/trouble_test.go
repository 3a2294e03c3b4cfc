package rtsp

import (
	"bytes"
	"crypto/rand"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/headers"
)

func TestSilentUDPFallsBackToTCP(t *testing.T) {
	f := &fakeCamera{play: func(c *fakeConn) {
		if c.udp {
			for c.pause(10 * time.Millisecond) {
				if _, err := c.Write(nil); err != nil {
					return
				}
			}
			return
		}
		c.sendFrames()
	}}
	w := watch(t, Options{URL: parsed(t, f.start(t)), Transport: UDP, UDPTimeout: 200 * time.Millisecond})
	w.expect(true, "")
	w.accessUnits(10)
	if w.source.Stats().Attempts != 2 {
		t.Errorf("%d attempts, want 2: no wait and no third", w.source.Stats().Attempts)
	}
}

func TestCameraThatAnswersButSendsNothing(t *testing.T) {
	f := &fakeCamera{play: func(c *fakeConn) { c.silence() }}
	w := watch(t, Options{URL: parsed(t, f.start(t)), StartTimeout: 300 * time.Millisecond})
	w.expect(false, "connected, but no ")
	if st := w.source.Stats(); st.Sessions != 0 {
		t.Errorf("a session without frames counts: %+v", st)
	}
}

func TestCameraThatFreezes(t *testing.T) {
	f := &fakeCamera{play: func(c *fakeConn) {
		for n := range 10 {
			c.sendFrame(n, uint32(n)*3600)
		}
		c.silence()
	}}
	w := watch(t, Options{URL: parsed(t, f.start(t)), FrameTimeout: 300 * time.Millisecond})
	w.expect(true, "")
	w.expect(false, "connected, but no frames for 300 ms")
	w.expect(true, "")
	for u := w.accessUnits(1)[0]; u.Session != 2; u = w.accessUnits(1)[0] {
	}
}

func TestCameraWithoutKeyframes(t *testing.T) {
	f := &fakeCamera{play: func(c *fakeConn) {
		for n := 1; c.sendFrame(5*n+1, uint32(n)*3600); n++ {
		}
	}}
	w := watch(t, Options{URL: parsed(t, f.start(t)), KeyframeTimeout: 300 * time.Millisecond})
	w.expect(false, "connected, but no keyframe within 300 ms")
}

func TestCameraWithoutVideo(t *testing.T) {
	f := &fakeCamera{sdp: "m=audio 0 RTP/AVP 8\r\na=control:audio\r\n"}
	w := watch(t, Options{URL: parsed(t, f.start(t))})
	w.expect(false, "the camera offers no H.264, H.265 or motion JPEG video")
}

func TestBackChannelIsPassedOver(t *testing.T) {
	f := &fakeCamera{play: (*fakeConn).sendFrames}
	f.sdp = "m=audio 0 RTP/AVP 8\r\na=sendonly\r\na=control:back\r\n" +
		strings.Replace(videoSDP(), "a=control:video", "a=sendonly\r\na=control:odd", 1) + videoSDP()
	w := watch(t, Options{URL: parsed(t, f.start(t))})
	w.expect(true, "")
	w.accessUnits(10)
}

// TestKeepaliveWellInsideTheTimeout: a camera with a timeout of 2 s hears of us each second at least; the next
// test shows the same arithmetic for the timeouts that cameras really have.
func TestKeepaliveWellInsideTheTimeout(t *testing.T) {
	heard := make(chan time.Time, 10)
	f := &fakeCamera{session: "42;timeout=2", play: (*fakeConn).sendFrames, keep: func(line string) {
		if strings.HasPrefix(line, "OPTIONS") || strings.HasPrefix(line, "GET_PARAMETER") {
			heard <- time.Now()
		}
	}}
	w := watch(t, Options{URL: parsed(t, f.start(t))})
	w.expect(true, "")
	last := time.Now()
	for range 2 {
		select {
		case at := <-heard:
			if at.Sub(last) > 1500*time.Millisecond {
				t.Errorf("a keepalive came after %v", at.Sub(last))
			}
			last = at
		case <-time.After(waitLimit):
			t.Fatal("no keepalive came")
		}
	}
}

func TestTimeoutThatTheLibraryIsTold(t *testing.T) {
	for in, want := range map[string]uint{
		"42": 12, "42;timeout=60": 12, "42;timeout=20": 12, "42;timeout=10": 6, "42; timeout=5": 3, "42;timeout=1": 1, "42;timeout=0": 12,
	} {
		res := &base.Response{StatusCode: base.StatusOK, Header: base.Header{"Session": base.HeaderValue{in}}}
		(&session{}).onResponse(res)
		var h headers.Session
		if err := h.Unmarshal(res.Header["Session"]); err != nil || h.Session != "42" || h.Timeout == nil || *h.Timeout != want {
			t.Errorf("%q became %q, %v; want a timeout of %d", in, res.Header["Session"], err, want)
		}
	}
}

// TestGarbage: what answers is no camera. It is told once, however often it is tried.
func TestGarbage(t *testing.T) {
	noise := make([]byte, 1<<16)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string][]byte{
		"noise":   noise,
		"http":    []byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
		"banner":  []byte("220 ftp.example ready\r\n"),
		"almost":  []byte("RTSP/1.0 200 OK\r\nContent-Length: 99999999999\r\n\r\n"),
		"frames":  bytes.Repeat([]byte{'$', 0, 0, 4, 1, 2, 3, 4}, 100),
		"headers": append([]byte("RTSP/1.0 200 OK\r\n"), bytes.Repeat([]byte("A: b\r\n"), 100_000)...),
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeCamera{before: func(c *fakeConn, _ string) bool {
				_, _ = c.Write(answer)
				return true
			}}
			w := watch(t, Options{URL: parsed(t, f.start(t)), ConnectTimeout: 300 * time.Millisecond})
			for deadline := time.Now().Add(waitLimit); w.source.Stats().Attempts < 6; {
				if time.Now().After(deadline) {
					t.Fatal("it is not tried again")
				}
				time.Sleep(10 * time.Millisecond)
			}
			w.stop()
			if n := strings.Count(w.log.String(), "\n"); n < 1 || n > 4 {
				t.Errorf("six attempts gave %d lines:\n%s", n, w.log)
			}
			if n := w.source.Stats().DecodeErrors; n == 0 && (name == "noise" || name == "banner" || name == "frames") { // the others have causes
				t.Error("it is not counted")
			}
		})
	}
}

func TestGarbageAmongThePackets(t *testing.T) {
	f := &fakeCamera{play: func(c *fakeConn) {
		for n := 0; c.sendFrame(n, uint32(n)*3600); n++ {
			_, _ = c.Write([]byte{'$', 0, 0, 3, 1, 2, 3})          // no RTP
			_, _ = c.Write([]byte{'$', 1, 0, 4, 255, 255, 255, 1}) // no RTCP
			_, _ = c.Write([]byte{'$', 9, 0, 4, 255, 255, 255, 1}) // a channel that nobody set up
		}
	}}
	w := watch(t, Options{URL: parsed(t, f.start(t))})
	w.expect(true, "")
	w.accessUnits(50)
	if n := w.source.Stats().DecodeErrors; n < 50 {
		t.Errorf("%d unreadable packets are counted", n)
	}
	if n := strings.Count(w.log.String(), "cannot be parsed"); n != 1 {
		t.Errorf("garbage is logged %d times:\n%s", n, w.log)
	}
}

func TestTimestampsThatJump(t *testing.T) {
	f := &fakeCamera{play: func(c *fakeConn) {
		timestamp := uint32(1<<32 - 5*3600) // wraps soon, which is no jump
		for n := 0; c.sendFrame(n, timestamp); n++ {
			switch n {
			case 20:
				timestamp += 90000 * 3600
			case 40:
				timestamp -= 90000 * 7200
			default:
				timestamp += 3600
			}
		}
	}}
	w := watch(t, Options{URL: parsed(t, f.start(t))})
	aus := w.accessUnits(80)
	if aus[79].Session != 1 {
		t.Errorf("the session did not survive; log:\n%s", w.log)
	}
	for i := 1; i < len(aus); i++ {
		if d := aus[i].PTS - aus[i-1].PTS; d <= 0 || d > 2*time.Second {
			t.Errorf("access unit %d comes %v after the one before", i, d)
		}
	}
	if n := w.source.Stats().TimestampJumps; n != 2 {
		t.Errorf("%d jumps, want 2", n)
	}
}

func TestLostPacketsCostWholeGOPs(t *testing.T) {
	f := &fakeCamera{play: func(c *fakeConn) {
		for n := 0; ; n++ {
			if n == 7 {
				c.seq++ // frame 7 of the second GOP, 5 to 9, misses a packet before it
			}
			if !c.sendFrame(n, uint32(n)*3600) {
				return
			}
		}
	}}
	w := watch(t, Options{URL: parsed(t, f.start(t))})
	aus := w.accessUnits(12)
	var got []int
	for _, u := range aus {
		got = append(got, int(u.PTS/(40*time.Millisecond)))
	}
	want := []int{0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("frames %v, want %v", got, want)
		}
	}
	if st := w.source.Stats(); st.LostPackets != 1 || st.Dropped != 3 {
		t.Errorf("stats %+v, want 1 packet and 3 frames lost", st)
	}
}

func TestSessionThatTheCameraForgets(t *testing.T) {
	f := &fakeCamera{session: "42;timeout=1"}
	f.play = func(c *fakeConn) {
		n := 0
		for ; n < 30 && c.sendFrame(n, uint32(n)*3600); n++ {
		}
		c.printf("RTSP/1.0 454 Session Not Found\r\nCSeq: 99\r\n\r\n")
		for ; c.sendFrame(n, uint32(n)*3600); n++ {
		}
	}
	w := watch(t, Options{URL: parsed(t, f.start(t))})
	w.expect(true, "")
	w.expect(false, "the camera ended the session")
	w.expect(true, "")
}

func TestCameraThatNeverShakesHands(t *testing.T) {
	listen, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := listen.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, scheme := range []string{"rtsp", "rtsps"} {
		w := watch(t, Options{URL: parsed(t, scheme+"://"+listen.Addr().String()+"/main"), ConnectTimeout: 300 * time.Millisecond})
		w.expect(false, "does not speak RTSP, or too slowly")
		w.stop()
	}
}

func TestCameraThatRedirectsForEver(t *testing.T) {
	f := &fakeCamera{}
	f.before = func(c *fakeConn, method string) bool {
		if method != "DESCRIBE" {
			return false
		}
		c.printf("RTSP/1.0 302 Found\r\nCSeq: 2\r\nLocation: rtsp://%s/main\r\n\r\n", f.listen.Addr())
		return true
	}
	w := watch(t, Options{URL: parsed(t, f.start(t)), ConnectTimeout: 500 * time.Millisecond})
	w.expect(false, "")
}

func TestAddressThatCanNeverWork(t *testing.T) {
	for _, o := range []Options{
		{}, {URL: parsed(t, "rtsp://u:cret@127.0.0.1/"), Transport: "tpc"},
	} {
		err := NewSource(o).Run(t.Context())
		if err == nil || strings.Contains(err.Error(), "cret") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
