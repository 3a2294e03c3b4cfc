// Package supervisor runs a camera's worker: it starts the process, feeds it coded pictures,
// hands on what it finds, and replaces it when it dies or hangs.
//
// The worker is not trusted: it has parsed what a camera sent. It gets no environment, no
// secrets and no files but its socket; what it says is checked against what was asked; and
// whatever it does costs its own camera some seconds of detection and nothing else.
// The package is pure Go. It must not import edge, hub or detection/worker.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gridpost/detection/wire"
	"gridpost/streams"
)

// Options of a Supervisor. The durations take defaults when they are zero.
type Options struct {
	Binary string      // path of the worker's program
	Camera string      // for the log
	Config wire.Config // handed to each process
	Logger *slog.Logger

	// Reader opens a reader of the camera's stream, for each start of the worker anew. The
	// supervisor closes it.
	Reader func() *streams.Reader

	// OnResult is called from Run's goroutine with what became of each picture, in the order
	// of the pictures. While it runs nothing is fed, so it should be short.
	OnResult func(wire.Result)

	// OnState is called from Run's goroutine when the worker has begun or ceased to work; the
	// cause is in words. May be nil.
	OnState func(running bool, cause string)

	Start    time.Duration // within which a worker must be ready, loading its model included; 60 s
	Patience time.Duration // within which it must answer while it has pictures; 10 s
	Backoff  Backoff
}

func (o Options) withDefaults() Options {
	if o.Start <= 0 {
		o.Start = time.Minute
	}
	if o.Patience <= 0 {
		o.Patience = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnState == nil {
		o.OnState = func(bool, string) {}
	}
	o.Backoff = o.Backoff.withDefaults()
	return o
}

// ErrNotRunning is what Snapshot's error wraps while there is no worker.
var ErrNotRunning = errors.New("the worker is not running")

// Supervisor keeps one camera's worker at work.
type Supervisor struct {
	o Options

	// asks is unbuffered: whoever asks waits until Run takes it.
	asks chan ask

	mu    sync.Mutex
	stats Stats
}

// ask is a Snapshot on its way. The channel holds one answer, so that answering never blocks.
type ask struct {
	request wire.Snapshot
	answer  chan answer
}

type answer struct {
	jpeg wire.JPEG
	err  error
}

// New returns a supervisor that has started nothing yet.
func New(o Options) *Supervisor {
	return &Supervisor{o: o.withDefaults(), asks: make(chan ask)}
}

// Run keeps a worker running until ctx ends, and returns nil then. Every process and
// goroutine that it started has ended when it returns.
func (s *Supervisor) Run(ctx context.Context) error {
	wait := s.o.Backoff.history()
	for {
		cause, worked := s.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		pause, spent := wait.failed(time.Now(), worked)
		if spent {
			cause += fmt.Sprintf("; it has failed so often that the next try is only in %v", pause.Round(time.Second))
		}
		s.failed(cause)
		s.o.Logger.Warn("the worker stopped", "camera", s.o.Camera, "cause", cause, "restart_in", pause)
		s.o.OnState(false, cause)
		if !s.refuse(ctx, pause, cause) {
			return nil
		}
	}
}

// refuse answers all that is asked for the time of a pause. It reports false when ctx ended.
func (s *Supervisor) refuse(ctx context.Context, pause time.Duration, cause string) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case a := <-s.asks:
			a.answer <- answer{err: fmt.Errorf("%w: %s", ErrNotRunning, cause)}
		}
	}
}

// Snapshot asks the worker for the picture of request's session and time, or the nearest one
// that it still holds, as JPEG with the marks drawn. The request's ID is set by the supervisor.
// It blocks until there is an answer or ctx ends, which the caller bounds; it returns at once
// with ErrNotRunning while a restart is awaited. It may be called concurrently while Run runs.
func (s *Supervisor) Snapshot(ctx context.Context, request wire.Snapshot) (wire.JPEG, error) {
	a := ask{request: request, answer: make(chan answer, 1)}
	select {
	case s.asks <- a:
	case <-ctx.Done():
		return wire.JPEG{}, fmt.Errorf("asking for a snapshot: %w", ctx.Err())
	}
	select {
	case got := <-a.answer:
		return got.jpeg, got.err
	case <-ctx.Done():
		return wire.JPEG{}, fmt.Errorf("waiting for a snapshot: %w", ctx.Err())
	}
}
