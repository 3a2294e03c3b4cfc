package rtsp

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"gridpost/devices/address"
	"gridpost/streams/rtsp/rtsptest"
)

// raw answers the first request with any bytes and closes the connection.
func raw(text string) *rtsptest.Camera {
	return &rtsptest.Camera{Before: func(c *rtsptest.Conn, _ *rtsptest.Request) bool {
		c.Printf("%s", text)
		c.Close()
		return true
	}}
}

// refuses returns a camera that answers a method with a status.
func refuses(method, line string) *rtsptest.Camera {
	return &rtsptest.Camera{Answer: status(method, line)}
}

// TestCausesOfCameras: what cannot play says why, in words that an installer can act on.
func TestCausesOfCameras(t *testing.T) {
	locked := func(auth rtsptest.Auth) *rtsptest.Camera {
		auth.User, auth.Password = "admin", "s3cret"
		return &rtsptest.Camera{Auth: &auth}
	}
	cases := map[string]struct {
		camera *rtsptest.Camera
		login  string // user:password
		code   string
		text   string // part of the cause
	}{
		"a web server":             {raw("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), "", "camera_http", "web server"},
		"a web server without end": {raw("HTTP/1.0 200 OK\r\nServer: httpd\r\n"), "", "camera_http", "port"},
		"TLS is expected":          {raw("\x15\x03\x01\x00\x02\x02\x0a"), "", "camera_needs_tls", "rtsps://"},
		"another protocol":         {raw("220 ftp.example ready\r\n"), "", "camera_not_understood", "220 ftp.example ready"},
		"no status":                {raw("RTSP/1.0 OK\r\n\r\n"), "", "camera_not_understood", "RTSP/1.0 OK"},
		"a header without end":     {raw("RTSP/1.0 200 OK\r\n" + strings.Repeat("X: y\r\n", 20_000)), "", "camera_header_too_large", "header"},
		"a line without end":       {raw("RTSP/1.0 200 OK\r\nX: " + strings.Repeat("y", 100_000)), "", "camera_header_too_large", "header"},
		"an empty answer":          {raw(""), "", "camera_closed_connection", ""},
		"half an answer":           {raw("RTSP/1.0 200 OK\r\nCSeq: 1\r\n"), "", "camera_closed_connection", ""},
		"a huge description":       {&rtsptest.Camera{SDP: strings.Repeat("a=x\r\n", 60_000)}, "", "camera_description_too_large", "300000 bytes"},
		"an endless description": {
			&rtsptest.Camera{SDP: strings.Repeat("a=x\r\n", 60_000), Answer: length("DESCRIBE", "-")}, "",
			"camera_description_too_large", "bytes",
		},
		"an announced description": {&rtsptest.Camera{Answer: length("DESCRIBE", "99999999999")}, "", "camera_description_too_large", "99999999999"},
		"an empty description":     {&rtsptest.Camera{SDP: " "}, "", "camera_no_video", ""},
		"audio only":               {describedAs(withSession("m=audio 0 RTP/AVP 8", "a=control:audio")), "", "camera_no_video", ""},
		"MPEG-4":                   {describedAs(withSession("m=video 0 RTP/AVP 96", "a=rtpmap:96 MP4V-ES/90000")), "", "camera_no_video", "MP4V-ES"},
		"AV1 and VP8":              {describedAs(withSession("m=video 0 RTP/AVP 96 97", "a=rtpmap:96 AV1/90000", "a=rtpmap:97 VP8/90000")), "", "camera_no_video", "AV1, VP8"},
		"a page instead of it":     {describedAs("<html>m=video</html>"), "", "camera_no_video", ""},

		"no password":            {locked(rtsptest.Auth{}), "", "camera_password_missing", "401"},
		"a wrong password":       {locked(rtsptest.Auth{}), "admin:wrong-s3cret", "camera_password_refused", "401"},
		"a wrong user":           {locked(rtsptest.Auth{Qop: "auth"}), "root:s3cret", "camera_password_refused", "401"},
		"a wrong Basic password": {locked(rtsptest.Auth{Algorithm: "Basic"}), "admin:wrong-s3cret", "camera_password_refused", "401"},
		"a locked account":       {locked(rtsptest.Auth{Locked: true}), "admin:s3cret", "camera_password_refused", "401"},
		"an unknown algorithm":   {locked(rtsptest.Auth{Challenges: []string{`Digest realm="x", nonce="y", algorithm=SHA-999`}}), "admin:s3cret", "camera_login_method", "digest SHA-999"},
		"an unknown scheme":      {locked(rtsptest.Auth{Challenges: []string{`Negotiate`, `Bearer realm="x"`}}), "admin:s3cret", "camera_login_method", "negotiate, bearer"},
		"no challenge":           {locked(rtsptest.Auth{Challenges: []string{}}), "admin:s3cret", "camera_login_method", "log-in method"},
		"an unknown qop":         {locked(rtsptest.Auth{Challenges: []string{`Digest realm="x", nonce="y", qop="foo"`}}), "admin:s3cret", "camera_login_method", "qop=foo"},

		"403":             {refuses("DESCRIBE", "RTSP/1.0 403 Forbidden"), "", "camera_access_refused", ""},
		"404":             {refuses("DESCRIBE", "RTSP/1.0 404"), "", "camera_stream_unknown", ""},
		"453":             {refuses("SETUP", "RTSP/1.0 453 Not Enough Bandwidth"), "", "camera_full", "453"},
		"461":             {refuses("SETUP", "RTSP/1.0 461 Unsupported Transport"), "", "camera_tcp_refused", "transport: auto"},
		"454 to PLAY":     {refuses("PLAY", "RTSP/1.0 454 Session Not Found"), "", "camera_status", "454"},
		"500":             {refuses("DESCRIBE", "RTSP/1.0 500 Oops"), "", "camera_status", "Oops"},
		"a status of 999": {refuses("DESCRIBE", "RTSP/1.0 999 {x}"), "", "camera_status", "999"},
		"secrets come back": {
			refuses("DESCRIBE", "RTSP/1.0 500 admin:s3cret YWRtaW46czNjcmV0 s3cret"), "admin:s3cret",
			"camera_status", "*** *** ***",
		},
		"a redirection that names a password": {redirects("http://HOST/PATH?pwd=s3cret"), "", "camera_not_understood", "Location"},
		"a redirection without end":           {redirects("rtsp://HOST/PATH"), "", "camera_redirect_loop", ""},
		"a redirection to the web":            {redirects("http://HOST/PATH"), "", "camera_not_understood", "Location"},
		"TEARDOWN by the camera": {&rtsptest.Camera{Play: func(c *rtsptest.Conn) {
			c.Printf("TEARDOWN rtsp://127.0.0.1/ RTSP/1.0\r\nCSeq: 1\r\n\r\n")
		}}, "", "camera_session_ended", ""},
	}
	cameras := map[string]*rtsptest.Camera{}
	for name, c := range cases {
		cameras[pathOf(name)] = c.camera
	}
	server := rtsptest.Start(t, cameras)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := server.URL(pathOf(name))
			if user, password, ok := strings.Cut(c.login, ":"); ok {
				u = server.UserURL(pathOf(name), user, password)
			}
			w := watch(t, Options{URL: parsed(t, u), Transport: TCP, RetryMin: time.Minute, RetryMax: time.Minute})
			w.expect(false, c.text)
			w.stop()
			if !strings.Contains(w.log.String(), "code="+c.code+" ") {
				t.Errorf("the cause is not %s; log:\n%s", c.code, w.log)
			}
			if strings.Contains(w.log.String(), "s3cret") || strings.Contains(w.log.String(), "YWRtaW46") {
				t.Errorf("the log shows a password:\n%s", w.log)
			}
		})
	}
}

