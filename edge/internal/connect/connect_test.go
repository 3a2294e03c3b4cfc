package connect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/devices/address"
	"gridpost/streams"
	"gridpost/streams/rtsp/rtsptest"

	firmwareconfig "gridpost/firmware-config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parsed(t *testing.T, s string) address.Stream {
	t.Helper()
	a, err := address.ParseStream(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// atRate sends frames with the rhythm that their timestamps say, but twenty times as fast.
func atRate(c *rtsptest.Conn) {
	for n := 0; c.SendFrame(n) && c.Pause(2*time.Millisecond); n++ {
	}
}

// TestTryCameras: what works is described, what does not is said, and one does not wait for another.
func TestTryCameras(t *testing.T) {
	server := rtsptest.Start(t, map[string]*rtsptest.Camera{
		"/good":   {Play: atRate, Tracks: []rtsptest.Track{rtsptest.H264(), rtsptest.PCMA()}},
		"/sub":    {Play: atRate},
		"/locked": {Auth: &rtsptest.Auth{User: "u", Password: "right"}},
		"/silent": {Play: func(c *rtsptest.Conn) {
			for c.Pause(time.Second) {
			}
		}},
		"/slow": {Play: func(c *rtsptest.Conn) { // a keyframe comes late
			for n := 1; c.SendFrame(n) && c.Pause(5*time.Millisecond); n++ {
				if n%rtsptest.GOP == rtsptest.GOP-1 && n < 100 {
					n++
				}
			}
		}},
		"/breaks": {Play: func(c *rtsptest.Conn) { c.SendFrames(0, 10) }, CloseAfterPlay: true},
	})
	tls, fingerprint := rtsptest.StartTLS(t, map[string]*rtsptest.Camera{"/tls": {}})
	camera := func(name, at string) firmwareconfig.Camera {
		return firmwareconfig.Camera{Name: name, URL: parsed(t, at)}
	}
	good := camera("yard", server.URL("/good?token=secret"))
	good.Detect = parsed(t, server.URL("/sub"))
	pinned := camera("pinned", tls.URL("/tls"))
	var err error
	if pinned.Fingerprint, err = address.ParseFingerprint(fingerprint); err != nil {
		t.Fatal(err)
	}
	doc := &firmwareconfig.Document{Edge: "gate-7", Cameras: []firmwareconfig.Camera{
		good,
		camera("locked", server.UserURL("/locked", "u", "s3cret")),
		camera("lost", server.URL("/lost")),
		camera("silent", server.URL("/silent")),
		camera("slow", server.URL("/slow")),
		camera("breaks", server.URL("/breaks")),
		camera("tls", tls.URL("/tls")),
		camera("absent", "rtsp://127.0.0.1:1/x"),
		pinned,
	}}
	var out bytes.Buffer
	report, err := Run(t.Context(), doc, Options{Progress: &out, Wait: 8 * time.Second, Measure: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if all, bad := report.Counts(); all != 10 || bad != 6 {
		t.Errorf("%d of %d do not work", bad, all)
	}
	for i, want := range []struct{ camera, stream, code string }{
		{"yard", "main", ""},
		{"yard", "detect", ""},
		{"locked", "main", "camera_password_refused"},
		{"lost", "main", "camera_stream_unknown"},
		{"silent", "main", "camera_no_frames"},
		{"slow", "main", ""},
		{"breaks", "main", "camera_closed_connection"},
		{"tls", "main", "camera_certificate_untrusted"},
		{"absent", "main", "camera_connection_refused"},
		{"pinned", "main", ""},
	} {
		c := report.Cameras[i]
		code := ""
		if c.Cause != nil {
			code = c.Cause.Code
		}
		if c.Camera != want.camera || c.Stream != want.stream || code != want.code || c.OK != (want.code == "") {
			t.Errorf("%d: %+v, want %+v; cause %+v", i, c, want, c.Cause)
		}
	}
	c := report.Cameras[0]
	if c.Codec != streams.H264 || c.Width != 320 || c.Height != 240 || c.FrameRate != 25 || c.KeyframeS != 0.2 || c.Audio != streams.PCMA ||
		c.Transport != "tcp" || c.RoundTripMS <= 0 || c.BitRate < 1000 || c.MeasuredS < 2.9 || c.LostPackets != 0 {
		t.Errorf("the good camera: %+v", c)
	}
	if advice := report.Cameras[7].Advice; !strings.Contains(strings.ReplaceAll(strings.ToLower(advice), ":", ""), fingerprint) {
		t.Errorf("advice %q does not name %s", advice, fingerprint)
	}
	text := out.String()
	for _, want := range []string{
		"trying 10 connections", "/10] yard main: ok: H264 320x240, 25 frames/s, a keyframe every 0.2 s, ", ", audio PCMA, round trip ",
		"lost main: DOES NOT WORK: the camera knows no stream at this path (404) (rtsp://" + server.Addr() + "/lost)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	encoded, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"s3cret", "token=secret"} {
		if strings.Contains(text, secret) || bytes.Contains(encoded, []byte(secret)) {
			t.Errorf("%s is in the report:\n%s\n%s", secret, text, encoded)
		}
	}
}

// TestBoundOfConnections: no more than AtOnce are tried at a time, and all are tried.
func TestBoundOfConnections(t *testing.T) {
	cameras := map[string]*rtsptest.Camera{}
	for i := range 6 {
		cameras[fmt.Sprintf("/%d", i)] = &rtsptest.Camera{Play: atRate}
	}
	server := rtsptest.Start(t, cameras)
	doc := &firmwareconfig.Document{Edge: "gate-7"}
	for path := range cameras {
		doc.Cameras = append(doc.Cameras, firmwareconfig.Camera{Name: strings.Trim(path, "/"), URL: parsed(t, server.URL(path))})
	}
	report, err := Run(t.Context(), doc, Options{AtOnce: 1, Measure: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if all, bad := report.Counts(); all != 6 || bad != 0 {
		t.Errorf("%d of %d do not work", bad, all)
	}
	type span struct{ from, to time.Time }
	var spans []span
	for path := range cameras {
		requests := slices.DeleteFunc(server.Requests(path), func(r rtsptest.Request) bool { return r.Method == "TEARDOWN" }) // not waited for
		spans = append(spans, span{requests[0].At, requests[len(requests)-1].At})
	}
	slices.SortFunc(spans, func(a, b span) int { return a.from.Compare(b.from) })
	for i := 1; i < len(spans); i++ {
		if spans[i].from.Before(spans[i-1].to) {
			t.Errorf("two cameras were tried at a time")
		}
	}
}

func TestAddressesAreShownWithoutSecrets(t *testing.T) {
	for in, want := range map[string]string{
		"rtsp://u:p@cam/Streaming/Channels/101":        "rtsp://cam/Streaming/Channels/101",
		"rtsp://cam:8554/live?user=u&password=p":       "rtsp://cam:8554/live?...",
		"rtsps://u@[fe80::1]:322/axis-media/media.amp": "rtsps://[fe80::1]:322/axis-media/media.amp",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := show(u); got != want {
			t.Errorf("%s is shown as %s, want %s", in, got, want)
		}
	}
}
