package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"gridpost/detection/wire"
	"gridpost/devices"
	"gridpost/streams"
)

const (
	// maxInFlight is how many access units the worker has at most. More would only wait in the socket:
	// if a worker is too slow, the stream's reader drops frames.
	maxInFlight = 4

	// maxPendingSnapshots is how many snapshot requests the worker has at most; further ones block in
	// Snapshot.
	maxPendingSnapshots = 16

	// maxJPEG bounds a snapshot in bytes.
	maxJPEG = 8 << 20
)

// session is the time of one process from Ready to its end. Its fields belong to Run's goroutine,
// except for the channels.
type session struct {
	*Supervisor
	p *process

	accessUnits chan *streams.AccessUnit // unbuffered, from the stream's reader
	received    chan any                 // unbuffered, from the worker
	out         chan any                 // to the worker; its capacity is maxInFlight+maxPendingSnapshots+1, for a look, so that a send never blocks
	looks       *sessionLooks            // nil: there is no object model

	sent     []sentFrame                // access units that the worker has, oldest first
	recent   []sentFrame                // those already answered, for frames that the decoder delayed
	pending  map[uint64]snapshotRequest // snapshot requests that the worker has, by ID
	lastID   uint64
	total    int       // access units sent
	progress time.Time // of the last message, or of the first request after an idle time
}

type sentFrame struct {
	session uint32
	pts     time.Duration
	arrived time.Time
}

// started is a worker that is ready, or why there is none.
type started struct {
	p       *process
	ready   wire.Ready
	client  *lookClient // nil: there is no object model
	failure *failure
}

// once runs one worker until it fails or ctx ends.
func (s *Supervisor) once(ctx context.Context) failure {
	result := make(chan started, 1)
	go func() { result <- s.startWorker(ctx) }()
	w := s.awaitStart(result)
	if w.failure != nil {
		return *w.failure
	}
	defer func() { s.ended(w.p.cmd.ProcessState) }()
	s.ready(w.ready)
	s.o.Logger.Info("the worker is ready", "camera", s.o.Camera, "pid", w.p.cmd.Process.Pid,
		"detector", sanitise(w.ready.Detector), "confined", sanitise(w.ready.Confined))
	// From the last keyframe on, so that a worker detects again at once; but what crashed a worker may be
	// among these frames, so after a crash only from the next keyframe on. The reader is opened before
	// OnState, so that no frame published after it is missed.
	reader := s.o.Reader(streams.ReaderOptions{Backfill: !s.crashed})
	s.o.OnState(true, devices.Cause{})

	began := time.Now()
	sent, err := s.work(ctx, w, reader)
	return workFailure(w.p, err, time.Since(began), sent)
}

// awaitStart waits for a start. It refuses snapshots meanwhile.
func (s *Supervisor) awaitStart(result <-chan started) started {
	for {
		select {
		case w := <-result:
			return w
		case r := <-s.snapshots:
			r.reply <- snapshotReply{err: fmt.Errorf("%w: it is starting", ErrNotRunning)}
		}
	}
}

// startWorker starts a process and waits until it is ready. If it fails or ctx ends, the process has
// ended.
func (s *Supervisor) startWorker(ctx context.Context) started {
	failed := func(code string, err error) started {
		return started{failure: &failure{cause: devices.NewCause(code, "detail", err.Error())}}
	}
	cfg := s.o.Config
	var err error
	if cfg.Limits, err = s.o.limits(); err != nil {
		return failed(CodeUser, err)
	}
	if !s.o.Gate.enter(ctx) {
		return failed(CodeFailed, ctx.Err())
	}
	defer s.o.Gate.leave()
	client, slots := s.joinInference()
	p, err := start(s.o.Binary, slots)
	if err != nil {
		client.leave()
		return failed(CodeNotExecutable, err)
	}
	s.started(p.cmd.Process.Pid)
	startCtx, cancel := context.WithTimeout(ctx, s.o.StartTimeout)
	defer cancel()
	var ready wire.Ready
	err = p.runWithin(startCtx, func() (err error) {
		ready, err = p.configure(cfg)
		return err
	})
	if err != nil {
		p.stop(true)
		client.leave()
		s.ended(p.cmd.ProcessState)
		f := startFailure(p, err, s.o.StartTimeout)
		return started{failure: &f}
	}
	return started{p: p, ready: ready, client: client}
}

// work feeds the worker from reader, which it closes, and handles its messages until it fails or ctx
// ends. It returns how many access units the worker was sent. The process has ended when it returns.
func (s *Supervisor) work(ctx context.Context, ready started, reader *streams.Reader) (sent int, err error) {
	p := ready.p
	w := &session{
		Supervisor: s, p: p, looks: newSessionLooks(ready.client),
		accessUnits: make(chan *streams.AccessUnit),
		received:    make(chan any),
		out:         make(chan any, maxInFlight+maxPendingSnapshots+1),
		pending:     make(map[uint64]snapshotRequest),
		progress:    time.Now(),
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.read(gctx, reader) })
	g.Go(func() error { return w.send(gctx) })
	g.Go(func() error { return w.receive(gctx) })

	err = w.loop(gctx)
	reader.Close()
	p.stop(!errors.As(err, new(hungError))) // a worker that hangs is killed at once; any other may exit by itself
	_ = g.Wait()                            // they end because socket and reader are closed; loop returned the first error
	for _, a := range w.pending {
		a.reply <- snapshotReply{err: fmt.Errorf("%w: the worker stopped before it replied", ErrNotRunning)}
	}
	if cause := context.Cause(gctx); errors.Is(err, context.Canceled) && cause != nil {
		err = cause // the error of the goroutine that failed first
	}
	return w.total, err
}

