package uplink

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"gridpost/hub/api"
)

// sender posts the events of some lanes in batches. It belongs to one goroutine.
type sender struct {
	u        *Uplink
	lanes    []api.Lane // first come first
	limit    int        // events in a batch; halved when the hub finds a batch too large
	maxBytes int
}

func newSender(u *Uplink, lanes ...api.Lane) *sender {
	return &sender{u: u, lanes: lanes, limit: api.MaxBatchEvents, maxBytes: api.MaxBatchBytes / 2}
}

// send posts one batch, if anything waits, and forgets what the hub has committed of it. more
// says that there may be more to send.
func (s *sender) send(ctx context.Context) (more bool, err error) {
	batch := api.Batch{Epoch: s.u.o.Store.Epoch()}
	room := s.maxBytes
	for _, lane := range s.lanes {
		if len(batch.Events) >= s.limit || room <= 0 {
			break
		}
		events, err := s.u.o.Store.Outbox(ctx, lane, s.limit-len(batch.Events), room)
		if err != nil {
			return false, err
		}
		for _, e := range events {
			room -= len(e.Data)
		}
		batch.Events = append(batch.Events, events...)
	}
	if len(batch.Events) == 0 {
		return false, nil
	}
	ack, err := s.post(ctx, batch)
	if err != nil {
		return s.divide(ctx, batch, err)
	}
	s.limit = min(2*s.limit, api.MaxBatchEvents)
	return s.committed(ctx, batch, ack)
}

// committed forgets what the hub has.
func (s *sender) committed(ctx context.Context, batch api.Batch, ack api.Ack) (more bool, err error) {
	for _, r := range ack.Refused {
		s.u.refused.Add(1)
		s.u.o.Logger.Error("the hub refuses an event for good; it stays on this edge only", "lane", r.Lane, "seq", r.Seq, "reason", r.Reason)
	}
	if err := s.u.o.Store.Acked(ctx, ack); err != nil {
		return false, err
	}
	if !progress(batch, ack) {
		return false, errors.New("the hub answered, but committed nothing of what was sent")
	}
	return true, nil
}

func (s *sender) post(ctx context.Context, batch api.Batch) (api.Ack, error) {
	batch.Sent = time.Now()
	var ack api.Ack
	err := s.u.postJSON(ctx, pathOf(api.PathEvents), batch, &ack)
	return ack, err
}

// progress says whether the first event of some lane is committed.
func progress(batch api.Batch, ack api.Ack) bool {
	for _, e := range batch.Events {
		if ack.Committed[e.Lane] >= e.Seq {
			return true
		}
	}
	return false
}

// divide deals with a batch that was answered with an error. A batch that is too large, or
// that cannot be read, is halved until it passes or one event is left. That one is poison if
// the hub takes a batch without it and then refuses it again: it is dropped, so that it does
// not block those behind it. While the hub refuses even an empty batch, the trouble is not the
// event's.
func (s *sender) divide(ctx context.Context, batch api.Batch, err error) (bool, error) {
	if !unreadable(err) {
		return false, err
	}
	if n := len(batch.Events); n > 1 {
		s.limit = n / 2
		return true, nil
	}
	if _, probeErr := s.post(ctx, api.Batch{Epoch: batch.Epoch, Events: []api.Event{}}); probeErr != nil {
		return false, err
	}
	ack, err := s.post(ctx, batch)
	if err == nil {
		return s.committed(ctx, batch, ack)
	}
	if !unreadable(err) {
		return false, err
	}
	e := batch.Events[0]
	s.u.poison.Add(1)
	s.u.o.Logger.Error("the hub cannot take an event; it is dropped from the outbox and stays on this edge only",
		"lane", e.Lane, "seq", e.Seq, "kind", e.Kind, "bytes", len(e.Data), "error", err)
	if err := s.u.o.Store.Drop(ctx, e.Lane, e.Seq); err != nil {
		return false, err
	}
	return true, nil
}

// unreadable says that an answer was about the batch itself.
func unreadable(err error) bool {
	var refused *httpError
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.status {
	case http.StatusRequestEntityTooLarge, http.StatusBadRequest, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// pathOf returns the path of a ServeMux pattern.
func pathOf(pattern string) string {
	if _, path, ok := strings.Cut(pattern, " "); ok {
		return path
	}
	return pattern
}
