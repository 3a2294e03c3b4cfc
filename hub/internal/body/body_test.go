package body

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gridpost/devices/memnet"
)

// bubble runs fn in a synctest bubble with a server whose bodies are bounded by the default limits.
func bubble(t *testing.T, h http.HandlerFunc, fn func(dial func() net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen()
		srv := &http.Server{
			Handler:           Handler(h, func(*http.Request) Limits { return Default() }),
			ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: log.New(io.Discard, "", 0),
		}
		done := make(chan error)
		go func() { done <- srv.Serve(l) }()
		fn(func() net.Conn {
			c, err := l.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return c
		})
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// exchange sends text and returns all that comes back until the server closes the connection.
func exchange(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	defer c.Close() //nolint:errcheck // a pipe
	go func() { _, _ = io.WriteString(c, text) }()
	out, err := io.ReadAll(c)
	if err != nil {
		t.Error(err)
	}
	return string(out)
}

func readAll(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.WriteHeader(http.StatusRequestTimeout)
		return
	}
	_, _ = fmt.Fprintf(w, "read %d", len(body))
}

func readNothing(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }

// TestBodiesThatDoNotCome: 500 connections whose bodies never come are gone after a minute, whether the handler
// reads the body, a part of it, or nothing, and however its length was announced.
func TestBodiesThatDoNotCome(t *testing.T) {
	handlers := map[string]http.HandlerFunc{
		"read": readAll, "not read": readNothing,
		"nothing done": func(http.ResponseWriter, *http.Request) {},
		"read in part": func(w http.ResponseWriter, r *http.Request) {
			_, _ = r.Body.Read(make([]byte, 1))
			_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
		},
		"streamed": func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "x")
		},
		"panic": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	requests := []string{
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nx",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx",
		"GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n",
	}
	for name, h := range handlers {
		t.Run(name, func(t *testing.T) {
			bubble(t, h, func(dial func() net.Conn) {
				began := time.Now()
				var wg sync.WaitGroup
				for i := range 500 {
					c := dial()
					wg.Go(func() {
						if out := exchange(t, c, requests[i%len(requests)]); name != "panic" && !strings.Contains(out, "Connection: close") {
							t.Errorf("%q: %q", requests[i%len(requests)], out)
						}
					})
				}
				wg.Wait()
				if d := time.Since(began); d > time.Minute {
					t.Errorf("the last connection was closed after %s", d)
				}
			})
		})
	}
}

// TestTrickle: a body that comes a byte at a time is given up after the total time.
func TestTrickle(t *testing.T) {
	bubble(t, readAll, func(dial func() net.Conn) {
		c, began := dial(), time.Now()
		var wg sync.WaitGroup
		defer wg.Wait()
		defer c.Close() //nolint:errcheck // a pipe; it ends the writer
		wg.Go(func() {
			_, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
			for err == nil {
				time.Sleep(10 * time.Second)
				_, err = io.WriteString(c, "x")
			}
		})
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close() //nolint:errcheck // of a pipe
		if d := time.Since(began); res.StatusCode != http.StatusRequestTimeout || !res.Close || d != Default().Total {
			t.Errorf("%s after %s", res.Status, d)
		}
	})
}

// TestReadBodyHasNoDeadline: a request whose body was read may take as long as it likes, a slow body is read
// whole, and the connection is used again.
func TestReadBodyHasNoDeadline(t *testing.T) {
	var cause error
	slow := func(w http.ResponseWriter, r *http.Request) {
		readAll(w, r)
		ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
		defer cancel()
		<-ctx.Done()
		cause = ctx.Err()
	}
	bubble(t, slow, func(dial func() net.Conn) {
		c := dial()
		defer c.Close() //nolint:errcheck // a pipe
		in := bufio.NewReader(c)
		for range 2 {
			go func() {
				_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na")
				time.Sleep(Default().Pause - time.Second)
				_, _ = io.WriteString(c, "b")
			}()
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Error(err)
				return
			}
			body, err := io.ReadAll(res.Body)
			err = errors.Join(err, res.Body.Close())
			if err != nil || string(body) != "read 2" || res.Close {
				t.Errorf("%q, %v, close %t", body, err, res.Close)
			}
			if !errors.Is(cause, context.DeadlineExceeded) {
				t.Errorf("the request was ended: %v", cause)
			}
		}
	})
}

// TestHTTP2: a late body ends its stream, not the connection.
func TestHTTP2(t *testing.T) {
	srv := httptest.NewUnstartedServer(Handler(http.HandlerFunc(readAll), func(*http.Request) Limits {
		return Limits{Pause: 20 * time.Millisecond, Total: time.Minute}
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	for range 2 {
		body, end := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, body)
		if err != nil {
			t.Fatal(err)
		}
		res, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, res.Body)
		if err := errors.Join(err, res.Body.Close(), end.Close()); err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusRequestTimeout || res.ProtoMajor != 2 {
			t.Errorf("%s by %s", res.Status, res.Proto)
		}
	}
}
