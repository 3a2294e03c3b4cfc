package web

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"gridpost/hub/api"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/problem"
)

const (
	maxStreams  = 2000             // live streams at the same time
	streamBatch = 200              // lines read from the store at once
	writeLimit  = 15 * time.Second // for one write to a client
	recheck     = 5 * time.Second  // how soon a stream notices that its session is over, or what another process wrote
)

// stream sends every change as a server-sent event. Its number is the event's ID: with
// Last-Event-ID a client gets exactly what it missed, or "reset" if that is no longer kept.
// Without it a stream begins now; the first line carries the present number already, so that
// nothing is missed by a client whose stream breaks off before its first event.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	if s.streams.Add(1) > maxStreams {
		s.streams.Add(-1)
		problem.Write(w, http.StatusServiceUnavailable, "too many live streams")
		return
	}
	defer s.streams.Add(-1)
	ctx := r.Context()
	last, err := s.o.Store.LastChange(ctx)
	if err != nil {
		s.trouble(w, r, err)
		return
	}
	c := &client{s: s, w: w, r: r, out: http.NewResponseController(w), role: who(ctx).Role, after: last}
	if text := r.Header.Get("Last-Event-ID"); text != "" {
		if id, err := strconv.ParseInt(text, 10, 64); err == nil && id >= 0 {
			c.after = id
		} else {
			c.after = -1 // nothing that was ever given out: reset
		}
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies that buffer would hold alerts back
	if err := c.run(ctx, last); err != nil && ctx.Err() == nil {
		s.o.Logger.Debug("a live stream ended", "error", err)
	}
}

// client is one live stream.
type client struct {
	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	out   *http.ResponseController
	role  auth.Role
	after int64 // the number of the last change that was sent, or passed over
}

func (c *client) run(ctx context.Context, now int64) error {
	greeting := ": welcome\nretry: 2000\n\n"
	if c.after == now {
		greeting = fmt.Sprintf(": welcome\nretry: 2000\nid: %d\n\n", now)
	}
	if err := c.write(greeting); err != nil {
		return err
	}
	check, alive := time.NewTicker(recheck), time.NewTicker(c.s.o.KeepAlive)
	defer check.Stop()
	defer alive.Stop()
	for {
		wake := c.s.o.Store.Changed()
		more, err := c.catchUp(ctx)
		if err != nil {
			return err
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-check.C:
		case <-alive.C:
			if err := c.write(": alive\n\n"); err != nil {
				return err
			}
		}
	}
}

// catchUp sends what is new, as far as one batch goes.
func (c *client) catchUp(ctx context.Context) (more bool, err error) {
	// Somebody who has logged out, or whose token was revoked, hears nothing more.
	p, err := c.s.o.Auth.Authenticate(c.r)
	if err != nil {
		return false, err
	}
	c.role = p.Role
	c.s.duty.note(p)
	lines, kept, err := c.s.o.Store.ChangesAfter(ctx, c.after, streamBatch)
	if err != nil {
		return false, err
	}
	if !kept {
		if c.after, err = c.s.o.Store.LastChange(ctx); err != nil {
			return false, err
		}
		return true, c.write(fmt.Sprintf("id: %d\nevent: %s\ndata: {}\n\n", c.after, api.ChangeReset))
	}
	if len(lines) == 0 {
		return false, nil
	}
	var text []byte
	for _, l := range lines {
		c.after = l.ID
		if visible(l.Kind, c.role) {
			text = fmt.Appendf(text, "id: %d\nevent: %s\ndata: %s\n\n", l.ID, l.Kind, l.Data)
		}
	}
	if len(text) > 0 {
		if err := c.write(string(text)); err != nil {
			return false, err
		}
	}
	return len(lines) == streamBatch, nil
}

func (c *client) write(text string) error {
	if err := c.out.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	if _, err := c.w.Write([]byte(text)); err != nil {
		return err
	}
	return c.out.Flush()
}
