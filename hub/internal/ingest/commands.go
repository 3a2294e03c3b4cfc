package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"gridpost/hub/api"
	"gridpost/hub/internal/access"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
)

// writeLimit is how long one write to an edge may take before its stream is given up.
const writeLimit = 15 * time.Second

// commands streams commands as server-sent events: those of the database and those in memory. What was queued while the edge was away comes
// first, unless it has expired. The stream keeps the edge online at the hub, and ends when the
// edge is revoked or its certificate is replaced.
func (s *Server) commands(w http.ResponseWriter, r *http.Request, edge string) {
	peer, _ := s.o.Authority.Peer(r.TLS)
	to := recipient{edge: edge, certificate: peer.Serial, paths: r.URL.Query().Get(api.QueryURL) == api.URLPath}
	ctx, release, err := s.o.Access.Hold(r.Context(), access.OfEdge(edge, peer.Serial, access.Commands))
	if err != nil {
		s.refuse(w, r, "holding the access of a stream of commands", err)
		return
	}
	defer release()
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	send := func(text string) error {
		if err := out.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
			return err
		}
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
		return out.Flush()
	}
	live := s.o.Commands.Connect(edge)
	defer live.Close()
	err = send(": welcome\n\n")
	tick := time.NewTicker(s.o.KeepAlive)
	defer tick.Stop()
	var wake <-chan struct{}
	for after := int64(0); err == nil; {
		if wake == nil {
			wake = s.o.Edges.CommandAdded(edge)
			if after, err = s.sendCommands(ctx, to, after, send); err != nil {
				break
			}
		}
		select {
		case <-ctx.Done():
			return
		case c := <-live.Commands():
			err = sendCommand(s.complete(c, to), send)
		case <-wake: // a command, or the edge was revoked; also after what may have been missed
			wake = nil
			err = s.o.Edges.CheckCertificate(ctx, edge, peer.Serial)
		case <-tick.C:
			err = errors.Join(s.o.Presence.Seen(ctx, edge), send(": alive\n\n"))
		}
	}
	if ctx.Err() == nil {
		s.o.Logger.Debug("a stream of commands ended", "edge", edge, "error", err)
	}
}

func (s *Server) sendCommands(ctx context.Context, to recipient, after int64, send func(string) error) (int64, error) {
	if err := s.o.Presence.Seen(ctx, to.edge); err != nil {
		return after, err
	}
	queued, err := s.o.Edges.CommandsFor(ctx, to.edge, after)
	if err != nil {
		return after, err
	}
	for _, c := range queued {
		body, err := s.completeStored(c.Body, to)
		if err != nil {
			return after, err
		}
		if err := send(fmt.Sprintf("id: %d\nevent: command\ndata: %s\n\n", c.Row, body)); err != nil {
			return after, err
		}
		after = c.Row
	}
	return after, nil
}

// sendCommand sends a command that is not in the database.
func sendCommand(c api.Command, send func(string) error) error {
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encoding a command: %w", err)
	}
	return send(fmt.Sprintf("event: command\ndata: %s\n\n", body))
}

// result stores how a command went. Sending it twice is the same as once.
func (s *Server) result(w http.ResponseWriter, r *http.Request, edge string) {
	var in api.Result
	if !read(w, r, maxResult, &in) {
		return
	}
	in.Cause = clipCause(in.Cause)
	if s.o.Commands.Finish(edge, r.PathValue("id"), in) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	err := s.o.Edges.FinishCommand(r.Context(), edge, r.PathValue("id"), in)
	switch {
	case errors.Is(err, db.ErrNotFound):
		problem.Write(w, http.StatusNotFound, "")
	case err != nil:
		s.fail(w, r, "storing the answer to a command", err)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
