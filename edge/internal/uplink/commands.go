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
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"gridpost/devices/problem"
	"gridpost/hub/api"
)

const (
	commandTimeout = 30 * time.Second
	maxCommands    = 16        // results on their way at a time; further commands wait in the stream
	maxLine        = 64 << 10  // bytes of one line of the stream
	maxData        = 256 << 10 // bytes of one command

	// silentFor is how long the stream of commands may be silent. The hub sends a comment
	// line every 15 s or sooner, so a dead connection is noticed.
	silentFor = 45 * time.Second
)

// commands receives the hub's commands until ctx ends, over any number of connections.
func (u *Uplink) commands(ctx context.Context) {
	var workers errgroup.Group
	workers.SetLimit(maxCommands)
	w := u.waits(longestOther)
	for ctx.Err() == nil {
		opened, err := u.listen(ctx, func(c api.Command) {
			result := u.carryOut(ctx, c)
			workers.Go(func() error { u.sendResult(ctx, c, result); return nil })
		})
		if ctx.Err() != nil {
			break
		}
		if opened {
			// A stream ends when the hub stops; that is no failure yet.
			u.o.Logger.Debug("the stream of commands ended", "error", err)
			w.reset()
		} else {
			u.report(loopCommands, err)
		}
		if !w.after(ctx, err, u.recovered[loopCommands]) {
			break
		}
	}
	_ = workers.Wait() // their failures have been logged
}

// listen is one connection. It always returns an error; opened says that the hub answered.
func (u *Uplink) listen(ctx context.Context, each func(api.Command)) (opened bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(u.o.URL, "/")+pathOf(api.PathCommands)+"?"+api.QueryURL+"="+api.URLPath, nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set(api.HeaderProtocol, strconv.Itoa(api.ProtocolVersion))
	watchdog := time.AfterFunc(silentFor, func() { cancel(errNoProgress) })
	defer watchdog.Stop()
	resp, err := u.alerts.Do(req)
	if err != nil {
		return false, causeOf(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	u.observe(resp)
	if resp.StatusCode != http.StatusOK {
		return false, problem.FromResponse(resp)
	}
	u.report(loopCommands, nil)
	err = readEvents(resp.Body, func() { watchdog.Reset(silentFor) }, func(data []byte) {
		var c api.Command
		if err := json.Unmarshal(data, &c); err != nil || c.ID == "" {
			u.o.Logger.Error("the hub sends a command that cannot be read", "error", err)
			return
		}
		each(c)
	})
	return true, causeOf(ctx, err)
}

// readEvents parses a stream of server-sent events (HTML, section 9.2.6), as far as
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

// carryOut runs a command; in the hub's order, so that a stop never overtakes what it is to stop.
func (u *Uplink) carryOut(ctx context.Context, c api.Command) api.Result {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	result := u.o.Command(ctx, c)
	u.o.Logger.Info("command", "kind", c.Kind, "device", c.Device, "ok", result.OK, "cause", result.Cause)
	return result
}

// sendResult sends the hub the result of a command, a few times if need be: a hub that gets none
// sends the command again, which is harmless.
func (u *Uplink) sendResult(ctx context.Context, c api.Command, result api.Result) {
	w := u.waits(longestOther)
	path := strings.Replace(pathOf(api.PathResult), "{id}", url.PathEscape(c.ID), 1)
	for range 5 {
		_, err := u.postJSON(ctx, u.alerts, path, result, nil)
		var refused *problem.Error
		if err == nil || errors.As(err, &refused) && refused.Status == http.StatusNotFound {
			return // delivered, or nobody waits for it any more
		}
		if !w.after(ctx, err, nil) {
			return
		}
	}
	u.o.Logger.Warn("the result of a command could not be sent", "kind", c.Kind, "device", c.Device)
}
