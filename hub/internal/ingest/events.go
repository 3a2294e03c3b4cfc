package ingest

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"gridpost/hub/api"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store"
)

// maxEpoch bounds an epoch's name in bytes.
const maxEpoch = 64

// events applies a batch. What can never be applied is refused one by one and passed over, so
// that a poison event does not block those behind it; what this hub does not know yet is held
// by the edge.
func (s *Server) events(w http.ResponseWriter, r *http.Request, edge string) {
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
	if in.Epoch == "" || len(in.Epoch) > maxEpoch {
		problem.Write(w, http.StatusBadRequest, fmt.Sprintf("epoch must have 1 to %d bytes", maxEpoch))
		return
	}
	batch := store.Batch{Edge: edge, Epoch: in.Epoch, Protocol: protocol, Hello: in.Hello}
	now := s.o.Now()
	if !in.Sent.IsZero() {
		batch.Skew = in.Sent.Sub(now)
	}
	var beyond []api.Refusal
	for _, e := range in.Events {
		if e.Seq == 0 || e.Seq > math.MaxInt64 || !knownLane(e.Lane) {
			// No mark can be moved for these.
			beyond = append(beyond, api.Refusal{Lane: e.Lane, Seq: e.Seq, Reason: "it has no number in a known lane"})
			continue
		}
		batch.Events = append(batch.Events, s.checks.event(e, now, protocol))
	}
	done, err := s.o.Store.Apply(r.Context(), batch)
	if err == nil && in.Hello != nil {
		done.Ack.Kinds = s.checks.kinds
		done.Ack.Missing, err = s.o.Store.Missing(r.Context(), edge, s.checks.refs(in.Hello.Open))
	}
	if err != nil {
		s.notApplied(w, r, err)
		return
	}
	done.Ack.Hub = s.run
	done.Ack.Refused = append(done.Ack.Refused, beyond...)
	s.count(edge, done)
	answer(w, done.Ack)
}

// notApplied answers a batch that was not applied.
func (s *Server) notApplied(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, store.ErrNotFound): // revoked since it was let in
		problem.Write(w, http.StatusForbidden, "")
	case errors.Is(err, store.ErrSuperseded):
		problem.WriteCode(w, http.StatusConflict, api.CodeEpochSuperseded, "a later epoch of this edge has greeted the hub, or this one has not")
	default:
		s.fail(w, r, "applying a batch", err)
	}
}

func (s *Server) count(edge string, done store.Applied) {
	s.batches.Add(1)
	s.applied.Add(uint64(done.Applied))
	s.known.Add(uint64(done.Known))
	s.refused.Add(uint64(len(done.Ack.Refused)))
	if n := len(done.Ack.Refused); n > 0 {
		first := done.Ack.Refused[0]
		s.o.Logger.Warn("events refused", "edge", edge, "count", n, "lane", first.Lane, "seq", first.Seq, "reason", first.Reason)
	}
	if n := len(done.Ack.NotYet); n > 0 {
		first := done.Ack.NotYet[0]
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
	err := s.o.Store.CheckEpoch(r.Context(), edge, in.Epoch)
	var out api.CheckAnswer
	if err == nil {
		out.Missing, err = s.o.Store.Missing(r.Context(), edge, s.checks.refs(in.Incidents))
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

func knownLane(l api.Lane) bool {
	return l == api.LaneAlerts || l == api.LaneState || l == api.LaneTelemetry
}
