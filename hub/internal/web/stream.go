package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"gridpost/hub/api/public"
	"gridpost/hub/internal/access"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/feed"
	"gridpost/hub/internal/problem"
)

const (
	maxStreams = 2000             // live streams at the same time
	writeLimit = 15 * time.Second // for one write to a client

	notePresenceEvery = 20 * time.Second
)

// stream sends every change as a server-sent event. Its number is the event's ID: with
// Last-Event-ID, and the parameter history of the greeting that came before it, a client gets exactly what it
// missed, or "reset" if that is no longer kept. Without Last-Event-ID a stream begins now; its greeting
// carries the present number, so that nothing is missed by a client whose stream is interrupted before its
// first event. Events of readings have no ID.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	if s.streams.Add(1) > maxStreams {
		s.streams.Add(-1)
		problem.New("streams_full", "count", strconv.Itoa(maxStreams)).Write(w)
		return
	}
	defer s.streams.Add(-1)
	ctx := r.Context()
	reader, err := s.o.Feed.Subscribe(ctx, start(r))
	if errors.Is(err, feed.ErrClosed) {
		problem.New("hub_stopping").Write(w)
		return
	}
	if err != nil {
		s.trouble(w, r, err)
		return
	}
	defer reader.Close()
	p := who(ctx)
	c := &client{
		s: s, w: w, r: r, out: http.NewResponseController(w), reader: reader, principal: p,
		grant: access.Of(p, access.Stream, auth.Monitor).Unchanged(p), // the client connects again, with its new rights
	}
	// After the subscription: from here on, the reader reports what is withdrawn.
	held, release, err := s.o.Access.Hold(ctx, c.grant)
	var refused *problem.Error
	if errors.As(err, &refused) && refused.Status == http.StatusForbidden { // withdrawn since the request was authenticated
		problem.Write(w, http.StatusUnauthorized, "")
		return
	}
	if err != nil {
		s.trouble(w, r, err)
		return
	}
	defer release()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies that buffer would hold alerts back
	if err := c.run(held); err != nil && ctx.Err() == nil {
		s.o.Logger.Debug("a live stream ended", "error", err)
	}
}

// start returns where a client wants to go on.
func start(r *http.Request) feed.Start {
	at := feed.Start{Principal: who(r.Context()).Key(), History: r.URL.Query().Get("history"), Now: true}
	if text := r.Header.Get("Last-Event-ID"); text != "" {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			id = -1 // no number of any history: reset
		}
		at.Now, at.After = false, id
	}
	return at
}

// client is one live stream.
type client struct {
	s         *Server
	w         http.ResponseWriter
	r         *http.Request
	out       *http.ResponseController
	reader    *feed.Reader
	principal auth.Principal
	grant     access.Grant
}

func (c *client) run(ctx context.Context) error {
	if err := c.greet(); err != nil {
		return err
	}
	presence, alive := time.NewTicker(notePresenceEvery), time.NewTicker(c.s.o.KeepAlive)
	defer presence.Stop()
	defer alive.Stop()
	c.s.presence.note(c.principal)
	for {
		wake := c.reader.Wait()
		b, err := c.reader.Read(ctx)
		if err != nil {
			return err
		}
		if b.Access && !c.permitted(ctx) {
			return nil
		}
		if err := c.send(b); err != nil {
			return err
		}
		if b.More {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.reader.Stopped():
			return nil
		case <-wake:
		case <-presence.C:
			c.s.presence.note(c.principal)
		case <-alive.C:
			if err := c.write([]byte(": alive\n\n")); err != nil {
				return err
			}
		}
	}
}

// greet writes what a client needs to know before the first event.
func (c *client) greet() error {
	id := ""
	if c.r.Header.Get("Last-Event-ID") == "" {
		id = fmt.Sprintf("id: %d\n", c.reader.After())
	}
	return c.write(fmt.Appendf(nil, ": welcome\nretry: 2000\n%sevent: %s\ndata: {\"history\":%q,\"hub\":%q}\n\n",
		id, public.ChangeHello, c.reader.History(), c.s.o.Hub))
}

// permitted reports whether the access is still as it was at the start of the stream. It is asked before what
// follows a withdrawal in the feed is sent. After an error of the database it returns true.
func (c *client) permitted(ctx context.Context) bool {
	err := c.s.o.Access.Check(ctx, c.grant)
	var refused *problem.Error
	if errors.As(err, &refused) {
		return false
	}
	if err != nil && ctx.Err() == nil {
		c.s.o.Logger.Error("checking the principal of a live stream", "error", err)
	}
	return true
}

// send writes the entries that the client may see, and flushes them together. Their texts are shared by
// all clients and not copied.
func (c *client) send(b feed.Batch) error {
	if b.Reset {
		return c.write(fmt.Appendf(nil, "id: %d\nevent: %s\ndata: {}\n\n", b.After, public.ChangeReset))
	}
	var texts [][]byte
	for _, e := range b.Entries {
		if visible(e.Kind, c.principal.Role) && c.principal.Scope.Allows(e.Site) {
			texts = append(texts, e.Text)
		}
	}
	if len(texts) == 0 {
		return nil
	}
	if err := c.write(texts...); err != nil {
		return err
	}
	if c.s.o.StreamLag != nil {
		now := time.Now()
		for _, e := range b.Entries {
			if e.ID > 0 {
				c.s.o.StreamLag(max(0, now.Sub(e.At)))
			}
		}
	}
	return nil
}

// write writes texts and flushes them.
func (c *client) write(texts ...[]byte) error {
	if err := c.out.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	for _, text := range texts {
		if _, err := c.w.Write(text); err != nil {
			return err
		}
	}
	return c.out.Flush()
}

// visible reports whether a role sees a kind of change. Only administrators see leases.
func visible(kind string, role auth.Role) bool {
	switch kind {
	case feed.KindAccess:
		return false
	case public.ChangeView:
		return role.Allows(auth.Administrator)
	}
	return true
}