// redirects returns a camera that redirects from OPTIONS on (gomedia#89, mediamtx#5236).
func redirects(location string) *rtsptest.Camera {
	return &rtsptest.Camera{Before: func(c *rtsptest.Conn, r *rtsptest.Request) bool {
		return c.Printf("RTSP/1.0 302 Moved\r\nCSeq: %s\r\nLocation: %s\r\n\r\n", r.Header.Get("CSeq"), c.Expand(location))
	}}
}

// TestRedirections: the new address may be relative, need the login, or have TLS.
func TestRedirections(t *testing.T) {
	secure, fingerprint := rtsptest.StartTLS(t, map[string]*rtsptest.Camera{
		"/there": {Auth: &rtsptest.Auth{User: "u", Password: "p", Qop: "auth"}},
		"/back":  redirects("rtsp://HOST/there"),
	})
	server := rtsptest.Start(t, map[string]*rtsptest.Camera{
		"/relative": redirects("/there"),
		"/absolute": redirects("rtsp://x:y@HOST/there"),
		"/308": {Before: func(c *rtsptest.Conn, r *rtsptest.Request) bool {
			return c.Printf("RTSP/1.0 308 Permanent Redirect\r\nCSeq: %s\r\nLocation: /there\r\n\r\n", r.Header.Get("CSeq"))
		}},
		"/secure": redirects(secure.URL("/there")),
		"/there":  {Auth: &rtsptest.Auth{User: "u", Password: "p"}},
	})
	for _, path := range []string{"/relative", "/absolute", "/308", "/secure"} {
		w := watch(t, Options{URL: parsed(t, server.UserURL(path, "u", "p")), Fingerprint: fingerprint, Transport: TCP})
		w.accessUnits(5)
		w.stop()
	}
	w := watch(t, Options{URL: parsed(t, secure.URL("/back")), Fingerprint: fingerprint, Transport: TCP})
	w.expect(false, "to one without")
}

