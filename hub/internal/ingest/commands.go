package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"gridpost/hub/api"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store"
)

// writeLimit is how long one write to an edge may take before its stream is given up.
const writeLimit = 15 * time.Second

// commands streams commands as server-sent events. What was queued while the edge was away
// comes first, as far as it has not expired. The stream keeps the edge online at the hub, and
// ends when the edge is revoked.
func (s *Server) commands(w http.ResponseWriter, r *http.Request, edge string) {
	ctx, out := r.Context(), http.NewResponseController(w)
	peer, _ := s.o.Authority.Peer(r.TLS)
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
	if err := send(": welcome\n\n"); err != nil {
		return
	}
	tick := time.NewTicker(s.o.KeepAlive)
	defer tick.Stop()
	var after int64
	for {
		wake := s.o.Store.CommandsChanged()
		last, err := s.sendCommands(ctx, edge, after, send)
		if err != nil {
			if ctx.Err() == nil {
				s.o.Logger.Debug("a stream of commands ended", "edge", edge, "error", err)
			}
			return
		}
		after = last
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-tick.C:
			// Also the time to look for what another process has queued or revoked.
			if err := s.o.Store.CheckCertificate(ctx, edge, peer.Serial); err != nil {
				return
			}
			if err := send(": alive\n\n"); err != nil {
				return
			}
		}
	}
}

func (s *Server) sendCommands(ctx context.Context, edge string, after int64, send func(string) error) (int64, error) {
	if err := s.seen(ctx, edge); err != nil {
		return after, err
	}
	queued, err := s.o.Store.CommandsFor(ctx, edge, after)
	if err != nil {
		return after, err
	}
	for _, c := range queued {
		if err := send(fmt.Sprintf("id: %d\nevent: command\ndata: %s\n\n", c.Row, c.Body)); err != nil {
			return after, err
		}
		after = c.Row
	}
	return after, nil
}

// result notes how a command went. Telling it twice is the same as once.
func (s *Server) result(w http.ResponseWriter, r *http.Request, edge string) {
	var in api.Result
	if !read(w, r, maxResult, &in) {
		return
	}
	in.Cause = clipCause(in.Cause)
	err := s.o.Store.FinishCommand(r.Context(), edge, r.PathValue("id"), in)
	switch {
	case errors.Is(err, store.ErrNotFound):
		problem.Write(w, http.StatusNotFound, "")
	case err != nil:
		s.fail(w, r, "noting the answer to a command", err)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
