package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"gridpost/detection/wire"
	"gridpost/streams"
)

const (
	// window is how many pictures are with the worker at most. More would only age in the
	// socket: a worker that cannot follow loses pictures at the stream's reader.
	window = 4

	// askLimit is how many snapshots wait for the worker at most; more are refused.
	askLimit = 16

	// mostJPEG bounds a snapshot in bytes.
	mostJPEG = 8 << 20
)

// session is the life of one process. Its fields belong to Run's goroutine, but for the
// channels.
type session struct {
	*Supervisor
	p *process

	units    chan *streams.AccessUnit // unbuffered, from the stream's reader
	received chan any                 // unbuffered, from the worker
	out      chan any                 // to the worker; its room is window and askLimit, so that a send never blocks

	sent     []sentUnit     // pictures with the worker, oldest first
	recent   []sentUnit     // pictures that it has seen, for those it gives back late
	asked    map[uint64]ask // snapshots with the worker
	lastAsk  uint64
	progress time.Time // when the worker answered last, or was given a picture while it had none
}

type sentUnit struct {
	session uint32
	pts     time.Duration
	arrived time.Time
}

// once runs one worker until it fails or ctx ends. It returns why, in words, and for how long
// it had worked.
func (s *Supervisor) once(ctx context.Context) (cause string, worked time.Duration) {
	p, err := start(s.o.Binary)
	if err != nil {
		return err.Error(), 0
	}
	s.started(p.cmd.Process.Pid)
	defer func() { s.ended(p.cmd.ProcessState) }()

	startCtx, cancel := context.WithTimeout(ctx, s.o.Start)
	var ready wire.Ready
	err = p.within(startCtx, func() (err error) {
		ready, err = p.configure(s.o.Config)
		return err
	})
	cancel()
	if err != nil {
		p.stop(true)
		return "the worker did not start: " + explain(p, err, s.o.Start), 0
	}
	s.ready(ready)
	s.o.Logger.Info("the worker is ready", "camera", s.o.Camera, "detector", printable(ready.Detector), "pid", p.cmd.Process.Pid)
	reader := s.o.Reader() // first, so that nothing which is published once we say so is missed
	s.o.OnState(true, "")

	began := time.Now()
	err = s.work(ctx, p, reader)
	return "the worker failed: " + explain(p, err, s.o.Start), time.Since(began)
}

// explain puts into words why a worker was given up that had the time of start to get ready. The
// process has ended.
func explain(p *process, err error, start time.Duration) string {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isClosed(err):
		return p.fate()
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("it was not ready within %v", start)
	}
	return err.Error()
}

// work feeds the worker from reader, which it closes, and hears it until it fails or ctx ends. The
// process has ended when it returns.
func (s *Supervisor) work(ctx context.Context, p *process, reader *streams.Reader) error {
	w := &session{
		Supervisor: s, p: p,
		units:    make(chan *streams.AccessUnit),
		received: make(chan any),
		out:      make(chan any, window+askLimit),
		asked:    make(map[uint64]ask),
		progress: time.Now(),
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.read(gctx, reader) })
	g.Go(func() error { return w.send(gctx) })
	g.Go(func() error { return w.receive(gctx) })

	err := w.loop(gctx)
	reader.Close()
	// A worker that hangs is not asked; one whose socket broke or that ends with us may go by itself.
	p.stop(!errors.Is(err, errHangs))
	_ = g.Wait() // each ends because its socket or reader is closed; loop heard the first error
	for _, a := range w.asked {
		a.answer <- answer{err: fmt.Errorf("%w: it stopped before it answered", ErrNotRunning)}
	}
	if cause := context.Cause(gctx); errors.Is(err, context.Canceled) && cause != nil {
		return cause // what the goroutine that failed first said
	}
	return err
}

// errHangs says that a worker has not answered for too long.
var errHangs = errors.New("it gave no answer")

