// Package health knows what is wrong with the edge, and reports it to the hub.
package health

import (
	"context"
	"strconv"
	"time"

	"gridpost/devices"
	"gridpost/devices/retry"
	"gridpost/hub/api"
)

const (
	interval    = 10 * time.Second
	maxProblems = 50 // in one report
)

// Hub takes reports on their way to the hub. It must not block.
type Hub interface {
	SetHealth(h api.Health)
}

// Reporter reports problems and counters every ten seconds.
type Reporter struct {
	hub      Hub
	problems func() []devices.Cause
	counters func() map[string]uint64
}

// NewReporter returns a Reporter of what problems and counters return; problems come worst first.
func NewReporter(hub Hub, problems func() []devices.Cause, counters func() map[string]uint64) *Reporter {
	return &Reporter{hub, problems, counters}
}

// Run reports every ten seconds, the first time a second after the start, until ctx ends.
func (r *Reporter) Run(ctx context.Context) error {
	for wait := time.Second; retry.Sleep(ctx, wait); wait = interval {
		r.hub.SetHealth(api.Health{Time: time.Now().UTC(), Problems: bounded(r.problems()), Counters: r.counters()})
	}
	return nil
}

// bounded cuts the list to maxProblems; the last one says how many more there are.
func bounded(all []devices.Cause) []devices.Cause {
	if over := len(all) - maxProblems; over > 0 {
		more := devices.NewCause("more_problems", "count", strconv.Itoa(over+1))
		all = append(all[:maxProblems-1:maxProblems-1], more)
	}
	return all
}
