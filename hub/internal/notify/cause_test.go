package notify

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// TestCausesAreWords: whatever answers instead of a receiver, and however it ends the connection, the cause has a
// code of its own.
func TestCausesAreWords(t *testing.T) {
	read := func(c net.Conn) { _, _ = http.ReadRequest(bufio.NewReader(c)) } // an error is the client's end
	for name, c := range map[string]struct {
		answer func(net.Conn)
		tls    bool
		want   string
	}{
		"closed at once":           {func(net.Conn) {}, false, "delivery_connection_closed"},
		"closed after the request": {read, false, "delivery_connection_closed"},
		"reset": {func(c net.Conn) {
			read(c)
			_ = c.(*net.TCPConn).SetLinger(0) //nolint:forcetypeassert // the listener's only type
		}, false, "delivery_connection_closed"},
		"half an answer": {func(c net.Conn) {
			read(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Len")
		}, false, "delivery_not_http"},
		"another protocol": {func(c net.Conn) {
			_, _ = io.WriteString(c, "220 mail.example ESMTP\r\n")
			read(c)
		}, false, "delivery_not_http"},
		"HTTP instead of TLS": {func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			_, _ = io.Copy(io.Discard, c)
		}, true, "delivery_not_tls"},
		"mail instead of TLS": {func(c net.Conn) {
			_, _ = io.WriteString(c, "220 mail.example ESMTP\r\n")
			_, _ = io.Copy(io.Discard, c)
		}, true, "delivery_not_tls"},
		"TLS alert": {func(c net.Conn) {
			_ = tls.Server(c, &tls.Config{MinVersion: tls.VersionTLS12}).Handshake() // it has no certificate
		}, true, "delivery_tls_refused"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					c.answer(conn)
					_ = conn.Close()
				}
			}()
			defer func() {
				_ = l.Close()
				<-done
			}()
			url := "http://" + l.Addr().String()
			if c.tls {
				url = "https://" + l.Addr().String()
			}
			check(t, url, c.want)
		})
	}
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	check(t, srv.URL, "delivery_connection_refused")
	check(t, "http://192.0.2.1.invalid", "delivery_name_unknown")
}

// TestSpeaksFirst: a server of another protocol may speak before the request is written or after it, as it happens:
// net/http has an error for either.
func TestSpeaksFirst(t *testing.T) {
	n := New(Options{Logger: slog.New(slog.DiscardHandler)})
	for _, text := range []string{"net/http: HTTP/1.x transport connection broken: malformed HTTP response", "readLoopPeekFailLocked: %!w(<nil>)"} {
		if c := n.causeOf(&url.Error{Op: "Post", URL: "http://a.example", Err: errors.New(text)}); c.Code != "delivery_not_http" {
			t.Errorf("%s: %s", text, c.Code)
		}
	}
}

func check(t *testing.T, url, want string) {
	t.Helper()
	n := New(Options{AllowPrivate: true, Logger: slog.New(slog.DiscardHandler)})
	defer n.client.CloseIdleConnections()
	got, err := n.Test(t.Context(), Target{ID: "a", URL: url, Secrets: []string{NewSecret()}}, "wang")
	if err != nil || got.Delivered || got.Cause.Code != want {
		t.Errorf("%s: %q (%s), %v, want %s", url, got.Cause.Code, got.Cause.Text, err, want)
	}
}
