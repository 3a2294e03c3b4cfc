package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"gridpost/detection/wire"
)

// inferring is the time of one inference process from Ready to its end. Its fields belong to Run's
// goroutine, except for the channels.
type inferring struct {
	*Inference
	p        *process
	received chan any        // unbuffered, from the process
	out      chan wire.Infer // to the process; its capacity is maxLooks, so that a send never blocks

	pending  []submission // that the process has, oldest first
	total    int          // sent
	progress time.Time    // of the last message, or of the first request after an idle time
}

// work grants looks and passes frames to the process until it fails or ctx ends. It returns how many
// frames the process was sent. The process has ended when it returns.
func (n *Inference) work(ctx context.Context, p *process) (sent int, err error) {
	w := &inferring{
		Inference: n, p: p, received: make(chan any), out: make(chan wire.Infer, maxLooks), progress: time.Now(),
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.send(gctx) })
	g.Go(func() error { return w.receive(gctx) })
	err = w.loop(gctx)
	p.stop(!errors.As(err, new(hungError)))
	_ = g.Wait() // they end because the socket is closed; loop returned the first error
	if cause := context.Cause(gctx); errors.Is(err, context.Canceled) && cause != nil {
		err = cause
	}
	return w.total, err
}

func (w *inferring) loop(ctx context.Context) error {
	watch := time.NewTicker(w.o.ReplyTimeout / 10)
	defer watch.Stop()
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		if wait := w.advance(time.Now()); wait > 0 {
			again.Reset(wait)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.changed:
		case <-again.C:
		case msg := <-w.received:
			if err := w.handle(msg); err != nil {
				return err
			}
		case now := <-watch.C:
			if silence := now.Sub(w.progress); len(w.pending) > 0 && silence > w.o.ReplyTimeout {
				return hungError{silence: silence, stopped: isStopped(w.p.cmd.Process.Pid)}
			}
		}
	}
}

// advance ends looks whose frame did not come, grants new ones, and sends the frames that came. It returns
// after what time it must be called again; 0: when something has changed.
func (w *inferring) advance(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var wait time.Duration
	for _, c := range w.clients {
		if c == nil || c.look == 0 || c.submitted {
			continue
		}
		left := fetchTimeout - now.Sub(c.granted)
		if left <= 0 {
			w.giveUp(c)
		} else if wait == 0 || left < wait {
			wait = left
		}
	}
	for len(w.pending)+len(w.submitted) < maxWaiting {
		slot, later, ok := w.queue.Next(now)
		if !ok {
			if later > 0 && (wait == 0 || later < wait) {
				wait = later
			}
			break
		}
		w.lastID++
		w.clients[slot].grant(w.lastID, now, w.model)
	}
	for _, s := range w.submitted {
		if len(w.pending) == 0 {
			w.progress = now
		}
		w.pending = append(w.pending, s)
		w.total++
		w.out <- wire.Infer{ID: s.id, Slot: s.slot, Width: s.w, Height: s.h}
	}
	w.submitted = w.submitted[:0]
	return wait
}

// handle handles a message from the process.
func (w *inferring) handle(msg any) error {
	w.progress = time.Now()
	switch m := msg.(type) {
	case wire.Inferred:
		if len(w.pending) == 0 || w.pending[0].id != m.ID {
			return fmt.Errorf("a reply without a request: %w", wire.ErrMalformed)
		}
		s := w.pending[0]
		w.pending = w.pending[1:]
		if m.Error != "" {
			return gaveUpError(sanitise(m.Error))
		}
		if err := validateInferred(&m); err != nil {
			return err
		}
		w.finish(s, m)
		return nil
	case wire.End:
		return gaveUpError(sanitise(m.Error))
	}
	return fmt.Errorf("unexpected %T: %w", msg, wire.ErrMalformed)
}

// finish passes the detections to the camera, unless it has gone.
func (w *inferring) finish(s submission, m wire.Inferred) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Looks++
	w.stats.Inference += m.Inference
	w.stats.Runtime += m.Runtime
	c := w.clients[s.slot]
	if c == nil || c.look != s.id {
		return
	}
	w.queue.Done(s.slot, m.Inference)
	c.look = 0
	select { // the camera may not have taken the last one
	case <-c.results:
	default:
	}
	c.results <- lookResult{id: s.id, detections: m.Detections}
}

func (w *inferring) send(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case msg := <-w.out:
			if err := w.p.conn.Send(msg); err != nil {
				return err
			}
		}
	}
}

func (w *inferring) receive(ctx context.Context) error {
	for {
		msg, err := w.p.conn.Receive()
		if err != nil {
			return err
		}
		select {
		case w.received <- msg:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