func TestSelfSignedCertificate(t *testing.T) {
	server, fingerprint := rtsptest.StartTLS(t, map[string]*rtsptest.Camera{"/main": {Auth: &rtsptest.Auth{User: "u", Password: "p", Qop: "auth"}}})
	other, _ := rtsptest.StartTLS(t, map[string]*rtsptest.Camera{"/main": {}})
	u := parsed(t, server.UserURL("/main", "u", "p"))

	w := watch(t, Options{URL: u})
	w.expect(false, address.FormatFingerprint(fingerprint)) // so that it can be copied into the site document
	w.stop()
	if server.Count("/main", "OPTIONS") != 0 {
		t.Error("an untrusted camera has got a request")
	}

	w = watch(t, Options{URL: u, Fingerprint: fingerprint, Transport: UDP})
	w.accessUnits(5)
	w.stop()
	for _, r := range server.Requests("/main") {
		if !strings.HasPrefix(r.URL, "rtsps://") || r.Method == "SETUP" && !strings.Contains(r.Header.Get("Transport"), "TCP") {
			t.Errorf("%s %s, Transport %s", r.Method, r.URL, r.Header.Get("Transport"))
		}
	}

	w = watch(t, Options{URL: parsed(t, other.URL("/main")), Fingerprint: fingerprint})
	w.expect(false, "not the one that was configured")
}

func TestTLSAtTheWrongPort(t *testing.T) {
	// A camera that reads no request, and answers a TLS handshake in plain text.
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listen.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "RTSP/1.0 400 Bad Request\r\n\r\n") // the client may be gone
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listen.Close(); <-done })
	w := watch(t, Options{URL: parsed(t, "rtsps://"+listen.Addr().String()+"/main")})
	w.expect(false, "speaks no TLS")
	w.stop()

	secure, _ := rtsptest.StartTLS(t, map[string]*rtsptest.Camera{"/main": {}})
	w = watch(t, Options{URL: parsed(t, "rtsp://"+secure.Addr()+"/main")})
	w.expect(false, "rtsps://") // Go's server answers plain text with an alert
	w.stop()
}
