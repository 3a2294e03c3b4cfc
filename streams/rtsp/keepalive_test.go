package rtsp

import (
	"sync/atomic"
	"testing"
	"time"

	"gridpost/streams/rtsp/rtsptest"
)

const withGetParameter = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"

// TestKeepaliveThatTheCameraRefuses: the other method is used from then on, and the session goes on.
func TestKeepaliveThatTheCameraRefuses(t *testing.T) {
	cases := map[string]struct{ public, refused, status string }{}
	for _, status := range []string{"405 Method Not Allowed", "501 Not Implemented", "454 Session Not Found", "400 Bad Request", "551 Option not supported", "451"} {
		cases["OPTIONS "+status] = struct{ public, refused, status string }{"", "OPTIONS", status}
		cases["GET_PARAMETER "+status] = struct{ public, refused, status string }{withGetParameter, "GET_PARAMETER", status}
	}
	cases["wrong CSeq"] = struct{ public, refused, status string }{withGetParameter, "GET_PARAMETER", "400 Bad Request\r\nCSeq: 1"} // retina#133
	cameras := map[string]*rtsptest.Camera{}
	for name, c := range cases {
		cameras[pathOf(name)] = &rtsptest.Camera{
			Session: "42;timeout=1", Public: c.public,
			Before: func(conn *rtsptest.Conn, r *rtsptest.Request) bool {
				if r.Method != c.refused || r.Header.Get("Session") == "" {
					return false // OPTIONS at the start has no session
				}
				if name == "wrong CSeq" {
					return conn.Printf("RTSP/1.0 %s\r\n\r\n", c.status)
				}
				return conn.Printf("RTSP/1.0 %s\r\nCSeq: %s\r\n\r\n", c.status, r.Header.Get("CSeq"))
			},
		}
	}
	server := rtsptest.Start(t, cameras)
	running := map[string]*testSource{} // all at the same time, because each takes some seconds
	for name := range cases {
		running[name] = watch(t, Options{URL: parsed(t, server.URL(pathOf(name))), Transport: TCP})
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := running[name]
			w.t = t
			other := "GET_PARAMETER"
			if c.refused == other {
				other = "OPTIONS"
			}
			before := 0
			if other == rtsptest.MethodOptions {
				before = 1 // at the start
			}
			for server.Count(pathOf(name), other) < before+2 {
				w.accessUnits(1)
			}
			w.stop()
			if st := w.source.Stats(); st.Attempts != 1 {
				t.Errorf("%d attempts; log:\n%s", st.Attempts, w.log)
			}
			accepted := 0
			for _, r := range server.Requests(pathOf(name)) {
				switch {
				case r.Header.Get("Session") == "":
				case r.Method == other:
					accepted++
				case r.Method == c.refused && accepted > 1:
					t.Errorf("%s is tried again after %s was accepted", c.refused, other)
				}
			}
		})
	}
}

// TestKeepaliveWithoutEffect: a camera that accepts a method, and forgets the session all the same, gets the other one in
// the next session.
func TestKeepaliveWithoutEffect(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ public, wanted string }{
		"GET_PARAMETER that is not announced": {"", "GET_PARAMETER"}, // html5_rtsp_player#73
		"OPTIONS":                             {withGetParameter, "OPTIONS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var alive atomic.Int64 // when the camera last heard what it wants, in nanoseconds
			camera := &rtsptest.Camera{
				Session: "42;timeout=1", Public: test.public, CloseAfterPlay: true,
				Before: func(_ *rtsptest.Conn, r *rtsptest.Request) bool {
					if r.Method == test.wanted || r.Method == "PLAY" {
						alive.Store(time.Now().UnixNano())
					}
					return false
				},
				Play: func(c *rtsptest.Conn) {
					for n := 0; time.Since(time.Unix(0, alive.Load())) < 1900*time.Millisecond; n++ {
						if !c.SendFrame(n) || !c.Pause(rtsptest.Interval) {
							return
						}
					}
				},
			}
			server, u := rtsptest.StartOne(t, camera)
			w := watch(t, Options{URL: parsed(t, u), Transport: TCP})
			w.expect(true, "")
			w.expect(false, "closed the connection")
			w.expect(true, "")
			for keepalives := 0; keepalives < 3; {
				w.accessUnits(5)
				keepalives = 0
				for _, r := range server.Requests("/main") {
					if r.Method == test.wanted && r.Header.Get("Session") != "" {
						keepalives++
					}
				}
			}
		})
	}
}
