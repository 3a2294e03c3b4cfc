// Package supervisor runs a camera's worker: it starts the process, sends it access units, passes on
// the detections, and restarts it when it dies or hangs.
//
// The worker is not trusted, because it parses the bytes of a camera. It confines itself before that
// (detection/worker/confine), gets no secrets, its messages are validated against the requests, and a
// failure costs its own camera some seconds of detection and nothing else. A camera on which workers
// crash repeatedly is quarantined: see Restart.
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
	"gridpost/devices"
	"gridpost/streams"
)

// Options of a Supervisor. The durations take defaults when they are zero.
type Options struct {
	Binary string      // path of the worker's program
	Camera string      // for the log
	Config wire.Config // sent to each process
	Logger *slog.Logger

	// Reader opens a reader of the camera's stream with these options for each start of the worker.
	// The supervisor closes it.
	Reader func(streams.ReaderOptions) *streams.Reader

	// Before is the supervisor that this one replaces on the same stream, nil for none: what that one has analysed is
	// not analysed again. Its Run must have returned, or never be called, when Run is called.
	Before *Supervisor

	// OnResult is called from Run's goroutine with the outcome of each access unit, in order. Analysed is
	// set at most once for a frame, in ascending order of session and PTS, however often workers are
	// restarted. It must not block: while it runs nothing is sent to the worker.
	OnResult func(wire.Result)

	// OnState is called from Run's goroutine when the worker is ready, with no cause, or has stopped,
	// with the cause, whose codes are constants of this package. May be nil.
	OnState func(running bool, cause devices.Cause)

	// Inference runs the object model for all cameras; nil: motion is detected. With it, frames whose turn
	// has not come are not Analysed. While the model does not run, motion is detected.
	Inference *Inference

	// Urgent says whether the camera has open incidents, which gives it more looks of the model. It must
	// not block. nil: it never has.
	Urgent func() bool

	// Gate bounds how many workers start at a time; it is shared with the supervisors of other cameras.
	// nil: no bound.
	Gate *Gate

	// Memory bounds the private writable memory of a worker in bytes; default DefaultMemory.
	Memory uint64

	StartTimeout time.Duration // within which a worker must be ready, model loaded; default 60 s
	ReplyTimeout time.Duration // within which it must reply while it has requests; default 10 s
	Restart      Restart
}

// DefaultMemory is enough for a model and H.265 of 8K: its decoder holds up to seventeen frames of
// 50 MB. For 1080p a worker needs less than a fifth of it.
const DefaultMemory = 1 << 30

func (o Options) withDefaults() Options {
	if o.StartTimeout <= 0 {
		o.StartTimeout = time.Minute
	}
	if o.ReplyTimeout <= 0 {
		o.ReplyTimeout = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnState == nil {
		o.OnState = func(bool, devices.Cause) {}
	}
	if o.Urgent == nil {
		o.Urgent = func() bool { return false }
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	o.Restart = o.Restart.withDefaults()
	return o
}

// limits returns what a worker imposes on itself.
func (o Options) limits() (wire.Limits, error) {
	uid, gid, err := workerIDs()
	return wire.Limits{Memory: o.Memory, User: uid, Group: gid}, err
}

// ErrNotRunning is wrapped by Snapshot's error while no worker is ready.
var ErrNotRunning = errors.New("the worker is not running")

// Supervisor runs one camera's worker.
type Supervisor struct {
	o Options

	// snapshots is unbuffered: a request waits until Run receives it.
	snapshots chan snapshotRequest

	// Only Run's goroutine uses these.
	judged  frameID // the last frame that was analysed; the zero value precedes all frames
	crashed bool    // the last worker that was sent frames crashed

	mu    sync.Mutex
	stats Stats
}

// snapshotRequest is a pending Snapshot. The channel has room for the reply, so that sending it never
// blocks.
type snapshotRequest struct {
	request wire.Snapshot
	reply   chan snapshotReply
}

type snapshotReply struct {
	jpeg wire.JPEG
	err  error
}

// New returns a supervisor. It starts nothing.
func New(o Options) *Supervisor {
	return &Supervisor{o: o.withDefaults(), snapshots: make(chan snapshotRequest)}
}

// Run keeps a worker running until ctx ends, and returns nil then. Every process and goroutine that it
// started has ended when it returns.
//
// After a failure it waits as Restart says before it starts the next worker. A quarantine after
// crashes also ends with Run: a supervisor that is created anew, because the edge was restarted or the
// camera's configuration was changed, starts without one.
func (s *Supervisor) Run(ctx context.Context) error {
	s.inherit()
	restarts := s.o.Restart.new()
	for {
		f := s.once(ctx)
		s.crashed = f.crash || s.crashed && !f.fed
		if ctx.Err() != nil {
			return nil
		}
		pause, why := restarts.next(time.Now(), f.ran, f.crash)
		f.cause = restartCause(CodeQuarantined, f.cause, pause, why, restarts.crashes)
		s.failed(f, why)
		s.o.Logger.Warn("the worker stopped", "camera", s.o.Camera, "code", f.cause.Code, "cause", f.cause.Text, "restart_in", pause)
		s.o.OnState(false, f.cause)
		if !s.refuseSnapshots(ctx, pause, f.cause.Text) {
			return nil
		}
	}
}

// inherit takes over what is known of the stream from the supervisor before.
func (s *Supervisor) inherit() {
	before := s.o.Before
	if before == nil {
		return
	}
	before.inherit() // it may never have run
	s.judged, s.crashed, s.o.Before = before.judged, before.crashed, nil
}

// frameID identifies a frame of the camera's stream.
type frameID struct {
	session uint32 // from 1
	pts     time.Duration
}

// follows reports whether f is later in the stream than other.
func (f frameID) follows(other frameID) bool {
	return f.session > other.session || f.session == other.session && f.pts > other.pts
}

// judge reports whether the frame is later than all those that were analysed before, and notes it.
func (s *Supervisor) judge(f frameID) bool {
	if !f.follows(s.judged) {
		return false
	}
	s.judged = f
	return true
}

// refuseSnapshots refuses all snapshot requests during a pause. It reports false when ctx ended.
func (s *Supervisor) refuseSnapshots(ctx context.Context, pause time.Duration, cause string) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case a := <-s.snapshots:
			a.reply <- snapshotReply{err: fmt.Errorf("%w: %s", ErrNotRunning, cause)}
		}
	}
}

// Snapshot requests from the worker the frame of request's session and time, or the nearest one
// that it still holds, as JPEG with the marks drawn on it. The request's ID is set by the supervisor.
// It blocks until the reply arrives or ctx ends; it returns ErrNotRunning at once while a restart is
// pending. It may be called concurrently while Run runs.
func (s *Supervisor) Snapshot(ctx context.Context, request wire.Snapshot) (wire.JPEG, error) {
	a := snapshotRequest{request: request, reply: make(chan snapshotReply, 1)}
	select {
	case s.snapshots <- a:
	case <-ctx.Done():
		return wire.JPEG{}, fmt.Errorf("requesting a snapshot: %w", ctx.Err())
	}
	select {
	case got := <-a.reply:
		return got.jpeg, got.err
	case <-ctx.Done():
		return wire.JPEG{}, fmt.Errorf("waiting for a snapshot: %w", ctx.Err())
	}
}
