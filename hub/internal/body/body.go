// Package body bounds how long the body of a request may take to arrive.
//
// net/http waits for a body without a limit, in the handler that reads it, and after one that did not read it,
// before it sends the response. A client could therefore hold a connection for ever by announcing a body
// and not sending it. A limit for the whole request (http.Server.ReadTimeout) is no remedy, because it would also end
// streams of server-sent events. The package must import nothing of Gridpost.
package body

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// Limits of the time that a body may take.
type Limits struct {
	Pause time.Duration // without a byte
	Total time.Duration // of the whole body, from when it is first read
}

// Default returns the limits of bodies of up to about 256 KiB, from clients that need not be known.
func Default() Limits { return Limits{Pause: 20 * time.Second, Total: time.Minute} }

// How long, and how many bytes of, the rest of a body are received that the handler did not read. A client that is still
// sending after that may not get the response, because its connection is reset.
const (
	drain      = time.Second
	drainBytes = 4 << 20
)

// Handler returns a handler that calls next and holds the bodies of its requests to limits, which is called for each
// request with a body. Reads fail with os.ErrDeadlineExceeded when a body is late. The deadline is lifted when the
// body has been read to its end; when it was not, the connection is closed after the response (HTTP/1.1). An
// HTTP/2 stream with an unread body is reset by net/http.
func Handler(next http.Handler, limits func(*http.Request) Limits) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		control := http.NewResponseController(w)
		body := &reader{ReadCloser: r.Body, control: control, limits: limits(r)}
		r.Body = body
		if r.ProtoMajor >= 2 {
			next.ServeHTTP(w, r)
			return
		}
		out := &writer{ResponseWriter: w, body: body}
		defer func() {
			if body.complete.Load() {
				return
			}
			out.begin()
			body.deadline(time.Now().Add(drain))
			_ = control.Flush()                                      // a client that waits for the response sends no more
			_, _ = io.CopyN(io.Discard, body.ReadCloser, drainBytes) // whatever comes, the connection is closed then
		}()
		next.ServeHTTP(out, r)
	})
}

// reader reads a body. Only complete may be used concurrently with Read.
type reader struct {
	io.ReadCloser
	control  *http.ResponseController
	limits   Limits
	end      time.Time // of Limits.Total; zero: nothing has been read
	complete atomic.Bool
}

func (b *reader) Read(p []byte) (int, error) {
	if b.complete.Load() {
		return b.ReadCloser.Read(p)
	}
	now := time.Now()
	if b.end.IsZero() {
		b.end = now.Add(b.limits.Total)
	}
	next := now.Add(b.limits.Pause)
	if next.After(b.end) {
		next = b.end
	}
	b.deadline(next)
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.complete.Store(true)
		// net/http goes on reading, to notice when the client closes the connection. A deadline would look
		// like that, and cancel the context of the request.
		b.deadline(time.Time{})
	}
	return n, err
}

// deadline sets the read deadline of the connection, or of the HTTP/2 stream.
func (b *reader) deadline(t time.Time) {
	_ = b.control.SetReadDeadline(t) // only a recorder in a test has none
}

// writer announces that the connection will be closed if the body has not been read when the response begins.
type writer struct {
	http.ResponseWriter
	body  *reader
	begun bool
}

func (w *writer) begin() {
	if w.begun {
		return
	}
	w.begun = true
	if !w.body.complete.Load() {
		w.Header().Set("Connection", "close")
	}
}

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	if status >= http.StatusOK { // not an informational response, after which another one follows
		w.begin()
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *writer) Write(p []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(p)
}

// FlushError flushes the response, for http.ResponseController.
func (w *writer) FlushError() error {
	w.begin()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap returns the writer below, for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