// loop is the only goroutine that decides. It ends when ctx does: on the first error of the
// others, or from outside.
func (w *session) loop(ctx context.Context) error {
	watch := time.NewTicker(w.o.Patience / 10)
	defer watch.Stop()
	for {
		units, asks := w.units, w.asks
		if len(w.sent) >= window {
			units = nil
		}
		if len(w.asked) >= askLimit {
			asks = nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case u := <-units:
			w.feed(u)
		case a := <-asks:
			w.ask(a)
		case msg := <-w.received:
			if err := w.heard(msg); err != nil {
				return err
			}
		case now := <-watch.C:
			busy := len(w.sent) > 0 || len(w.asked) > 0
			if quiet := now.Sub(w.progress); busy && quiet > w.o.Patience {
				return fmt.Errorf("%w for %v and was killed", errHangs, quiet.Round(100*time.Millisecond))
			}
		}
	}
}

func (w *session) feed(u *streams.AccessUnit) {
	if len(w.sent) == 0 && len(w.asked) == 0 {
		w.progress = time.Now()
	}
	w.sent = append(w.sent, sentUnit{u.Session, u.PTS, u.Arrived})
	w.out <- u
	w.fed()
}

func (w *session) ask(a ask) {
	if len(w.sent) == 0 && len(w.asked) == 0 {
		w.progress = time.Now()
	}
	w.lastAsk++
	a.request.ID = w.lastAsk
	w.asked[a.request.ID] = a
	w.out <- a.request
}

// heard takes in what the worker said.
func (w *session) heard(msg any) error {
	w.progress = time.Now()
	switch m := msg.(type) {
	case wire.Result:
		return w.result(m)
	case wire.JPEG:
		a, ok := w.asked[m.ID]
		if !ok {
			return fmt.Errorf("a picture that nobody asked for: %w", wire.ErrMalformed)
		}
		delete(w.asked, m.ID)
		a.answer <- checkedJPEG(m)
		return nil
	case wire.End:
		return fmt.Errorf("it gave up: %s", printable(m.Error))
	}
	return fmt.Errorf("%T out of place: %w", msg, wire.ErrMalformed)
}

func checkedJPEG(m wire.JPEG) answer {
	switch {
	case m.Error != "":
		return answer{err: fmt.Errorf("the worker has no snapshot: %s", printable(m.Error))}
	case len(m.Data) > mostJPEG, len(m.Data) < 4, m.Data[0] != 0xff, m.Data[1] != 0xd8:
		return answer{err: errors.New("the worker's snapshot is not a JPEG of a sane size")}
	}
	return answer{jpeg: m}
}

// result takes in what became of the oldest picture that the worker has.
func (w *session) result(r wire.Result) error {
	if len(w.sent) == 0 {
		return fmt.Errorf("a result without a picture: %w", wire.ErrMalformed)
	}
	const late = 64 // pictures that a decoder may hold back, to put them in order
	w.recent = append(w.recent, w.sent[0])
	w.sent = w.sent[1:]
	if len(w.recent) > late {
		w.recent = append(w.recent[:0], w.recent[len(w.recent)-late:]...)
	}
	if err := check(&r); err != nil {
		return err
	}
	// The time of a picture is ours: the worker only says which picture it means.
	known := false
	for _, u := range w.recent {
		if u.session == r.Frame.Session && u.pts == r.Frame.PTS {
			r.Frame.Time, known = u.arrived, true
		}
	}
	if !known {
		return fmt.Errorf("a result for a picture that it was not given: %w", wire.ErrMalformed)
	}
	w.counted(r)
	w.o.OnResult(r)
	return nil
}

// read hands the stream's units on, one at a time.
func (w *session) read(ctx context.Context, r *streams.Reader) error {
	for {
		u, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return errors.New("the camera's stream was closed")
		}
		if err != nil {
			return fmt.Errorf("reading the camera's stream: %w", err)
		}
		select {
		case w.units <- u:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *session) send(ctx context.Context) error {
	var unit wire.Unit
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
			j.Data = append([]byte(nil), j.Data...) // the connection will use its buffer again
			msg = j
		}
		select {
		case w.received <- msg:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
