package notify

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"gridpost/devices/retry"
)

// maxRequests is the number of concurrent requests to one target in the largest round.
const maxRequests = 16

// maxReferences bounds the earlier alerts that a message refers to.
const maxReferences = 20

// recordLimit bounds the time for recording outcomes after the sender's context has ended.
const recordLimit = 5 * time.Second

// accepted reports whether the target works: it accepted the delivery, or refused this one for its
// content.
func (o Outcome) accepted() bool {
	return o.State == Delivered || o.Status == http.StatusUnsupportedMediaType
}

// deliver attempts the deliveries of one round and records their outcomes. It returns when all
// outcomes are recorded, or with ErrLost.
func (s *sender) deliver(ctx context.Context, q Deliveries, due []Delivery) error {
	ch, err := s.channel.to(s.current())
	if err != nil {
		ch = broken{err}
	}
	todo := make(chan Delivery, len(due))
	for _, d := range due {
		todo <- d
	}
	close(todo)
	done := make(chan Outcome, len(due))
	var wg sync.WaitGroup
	for range min(max(len(due)/4, minRound), maxRequests, len(due)) {
		wg.Go(func() {
			for d := range todo {
				earlier := func(ctx context.Context) ([]Reference, error) { return q.Earlier(ctx, d, maxReferences) }
				if o, ok := s.n.attempt(ctx, ch, d, earlier); ok {
					s.n.count(o)
					done <- o
				}
			}
		})
	}
	go func() {
		wg.Wait()
		close(done)
	}()
	all, err := s.recordAll(ctx, q, done)
	s.learn(all)
	return err
}

// recordAll records outcomes as they arrive: each transaction has all that arrived during the one
// before it.
func (s *sender) recordAll(ctx context.Context, q Deliveries, done <-chan Outcome) (all []Outcome, err error) {
	for o := range done {
		batch := []Outcome{o}
		for more := true; more; {
			select {
			case next, ok := <-done:
				if more = ok; ok {
					batch = append(batch, next)
				}
			default:
				more = false
			}
		}
		all = append(all, batch...)
		if err == nil { // after an error the others are only waited for
			err = s.record(ctx, q, batch)
		}
	}
	return all, err
}

// record saves outcomes, for as long as the database refuses: a delivery whose success is not saved
// would be sent again. It ends with ErrLost when the lease is lost. When ctx ends it makes one more
// attempt.
func (s *sender) record(ctx context.Context, q Deliveries, outcomes []Outcome) error {
	for _, o := range outcomes {
		if o.State != Delivered {
			s.n.o.Logger.Warn("webhook not delivered", "target", o.Target, "delivery", o.Delivery, "attempt", o.Attempt,
				"state", string(o.State), "cause", o.Cause.Text, "next", o.Next)
		}
	}
	failing := retry.Policy{First: 200 * time.Millisecond, Longest: 10 * time.Second}.New()
	for {
		last := ctx.Err() != nil
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
		err := q.Record(limited, outcomes)
		cancel()
		if err == nil || errors.Is(err, ErrLost) {
			return err
		}
		s.n.o.Logger.Error("recording outcomes of webhooks", "target", outcomes[0].Target, "error", err)
		if last {
			return err
		}
		failing.Wait(ctx)
	}
}
