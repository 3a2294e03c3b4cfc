package rtsp

import (
	"net"
	"strings"
	"testing"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

// freePort returns a TCP port that nothing listens at.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return port
}

func TestTakesFramesFromGStreamer(t *testing.T) {
	for _, transport := range []string{Auto, TCP, UDP} {
		t.Run(transport, func(t *testing.T) {
			_, port := gstreamer(t, "0")
			w := watch(t, Options{URL: parsed(t, local(port)), Transport: transport})
			w.expect(true, "")
			aus := w.accessUnits(30)
			if !aus[0].Keyframe || aus[0].PTS != 0 || aus[0].Session != 1 {
				t.Errorf("the first access unit is not keyframe 0 of session 1: %+v", aus[0])
			}
			width, height, err := h26x.SizeOf(streams.H264, aus[0].NALUs)
			if err != nil || width != 320 || height != 240 {
				t.Errorf("size %dx%d, %v; want 320x240", width, height, err)
			}
			if strings.Contains(w.log.String(), "cannot be parsed") {
				t.Errorf("unreadable packets:\n%s", w.log)
			}
		})
	}
}

func TestComesBackAfterTheCameraWasStopped(t *testing.T) {
	for _, transport := range []string{TCP, UDP} {
		t.Run(transport, func(t *testing.T) {
			port := freePort(t)
			w := watch(t, Options{URL: parsed(t, local(port)), Transport: transport})
			w.expect(false, "connection refused") // absent at first

			for session := uint32(1); session <= 2; session++ {
				camera, _ := gstreamer(t, port)
				w.expect(true, "")
				for u := w.accessUnits(1)[0]; u.Session != session; u = w.accessUnits(1)[0] {
				}
				w.accessUnits(20)
				kill(t, camera)
				w.expect(false, "")
				w.expect(false, "connection refused")
			}
		})
	}
}

func TestWrongPassword(t *testing.T) {
	_, port := gstreamer(t, "0", "--user", "viewer", "--password", "letmein")
	for _, test := range []struct{ user, cause string }{
		{"viewer:hunter42@", "the camera refuses the user name or password (401)"},
		{"", "the camera asks for a user name and password (401)"},
	} {
		w := watch(t, Options{URL: parsed(t, "rtsp://"+test.user+"127.0.0.1:"+port+"/main")})
		w.expect(false, test.cause)
		w.stop()
		if strings.Contains(w.log.String(), "hunter42") {
			t.Errorf("the password is in the log:\n%s", w.log)
		}
	}
	w := watch(t, Options{URL: parsed(t, "rtsp://viewer:letmein@127.0.0.1:"+port+"/main")})
	w.expect(true, "")
	w.accessUnits(5)
}

func TestReadersOfVideoReceiveNoAudio(t *testing.T) {
	_, port := gstreamer(t, "0", "--audio")
	w := watch(t, Options{URL: parsed(t, local(port))})
	w.expect(true, "")
	for _, u := range w.accessUnits(20) {
		if u.Codec != streams.H264 || !h26x.ContainsFrame(u.Codec, u.NALUs) {
			t.Fatalf("not a frame: %+v", u)
		}
	}
}

func TestTransportThatTheCameraRefuses(t *testing.T) {
	_, port := gstreamer(t, "0", "--transport", "udp")
	w := watch(t, Options{URL: parsed(t, local(port)), Transport: Auto})
	w.expect(true, "")
	w.accessUnits(5)

	_, port = gstreamer(t, "0", "--transport", "tcp")
	w = watch(t, Options{URL: parsed(t, local(port)), Transport: UDP})
	w.expect(true, "")
	w.accessUnits(5)

	_, port = gstreamer(t, "0", "--transport", "udp")
	w = watch(t, Options{URL: parsed(t, local(port)), Transport: TCP})
	w.expect(false, "461")
}

func TestUnknownPath(t *testing.T) {
	_, port := gstreamer(t, "0")
	w := watch(t, Options{URL: parsed(t, "rtsp://127.0.0.1:"+port+"/other")})
	w.expect(false, "404")
}
