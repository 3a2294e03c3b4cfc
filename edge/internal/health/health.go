// Package health reports to the hub how the edge itself is doing.
package health

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"gridpost/devices"
	"gridpost/devices/retry"
	"gridpost/hub/api"
)

const (
	interval    = 10 * time.Second
	maxProblems = 50 // in one report
)

// Store saves a report for the hub.
type Store interface {
	SaveHealth(ctx context.Context, h api.Health) error
}

// Options are what a Reporter needs.
type Options struct {
	Store    Store
	Problems func() []string // worst first
	Counters func() map[string]uint64
	Logger   *slog.Logger
}

// Reporter saves a report every ten seconds.
type Reporter struct {
	o Options
}

// New returns a Reporter.
func New(o Options) *Reporter { return &Reporter{o: o} }

// Run saves a report every ten seconds, the first one a second after the start, until ctx ends.
func (r *Reporter) Run(ctx context.Context) error {
	failed := false
	for wait := time.Second; retry.Sleep(ctx, wait); wait = interval {
		err := r.o.Store.SaveHealth(ctx, r.now())
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failed {
			r.o.Logger.Error("the edge's health cannot be saved; further failures are not logged", "error", err)
		}
		failed = err != nil
	}
	return nil
}

func (r *Reporter) now() api.Health {
	return api.Health{Time: time.Now().UTC(), Problems: causes(r.o.Problems()), Counters: r.o.Counters()}
}

// causes wraps sentences that have no code yet, at most maxProblems of them.
func causes(sentences []string) []devices.Cause {
	if over := len(sentences) - maxProblems; over > 0 {
		sentences = append(sentences[:maxProblems-1:maxProblems-1], fmt.Sprintf("and %d more", over+1))
	}
	out := make([]devices.Cause, 0, len(sentences))
	for _, text := range sentences {
		out = append(out, devices.Cause{Text: text})
	}
	return out
}
