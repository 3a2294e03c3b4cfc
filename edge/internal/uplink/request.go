package uplink

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"gridpost/devices/problem"
	"gridpost/hub/api"
)

const (
	noProgress = 20 * time.Second // without a byte of a request leaving, it is given up
	answerTime = 30 * time.Second // for the answer, once the whole request has been handed to the kernel
	bodyStep   = 4 << 10          // bytes that are handed to the connection at a time
	maxAnswer  = 1 << 20          // bytes
	minGzip    = 512              // bytes; what is smaller is not worth compressing
)

// errNoProgress ends a request that moves no more.
var errNoProgress error = stalledError{}

type stalledError struct{}

func (stalledError) Error() string   { return "the connection makes no progress" }
func (stalledError) Timeout() bool   { return true }
func (stalledError) Temporary() bool { return true }

// answerError is an answer of the hub that makes no sense. Nothing is deleted because of it.
type answerError struct{ what string }

func (e *answerError) Error() string { return "the hub's answer makes no sense: " + e.what }

// do sends a request and returns its answer's header and body. Any status but 2xx is a
// *problem.Error. There is no limit to the whole time of a request, because a thin line takes
// long: it ends when it makes no progress. A request that meets a connection with a certificate that has been
// renewed since is sent again at once.
func (u *Uplink) do(ctx context.Context, client *http.Client, method, path string, header http.Header, body []byte) (http.Header, []byte, error) {
	answerHeader, answer, err := u.attempt(ctx, client, method, path, header, body)
	var refused *problem.Error
	if errors.As(err, &refused) && refused.Status == http.StatusForbidden && u.outdated.Add(-1) >= 0 {
		return u.attempt(ctx, client, method, path, header, body)
	}
	return answerHeader, answer, err
}

// attempt sends a request once.
func (u *Uplink) attempt(ctx context.Context, client *http.Client, method, path string, header http.Header, body []byte) (http.Header, []byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := newWatchdog(func() { cancel(errNoProgress) })
	defer watch.stop()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(u.o.URL, "/")+path, nil)
	if err != nil {
		return nil, nil, err
	}
	if len(body) > 0 {
		req.ContentLength = int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return watch.body(body), nil }
		req.Body = watch.body(body)
	} else {
		watch.extend(answerTime)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set(api.HeaderProtocol, strconv.Itoa(api.ProtocolVersion))
	// Every request may be repeated. An empty list says so to net/http, which then repeats one that
	// met a connection the hub had just closed, and sends no header.
	req.Header["Idempotency-Key"] = nil
	u.requests.Add(1)
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, causeOf(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	watch.extend(answerTime)
	u.observe(resp)
	if resp.StatusCode/100 != 2 {
		return resp.Header, nil, problem.FromResponse(resp)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the answer: %w", causeOf(ctx, err))
	}
	if len(answer) > maxAnswer {
		return nil, nil, &answerError{"it is longer than 1 MiB"}
	}
	return resp.Header, answer, nil
}

// causeOf returns why ctx ended, if that is what err is about.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// postJSON posts in as JSON, compressed when the hub reads that, and decodes the answer into
// out. It returns how many bytes it handed to the connection.
func (u *Uplink) postJSON(ctx context.Context, client *http.Client, path string, in, out any) (sent int, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return 0, fmt.Errorf("encoding a request: %w", err)
	}
	header := http.Header{"Content-Type": {"application/json"}}
	if u.hubProtocol.Load() >= 2 && len(body) >= minGzip {
		if body, err = deflate(body); err != nil {
			return 0, fmt.Errorf("compressing a request: %w", err)
		}
		header.Set("Content-Encoding", "gzip")
	}
	_, answer, err := u.do(ctx, client, http.MethodPost, path, header, body)
	if err != nil || out == nil {
		return len(body), err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return len(body), &answerError{err.Error()}
	}
	return len(body), nil
}

func deflate(body []byte) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(body)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}

// observe learns the hub's protocol version and its clock from an answer.
func (u *Uplink) observe(resp *http.Response) {
	version := int64(1)
	if v, err := strconv.ParseUint(resp.Header.Get(api.HeaderProtocol), 10, 16); err == nil {
		version = int64(v)
	}
	u.hubProtocol.Store(version)
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		u.o.Identity.Clock().Observe(at)
	}
}

// watchdog calls give up when a request makes no progress.
type watchdog struct {
	mu    sync.Mutex
	timer *time.Timer
}

func newWatchdog(giveUp func()) *watchdog {
	// Dialling and the handshake have limits of their own and come first.
	return &watchdog{timer: time.AfterFunc(dialTimeout+noProgress, giveUp)}
}

// extend gives the request d from now on, if it has not ended.
func (w *watchdog) extend(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer.Stop() {
		w.timer.Reset(d)
	}
}

func (w *watchdog) stop() { w.timer.Stop() }

// body returns a reader of b whose reading is the request's progress.
func (w *watchdog) body(b []byte) io.ReadCloser {
	return io.NopCloser(&progressReader{rest: b, watch: w})
}

type progressReader struct {
	rest  []byte
	watch *watchdog
}

func (r *progressReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest[:min(len(r.rest), bodyStep)])
	r.rest = r.rest[n:]
	if len(r.rest) == 0 {
		r.watch.extend(answerTime)
	} else {
		r.watch.extend(noProgress)
	}
	return n, nil
}

// pathOf returns the path of a ServeMux pattern.
func pathOf(pattern string) string {
	if _, path, ok := strings.Cut(pattern, " "); ok {
		return path
	}
	return pattern
}
