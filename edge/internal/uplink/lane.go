package uplink

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"gridpost/devices/problem"
	"gridpost/hub/api"
)

// lane delivers the events of one lane in batches. It belongs to one goroutine.
type lane struct {
	u      *Uplink
	name   api.Lane
	client *http.Client

	// fetch returns the oldest events that wait, at most limit of about maxBytes, but at least one.
	fetch func(ctx context.Context, limit, maxBytes int) ([]api.Event, error)
	// delivered forgets the events up to a number, and sets those aside that the hub does not know yet.
	delivered func(ctx context.Context, committed uint64, notYet []api.Refusal) error
	// drop sets one event aside that the hub can never take.
	drop func(ctx context.Context, seq uint64) error
	// begin is called before the first request of an epoch. It may be nil.
	begin func(ctx context.Context, epoch string) error

	pace  pace
	limit int // events in a batch; halved when the hub finds a batch too large

	epoch   string
	highest uint64 // number sent in the epoch
	trial   uint64 // event that was refused alone; poison if that happens again
}

// send delivers one batch, if anything waits. more says that there may be more to deliver.
func (l *lane) send(ctx context.Context) (more bool, err error) {
	epoch, ok := l.u.session.ready(ctx)
	if !ok {
		return false, ctx.Err()
	}
	if epoch != l.epoch {
		l.epoch, l.highest = epoch, 0
		if l.begin != nil {
			if err := l.begin(ctx, epoch); err != nil {
				return false, err
			}
		}
	}
	events, err := l.fetch(ctx, l.limit, l.pace.size)
	if err != nil {
		return false, &storeError{err}
	}
	if len(events) == 0 {
		return false, nil
	}
	for _, e := range events {
		l.highest = max(l.highest, e.Seq)
	}
	began := time.Now()
	ack, sent, err := l.post(ctx, events)
	if err != nil {
		return l.failed(ctx, events, sent, err)
	}
	raw := 0
	for _, e := range events {
		raw += len(e.Data)
	}
	l.pace.done(raw, time.Since(began))
	l.limit, l.trial = min(2*l.limit, api.MaxBatchEvents), 0
	return true, l.committed(ctx, events, ack)
}

func (l *lane) post(ctx context.Context, events []api.Event) (ack api.Ack, sent int, err error) {
	batch := api.Batch{Epoch: l.epoch, Sent: wireTime(l.u.o.Now()), Events: events}
	sent, err = l.u.postJSON(ctx, l.client, pathOf(api.PathEvents), batch, &ack)
	return ack, sent, l.u.superseded(l.epoch, ack, err)
}

// committed forgets what the hub has. An answer that the hub cannot mean deletes nothing.
func (l *lane) committed(ctx context.Context, events []api.Event, ack api.Ack) error {
	committed, ok := ack.Committed[l.name]
	if err := l.check(events, ack); err != nil {
		return err
	}
	if !ok || committed < events[0].Seq {
		return &answerError{"it accepts a batch and commits nothing of it"}
	}
	notYet := ack.NotYet
	for _, r := range ack.Refused {
		if l.u.hubProtocol.Load() < 2 && kindOf(events, r.Seq) == api.KindGap {
			notYet = append(notYet, r) // such a hub refuses for good what it does not know
			continue
		}
		l.u.refused.Add(1)
		l.u.o.Logger.Error("the hub refuses an event for good; it stays on this edge only", "lane", l.name, "seq", r.Seq, "kind", kindOf(events, r.Seq), "reason", r.Reason)
	}
	for _, r := range notYet {
		l.u.o.Logger.Warn("the hub does not know this kind of event yet; it is held", "lane", l.name, "seq", r.Seq, "kind", kindOf(events, r.Seq))
	}
	if err := l.delivered(ctx, committed, notYet); err != nil {
		return &storeError{err}
	}
	return nil
}

// check finds answers that make no sense: numbers that were never sent, lanes that do not exist,
// events that were not in the request.
func (l *lane) check(events []api.Event, ack api.Ack) error {
	for name := range ack.Committed {
		if name != api.LaneAlerts && name != api.LaneState && name != api.LaneTelemetry {
			return &answerError{"it names a lane that does not exist"}
		}
	}
	if ack.Committed[l.name] > l.highest {
		return &answerError{"it commits events that were never sent"}
	}
	for _, r := range append(ack.NotYet[:len(ack.NotYet):len(ack.NotYet)], ack.Refused...) {
		if r.Lane != l.name || kindOf(events, r.Seq) == "" {
			return &answerError{"it refuses events that were not sent with the request"}
		}
	}
	return nil
}

// kindOf returns the kind of the event with a number; empty if it is not among events.
func kindOf(events []api.Event, seq uint64) api.Kind {
	for _, e := range events {
		if e.Seq == seq {
			return e.Kind
		}
	}
	return ""
}

// failed deals with a batch that got an error. One that broke off or took too long is sent in
// smaller parts. One that the hub cannot read is halved until it passes or one event is left;
// that is poison if an empty batch passes and it alone is refused again, and is then set aside, so that it
// does not block those behind it. While the hub refuses even an empty batch, the fault is not
// the event's.
func (l *lane) failed(ctx context.Context, events []api.Event, sent int, err error) (more bool, _ error) {
	if broken(err) && sent > 0 {
		raw := 0
		for _, e := range events {
			raw += len(e.Data)
		}
		l.pace.failed(raw)
		return false, err
	}
	if !unreadable(err) {
		return false, err
	}
	if n := len(events); n > 1 {
		l.limit = n / 2
		return true, nil
	}
	e := events[0]
	if l.trial != e.Seq {
		l.trial = e.Seq
		if _, _, err := l.post(ctx, []api.Event{}); err != nil {
			l.trial = 0
			return false, err
		}
		return true, nil
	}
	l.u.poison.Add(1)
	l.u.o.Logger.Error("the hub cannot take an event; it is set aside and stays on this edge only",
		"lane", e.Lane, "seq", e.Seq, "kind", e.Kind, "bytes", len(e.Data), "error", err)
	if err := l.drop(ctx, e.Seq); err != nil {
		return false, &storeError{err}
	}
	l.trial = 0
	return true, nil
}

// broken says that a request did not come through whole, or its answer did not.
func broken(err error) bool {
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return false
	}
	return !answered(err) && !errors.As(err, new(*storeError))
}

// unreadable says that an answer was about the batch itself.
func unreadable(err error) bool {
	var refused *problem.Error
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Status {
	case http.StatusRequestEntityTooLarge, http.StatusBadRequest, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// wireTime returns t as JSON can hold it (RFC 3339 has years of four digits).
func wireTime(t time.Time) time.Time {
	if y := t.Year(); y < 0 || y > 9999 {
		return time.Time{}
	}
	return t.UTC()
}
