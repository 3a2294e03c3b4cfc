package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"gridpost/hub/api"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/edges"
)

// maxEpoch bounds an epoch's name in bytes.
const maxEpoch = 64

// events applies a batch. What can never be applied is refused one by one and passed over, so
// that a poison event does not block those behind it; what this hub does not know yet is held
// by the edge.
func (s *Server) events(w http.ResponseWriter, r *http.Request, edge string) {
	received := s.o.Now() // before the body, which may take long on a thin line
	protocol, ok := speaks(w, r)
	if !ok {
		return
	}
	var in api.Batch
	if !read(w, r, api.MaxBatchBytes, &in) {
		return
	}
	if len(in.Events) > api.MaxBatchEvents {
		problem.Write(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a batch has at most %d events", api.MaxBatchEvents))
		return
	}
	if !s.checks.epoch(in.Epoch) {
		problem.Write(w, http.StatusBadRequest, fmt.Sprintf("epoch must have 1 to %d printable characters", maxEpoch))
		return
	}
	if in.Hello != nil && len(in.Hello.Open) > maxOpen {
		problem.Write(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a greeting names at most %d incidents", maxOpen))
		return
	}
	d := decoder{checks: s.checks, clock: s.clocks.batch(edge, in.Sent, received), protocol: protocol, log: s.o.Logger}
	b := batch{Request: edges.Request{Edge: edge, Epoch: in.Epoch, Protocol: protocol, Greets: in.Hello != nil}, hello: in.Hello}
	events, beyond := d.events(in.Events)
	sortEvents(events)
	b.events = events
	done, err := s.applySeen(r.Context(), b, d.clock)
	if err == nil && in.Hello != nil {
		done.ack.Kinds = s.checks.kinds
		done.ack.Missing, err = s.o.Incidents.Missing(s.o.DB.Read(r.Context()), edge, s.checks.refs(in.Hello.Open))
	}
	if err == nil {
		done.ack.History, err = s.o.DB.History(r.Context())
		done.ack.Hub = done.ack.History
	}
	if err != nil {
		s.notApplied(w, r, err)
		return
	}
	done.ack.Refused = append(done.ack.Refused, beyond...)
	s.count(edge, done)
	answer(w, done.ack)
}

// applySeen applies a batch of an edge, which is connected.
func (s *Server) applySeen(ctx context.Context, b batch, clock edgeClock) (applied, error) {
	if err := s.o.Presence.Seen(ctx, b.Edge); err != nil {
		return applied{}, err
	}
	if clock.known {
		s.o.Presence.Skew(b.Edge, clock.skew)
	}
	return s.apply(ctx, b)
}

// notApplied answers a batch that was not applied.
func (s *Server) notApplied(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, db.ErrNotFound): // revoked since it was admitted
		problem.Write(w, http.StatusForbidden, "")
	case errors.Is(err, edges.ErrSuperseded):
		problem.WriteCode(w, http.StatusConflict, api.CodeEpochSuperseded, "a later epoch of this edge has greeted the hub, or this one has not")
	default:
		s.fail(w, r, "applying a batch", err)
	}
}

func (s *Server) count(edge string, done applied) {
	s.batches.Add(1)
	s.applied.Add(uint64(done.applied))
	s.known.Add(uint64(done.known))
	s.refused.Add(uint64(len(done.ack.Refused)))
	if n := len(done.ack.Refused); n > 0 {
		first := done.ack.Refused[0]
		s.o.Logger.Warn("events refused", "edge", edge, "count", n, "lane", first.Lane, "seq", first.Seq, "code", first.Code, "reason", first.Reason)
	}
	if n := len(done.ack.NotYet); n > 0 {
		first := done.ack.NotYet[0]
		s.o.Logger.Warn("events of kinds that this hub does not know are left with the edge", "edge", edge, "count", n, "reason", first.Reason)
	}
}

// check says which of an edge's recent incidents the hub lacks.
func (s *Server) check(w http.ResponseWriter, r *http.Request, edge string) {
	if _, ok := speaks(w, r); !ok {
		return
	}
	var in api.Check
	if !read(w, r, maxCheck, &in) {
		return
	}
	if len(in.Incidents) > api.MaxCheck {
		problem.Write(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a check has at most %d incidents", api.MaxCheck))
		return
	}
	err := s.o.Edges.CheckEpoch(r.Context(), edge, in.Epoch)
	var out api.CheckAnswer
	if err == nil {
		out.Missing, err = s.o.Incidents.Missing(s.o.DB.Read(r.Context()), edge, s.checks.refs(in.Incidents))
	}
	if err != nil {
		s.notApplied(w, r, err)
		return
	}
	answer(w, out)
}

// speaks returns the protocol version of an edge. It has answered when it returns false.
func speaks(w http.ResponseWriter, r *http.Request) (version int, ok bool) {
	text := r.Header.Get(api.HeaderProtocol)
	if text == "" {
		return 1, true
	}
	version, err := strconv.Atoi(text)
	if err != nil || version < 1 || version > api.ProtocolVersion {
		problem.WriteCode(w, http.StatusBadRequest, api.CodeProtocolUnsupported, fmt.Sprintf("this hub speaks the protocol versions 1 to %d", api.ProtocolVersion))
		return 0, false
	}
	return version, true
}
