package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"gridpost/devices/retry"
	"gridpost/hub/internal/db"
)

const (
	// lookEvery is how often jobs are looked for without a wake: clocks of hubs differ.
	lookEvery = 30 * time.Second

	// claimAgain is the pause after a job that seemed to be due could not be claimed.
	claimAgain = 50 * time.Millisecond
)

// Kind says how the jobs of a kind are run. A new kind is one file with its handler and one line in the
// registry that Run gets.
type Kind struct {
	Name string

	// Run runs one job. It ends the job in a transaction of its own with Claim.Done or Claim.Later, or
	// returns nil, after which the job ends, or an error, after which it runs again. ctx ends when the lease is
	// lost: then another hub may run the job.
	Run func(ctx context.Context, c *Claim) error

	Every   time.Duration // the kind has one job, with an empty key, that runs this long after it has ended; 0: jobs are enqueued
	Workers int           // how many run at a time on each hub; default 1
	Lease   time.Duration // how long a job of a crashed hub is not run; default 1 minute
	Retry   retry.Policy  // pause after a failure; default 5 s to 5 minutes
}

func (k Kind) withDefaults() Kind {
	if k.Workers == 0 {
		k.Workers = 1
	}
	if k.Lease == 0 {
		k.Lease = time.Minute
	}
	if k.Retry.First == 0 {
		k.Retry.First = 5 * time.Second
	}
	if k.Retry.Longest == 0 {
		k.Retry.Longest = 5 * time.Minute
	}
	return k
}

// Run runs the jobs of the registered kinds until ctx ends. It waits for the handlers.
func Run(ctx context.Context, d *db.DB, registry []Kind, log *slog.Logger) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, k := range registry {
		r := &runner{d: d, kind: k.withDefaults(), log: log.With("job", k.Name)}
		g.Go(func() error { return r.run(ctx) })
	}
	return g.Wait()
}

// runner runs the jobs of one kind.
type runner struct {
	d    *db.DB
	kind Kind
	log  *slog.Logger
}

func (r *runner) run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, r.kind.Workers)
	pause := retry.Policy{First: time.Second, Longest: lookEvery}.New()
	for ctx.Err() == nil {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		c, err := r.take(ctx)
		switch {
		case ctx.Err() != nil && c == nil:
			return nil
		case err != nil:
			<-slots
			r.log.Error("looking for jobs", "error", err)
			pause.Wait(ctx)
			continue
		}
		pause.Reset()
		running.Go(func() {
			defer func() { <-slots }()
			r.handle(ctx, c)
		})
	}
	return nil
}

// take waits for a job and claims it.
func (r *runner) take(ctx context.Context) (*Claim, error) {
	if r.kind.Every > 0 {
		if err := r.d.Update(ctx, "enqueue_job", func(t *db.Tx) error { return enqueueOnce(t, r.kind.Name, "") }); err != nil {
			return nil, err
		}
	}
	for {
		wake := r.d.Wait(db.Jobs, r.kind.Name)
		at, ok, err := next(ctx, r.d, r.kind.Name)
		if err != nil {
			return nil, err
		}
		wait := lookEvery
		if ok {
			wait = min(wait, at.Sub(r.d.Now()))
		}
		if wait <= 0 {
			if c, err := claim(ctx, r.d, r.kind.Name, r.kind.Lease); c != nil || err != nil {
				return c, err
			}
			wait = claimAgain // another hub was faster, or the database's clock is behind
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// handle runs one job and ends it.
func (r *runner) handle(ctx context.Context, c *Claim) {
	work, cancel := context.WithCancelCause(ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		if err := r.renew(work, c); err != nil {
			cancel(err)
		}
	}()
	err := r.call(work, c)
	cancel(nil)
	<-renewed
	if err == nil && c.ended || errors.Is(err, ErrLost) {
		if err != nil {
			r.log.Warn("a job was lost to another owner", "key", c.Key)
		}
		return
	}
	if err := r.end(ctx, c, err); err != nil && !(c.ended && errors.Is(err, ErrLost)) {
		r.log.Error("ending a job; it runs again when its lease has expired", "key", c.Key, "error", err)
	}
}

// call calls the handler. A panic is an error of the job.
func (r *runner) call(ctx context.Context, c *Claim) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("a job panicked", "key", c.Key, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return r.kind.Run(ctx, c)
}

// end ends a job whose handler has not ended it.
func (r *runner) end(ctx context.Context, c *Claim, failed error) error {
	// Also when the hub stops: another one shall not wait for the lease to expire.
	stopping := ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return r.d.Update(ctx, "end_job", func(t *db.Tx) error {
		switch {
		case failed == nil && r.kind.Every > 0:
			return c.Later(t, t.Now().Add(r.kind.Every), nil)
		case failed == nil:
			return c.Done(t)
		case stopping:
			return c.release(t, c.Due, string(c.Payload), "", c.Attempts-1)
		}
		wait := r.pause(c.Attempts)
		r.log.Warn("a job failed", "key", c.Key, "attempt", c.Attempts, "next_in", wait, "error", failed)
		text := strings.ToValidUTF8(failed.Error(), "")
		if len(text) > maxError {
			text = strings.ToValidUTF8(text[:maxError], "")
		}
		return c.release(t, t.Now().Add(wait), string(c.Payload), text, c.Attempts)
	})
}

// pause returns how long to wait after a failed attempt.
func (r *runner) pause(attempt int) time.Duration {
	b := r.kind.Retry.New()
	d := b.Next()
	for range min(attempt-1, 30) {
		d = b.Next()
	}
	return d
}

// renew renews the lease until ctx ends. It returns when the lease cannot be held any longer.
func (r *runner) renew(ctx context.Context, c *Claim) error {
	every := time.NewTicker(c.ttl / 3)
	defer every.Stop()
	expired := time.NewTimer(time.Until(c.Until()))
	defer expired.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-expired.C:
			return ErrLost
		case <-every.C:
		}
		err := c.Renew(ctx)
		switch {
		case errors.Is(err, ErrLost):
			return err
		case err != nil && ctx.Err() == nil:
			r.log.Warn("renewing the lease of a job", "key", c.Key, "error", err)
		}
		expired.Reset(time.Until(c.Until()))
	}
}
