package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	firmwareconfig "gridpost/firmware-config"
)

// socketName is the control socket in the data directory. Only its owner may connect: whoever can, can
// change what the edge does.
const socketName = "control.sock"

// Refused is the error of a document that the edge does not accept. Its text is what is wrong, one
// problem a line.
type Refused struct{ Reason string }

// Error implements error.
func (r *Refused) Error() string { return r.Reason }

// ErrNotRunning says that no edge runs on the data directory.
var ErrNotRunning = errors.New("no edge runs")

// Control is what the socket offers.
type Control struct {
	Status func() Status

	// Apply makes the edge run another document, and returns what changed, to be encoded as JSON.
	// Its error is a *Refused when nothing changed.
	Apply func(ctx context.Context, name string, data []byte) (any, error)

	// Adopt makes sensors of a discovered device, or of one of its values, by its name. It returns as Apply
	// does.
	Adopt func(ctx context.Context, name string) (any, error)

	// Forget removes a device of a template until it is heard of again. It returns as Apply does.
	Forget func(ctx context.Context, name string) (any, error)

	// AcceptView makes what a camera shows now the view that it is to show. It returns as Apply does.
	AcceptView func(ctx context.Context, name string) (any, error)
}

// Listen binds the control socket in dir. A socket that an earlier run has left is replaced; the
// caller makes sure that no other edge runs on dir.
func Listen(dir string) (net.Listener, error) {
	path, done, err := socketPath(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	defer done()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // the path is valid only here; a socket that is left is replaced
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", errors.Join(err, l.Close()))
	}
	return l, nil
}

// socketPath returns a path of the socket that fits in a sockaddr_un, whose paths have at most 107
// bytes (unix(7)). It is valid until done is called.
func socketPath(dir string) (path string, done func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(d.Fd())), socketName), func() { _ = d.Close() }, nil // nothing was written
}

// Serve serves the control socket until ctx ends.
func (c Control) Serve(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status.json", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, c.Status()) })
	// Not the context of the request: a change goes on when the client is gone.
	mux.HandleFunc("POST /apply", func(w http.ResponseWriter, r *http.Request) { c.apply(ctx, w, r) })
	mux.HandleFunc("POST /adopt", func(w http.ResponseWriter, r *http.Request) {
		changes, err := c.Adopt(ctx, r.URL.Query().Get("name"))
		answer(w, changes, err)
	})
	mux.HandleFunc("POST /forget", func(w http.ResponseWriter, r *http.Request) {
		changes, err := c.Forget(ctx, r.URL.Query().Get("name"))
		answer(w, changes, err)
	})
	mux.HandleFunc("POST /accept-view", func(w http.ResponseWriter, r *http.Request) {
		changes, err := c.AcceptView(ctx, r.URL.Query().Get("name"))
		answer(w, changes, err)
	})
	return serve(ctx, l, mux)
}

// serve serves HTTP until ctx ends.
func serve(ctx context.Context, l net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadTimeout: 10 * time.Second, WriteTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		_ = server.Close() // what is left is cut off
	}
	<-done
	return nil
}

func (c Control) apply(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(io.LimitReader(r.Body, firmwareconfig.MaxSize+1))
	if err != nil {
		return // the client is gone
	}
	changes, err := c.Apply(ctx, r.URL.Query().Get("name"), data)
	answer(w, changes, err)
}

// answer sends what a change did, or why it was refused.
func answer(w http.ResponseWriter, changes any, err error) {
	var refused *Refused
	switch {
	case errors.As(err, &refused):
		writeJSON(w, http.StatusUnprocessableEntity, map[string]string{"error": refused.Reason})
	case err != nil:
		writeJSON(w, http.StatusInternalServerError, map[string]string{"error": err.Error()})
	default:
		writeJSON(w, http.StatusOK, changes)
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // a client that is gone needs no answer
}

// Get returns the status of the edge that runs on dir, as JSON.
func Get(ctx context.Context, dir string) ([]byte, error) {
	return request(ctx, dir, http.MethodGet, "/status.json", nil)
}

// Apply hands a document to the edge that runs on dir, and decodes what changed into changes. Its
// error is ErrNotRunning, a *Refused, or another one.
func Apply(ctx context.Context, dir, name string, data []byte, changes any) error {
	return change(ctx, dir, "/apply", name, data, changes)
}

// Adopt makes sensors of a discovered device at the edge that runs on dir, as Apply does.
func Adopt(ctx context.Context, dir, name string, changes any) error {
	return change(ctx, dir, "/adopt", name, nil, changes)
}

// Forget removes a device of a template from the edge that runs on dir, as Apply does.
func Forget(ctx context.Context, dir, name string, changes any) error {
	return change(ctx, dir, "/forget", name, nil, changes)
}

// AcceptView makes what a camera shows now the view that it is to show, at the edge that runs on dir, as Apply does.
func AcceptView(ctx context.Context, dir, name string, changes any) error {
	return change(ctx, dir, "/accept-view", name, nil, changes)
}

func change(ctx context.Context, dir, path, name string, data []byte, changes any) error {
	answer, err := request(ctx, dir, http.MethodPost, path+"?name="+url.QueryEscape(name), data)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, changes); err != nil {
		return fmt.Errorf("reading the edge's answer: %w", err)
	}
	return nil
}

// maxAnswer bounds an answer of the edge in bytes: a status of thousands of devices.
const maxAnswer = 64 << 20

func request(ctx context.Context, dir, method, path string, body []byte) ([]byte, error) {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, dir) }}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, "http://edge"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%w on the data directory %s", ErrNotRunning, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("asking the edge: %w", err)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("asking the edge: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return answer, nil
	}
	var failure struct{ Error string }
	if err := json.Unmarshal(answer, &failure); err != nil || failure.Error == "" {
		failure.Error = resp.Status
	}
	if resp.StatusCode == http.StatusUnprocessableEntity {
		return nil, &Refused{failure.Error}
	}
	return nil, fmt.Errorf("asking the edge: %s", failure.Error)
}

func dial(ctx context.Context, dir string) (net.Conn, error) {
	path, done, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	return new(net.Dialer).DialContext(ctx, "unix", path)
}