// loop owns the session's state. It ends with ctx, which ends on the first error of the other
// goroutines or with Run.
func (w *session) loop(ctx context.Context) error {
	watch := time.NewTicker(w.o.ReplyTimeout / 10)
	defer watch.Stop()
	for {
		accessUnits, snapshots := w.accessUnits, w.snapshots
		if len(w.sent) >= maxInFlight {
			accessUnits = nil
		}
		if len(w.pending) >= maxPendingSnapshots {
			snapshots = nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case u := <-accessUnits:
			w.feed(u)
		case a := <-snapshots:
			w.requestSnapshot(a)
		case look := <-w.looks.grants():
			w.requestLook(look)
		case found := <-w.looks.results():
			w.lookResult(found)
		case msg := <-w.received:
			if err := w.handle(msg); err != nil {
				return err
			}
		case now := <-watch.C:
			if silence := now.Sub(w.progress); w.busy() && silence > w.o.ReplyTimeout {
				return hungError{silence: silence, stopped: isStopped(w.p.cmd.Process.Pid)}
			}
		}
	}
}

// busy reports whether the worker owes a reply.
func (w *session) busy() bool { return len(w.sent) > 0 || len(w.pending) > 0 || w.looks.requested() }

func (w *session) feed(u *streams.AccessUnit) {
	if !w.busy() {
		w.progress = time.Now()
	}
	w.sent = append(w.sent, sentFrame{u.Session, u.PTS, u.Arrived})
	w.out <- u
	w.total++
	w.countFrame()
}

func (w *session) requestSnapshot(a snapshotRequest) {
	if !w.busy() {
		w.progress = time.Now()
	}
	w.lastID++
	a.request.ID = w.lastID
	w.pending[a.request.ID] = a
	w.out <- a.request
}

// handle handles a message from the worker.
func (w *session) handle(msg any) error {
	w.progress = time.Now()
	switch m := msg.(type) {
	case wire.Result:
		return w.result(m)
	case wire.JPEG:
		a, ok := w.pending[m.ID]
		if !ok {
			return fmt.Errorf("a snapshot that was not requested: %w", wire.ErrMalformed)
		}
		delete(w.pending, m.ID)
		a.reply <- validateJPEG(m)
		return nil
	case wire.Looked:
		return w.looked(m)
	case wire.End:
		return gaveUpError(sanitise(m.Error))
	}
	return fmt.Errorf("unexpected %T: %w", msg, wire.ErrMalformed)
}

func validateJPEG(m wire.JPEG) snapshotReply {
	switch {
	case m.Error != "":
		return snapshotReply{err: fmt.Errorf("the worker has no snapshot: %s", sanitise(m.Error))}
	case len(m.Data) > maxJPEG, len(m.Data) < 4, m.Data[0] != 0xff, m.Data[1] != 0xd8:
		return snapshotReply{err: errors.New("the worker's snapshot is not a JPEG of a sane size")}
	}
	return snapshotReply{jpeg: m}
}

// result handles the outcome of the oldest access unit that the worker has.
func (w *session) result(r wire.Result) error {
	if len(w.sent) == 0 {
		return fmt.Errorf("a result without an access unit: %w", wire.ErrMalformed)
	}
	const maxDelay = 64 // frames by which a decoder may delay one to reorder them
	w.recent = append(w.recent, w.sent[0])
	w.sent = w.sent[1:]
	if len(w.recent) > maxDelay {
		w.recent = append(w.recent[:0], w.recent[len(w.recent)-maxDelay:]...)
	}
	if err := validate(&r); err != nil {
		return err
	}
	// The frame's time is taken from the stream, not from the worker.
	arrived, known := w.arrived(r.Frame.Session, r.Frame.PTS)
	if !known {
		return fmt.Errorf("a result for an unknown frame: %w", wire.ErrMalformed)
	}
	r.Frame.Time = arrived
	if r.Analysed && w.looks.want(r.Moving) {
		w.looks.note(r.Frame)
		r.Analysed, r.Frame.Detections = false, nil // the model analyses it, or a later one
	}
	w.publish(r)
	return nil
}

// arrived returns when a frame arrived that the worker has answered; false if it has answered no such
// frame.
func (w *session) arrived(session uint32, pts time.Duration) (time.Time, bool) {
	for _, u := range w.recent {
		if u.session == session && u.pts == pts {
			return u.arrived, true
		}
	}
	return time.Time{}, false
}

// publish passes a valid result on.
func (w *session) publish(r wire.Result) {
	if r.Analysed && !w.judge(frameID{r.Frame.Session, r.Frame.PTS}) {
		// A worker that was restarted decodes frames again that the one before has analysed.
		r.Analysed, r.Frame.Detections, r.Sample = false, nil, nil
		w.countRepeated()
	}
	w.countResult(r)
	w.o.OnResult(r)
}

// read passes the stream's access units on, one at a time.
func (w *session) read(ctx context.Context, r *streams.Reader) error {
	for {
		u, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return errStreamClosed
		}
		if err != nil {
			return fmt.Errorf("reading the camera's stream: %w", err)
		}
		select {
		case w.accessUnits <- u:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *session) send(ctx context.Context) error {
	var unit wire.AccessUnit
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case msg := <-w.out:
			if u, ok := msg.(*streams.AccessUnit); ok {
				unit.Set(u)
				msg = &unit
			}
			if err := w.p.conn.Send(msg); err != nil {
				return err
			}
		}
	}
}

func (w *session) receive(ctx context.Context) error {
	for {
		msg, err := w.p.conn.Receive()
		if err != nil {
			return err
		}
		if j, ok := msg.(wire.JPEG); ok {
			j.Data = append([]byte(nil), j.Data...) // the connection reuses its buffer
			msg = j
		}
		select {
		case w.received <- msg:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
