package ingest

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"gridpost/hub/api"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store"
)

// maxEpoch bounds an epoch's name in bytes.
const maxEpoch = 64

// events takes a batch. What can never be applied is refused one by one and passed over, so
// that a poison event does not block those behind it.
func (s *Server) events(w http.ResponseWriter, r *http.Request, edge string) {
	var batch api.Batch
	if !read(w, r, api.MaxBatchBytes, &batch) {
		return
	}
	if len(batch.Events) > api.MaxBatchEvents {
		problem.Write(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a batch has at most %d events", api.MaxBatchEvents))
		return
	}
	if batch.Epoch == "" || len(batch.Epoch) > maxEpoch {
		problem.Write(w, http.StatusBadRequest, fmt.Sprintf("epoch must have 1 to %d bytes", maxEpoch))
		return
	}
	var skew time.Duration
	if !batch.Sent.IsZero() {
		skew = batch.Sent.Sub(s.o.Now())
	}
	var beyond []api.Refusal
	events := make([]store.Event, 0, len(batch.Events))
	for _, e := range batch.Events {
		if e.Seq == 0 || e.Seq > math.MaxInt64 || !knownLane(e.Lane) {
			// No mark can be moved for these.
			beyond = append(beyond, api.Refusal{Lane: e.Lane, Seq: e.Seq, Reason: "it has no number in a known lane"})
			continue
		}
		value, err := s.checks.decode(e)
		out := store.Event{Lane: e.Lane, Seq: e.Seq, Value: value}
		if err != nil {
			out.Value, out.Refuse = nil, err.Error()
		}
		events = append(events, out)
	}
	done, err := s.o.Store.Apply(r.Context(), edge, batch.Epoch, skew, events)
	if errors.Is(err, store.ErrNotFound) { // revoked since it was let in
		problem.Write(w, http.StatusForbidden, "")
		return
	}
	if err != nil {
		s.fail(w, r, "applying a batch", err)
		return
	}
	done.Ack.Refused = append(done.Ack.Refused, beyond...)
	s.batches.Add(1)
	s.applied.Add(uint64(done.Applied))
	s.known.Add(uint64(done.Known))
	s.refused.Add(uint64(len(done.Ack.Refused)))
	if n := len(done.Ack.Refused); n > 0 {
		first := done.Ack.Refused[0]
		s.o.Logger.Warn("events refused", "edge", edge, "count", n, "lane", first.Lane, "seq", first.Seq, "reason", first.Reason)
	}
	answer(w, done.Ack)
}

func knownLane(l api.Lane) bool {
	return l == api.LaneAlerts || l == api.LaneState || l == api.LaneTelemetry
}
