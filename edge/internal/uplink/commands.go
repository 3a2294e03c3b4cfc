package uplink

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"gridpost/hub/api"
)

const (
	commandTimeout = 30 * time.Second
	maxCommands    = 16        // results on their way at a time; further commands wait on the line
	maxLine        = 64 << 10  // bytes of one line of the stream
	maxData        = 256 << 10 // bytes of one command

	// silentFor is how long the stream of commands may be silent. The hub sends a comment
	// line every 15 s or sooner, so a dead line is found out.
	silentFor = 45 * time.Second
)

// commands listens to the hub until ctx ends, over any number of connections.
func (u *Uplink) commands(ctx context.Context) {
	var workers errgroup.Group
	workers.SetLimit(maxCommands)
	b := u.backoff()
	for ctx.Err() == nil {
		opened, err := u.listen(ctx, func(c api.Command) {
			result := u.carryOut(ctx, c)
			workers.Go(func() error { u.report(ctx, c, result); return nil })
		})
		if ctx.Err() != nil {
			break
		}
		u.o.Logger.Debug("the line for commands ended", "cause", words(u.o.URL, err))
		if opened {
			b.reset()
		}
		if !b.wait(ctx, err, nil) {
			break
		}
	}
	_ = workers.Wait() // they report to the hub, not to us
}

// listen is one connection. It always returns an error; opened says that the hub answered.
func (u *Uplink) listen(ctx context.Context, each func(api.Command)) (opened bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(u.o.URL, "/")+pathOf(api.PathCommands), nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("Accept", "text/event-stream")
	watchdog := time.AfterFunc(silentFor, func() { cancel(errors.New("the hub has been silent for 45 s")) })
	defer watchdog.Stop()
	resp, err := u.client.Do(req)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxLine)) // what came is enough for the words
		return false, newHTTPError(resp, body)
	}
	u.seen()
	err = readEvents(resp.Body, func() { watchdog.Reset(silentFor) }, func(data []byte) {
		var c api.Command
		if err := json.Unmarshal(data, &c); err != nil || c.ID == "" {
			u.o.Logger.Error("the hub sends a command that cannot be read", "error", err)
			return
		}
		each(c)
	})
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return true, err
}

// readEvents takes a stream of server-sent events apart (HTML, section 9.2.6), as far as
// commands need it: data lines up to a blank line. alive is called for every line.
func readEvents(r io.Reader, alive func(), each func(data []byte)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	var data []byte
	for lines.Scan() {
		alive()
		line := bytes.TrimSuffix(lines.Bytes(), []byte("\r"))
		if len(line) == 0 {
			if len(data) > 0 {
				each(data)
			}
			data = nil
			continue
		}
		rest, ok := bytes.CutPrefix(line, []byte("data:"))
		if !ok {
			continue // a comment, or a field that means nothing here
		}
		if len(data)+len(rest) > maxData {
			return errors.New("a command is too long")
		}
		if data != nil {
			data = append(data, '\n')
		}
		data = append(data, bytes.TrimPrefix(rest, []byte(" "))...)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

// carryOut does what the hub asks for: in the hub's order, so that a stop never overtakes what
// it is to stop.
func (u *Uplink) carryOut(ctx context.Context, c api.Command) api.Result {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	result := u.o.Command(ctx, c)
	u.o.Logger.Info("command", "kind", c.Kind, "device", c.Device, "ok", result.OK, "cause", result.Cause)
	return result
}

// report tells the hub how a command went, a few times if need be: a hub that gets no result
// asks again, and doing it again is harmless.
func (u *Uplink) report(ctx context.Context, c api.Command, result api.Result) {
	b := u.backoff()
	path := strings.Replace(pathOf(api.PathResult), "{id}", url.PathEscape(c.ID), 1)
	for range 5 {
		err := u.postJSON(ctx, path, result, nil)
		var refused *httpError
		if err == nil || errors.As(err, &refused) && refused.status == http.StatusNotFound {
			return // told, or nobody waits for it any more
		}
		if !b.wait(ctx, err, nil) {
			return
		}
	}
}
