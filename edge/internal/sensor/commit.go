package sensor

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gridpost/devices"
	"gridpost/devices/retry"
)

// Bounds of the messages that wait to be saved, of all receivers; beyond them Submit blocks, so that the
// brokers hold back the rest. One message is let in whatever its size.
const (
	maxPending      = 8192
	maxPendingBytes = 16 << 20
)

// maxBatch bounds the messages whose readings are saved in one transaction.
const maxBatch = 500

// errStopped is the outcome of messages that come when the edge stops.
var errStopped = errors.New("the edge is stopping")

// item is a message that has been judged, on its way to the disk.
type item struct {
	ctx      context.Context // ends with the connection that brought the message
	readings []devices.Reading
	waits    []*Inbox // of the sensors whose alerts are not saved yet
	size     int      // bytes
	durable  bool     // the sender would send it again
	once     bool     // it is tried once
	counted  bool     // as not saved
	failures int      // to save its readings alone
	after    time.Time
	done     func(error)
}

// committer saves readings: those of all messages that wait in one transaction, so that a slow disk makes
// batches and no queue, and a message that comes alone does not wait.
//
// A message whose alerts cannot be saved, or whose readings alone cannot, is held: it is tried again every
// second, and those of other sensors go on.
type committer struct {
	readings Readings
	logger   *slog.Logger
	wake     chan struct{} // there may be something to save
	notSaved atomic.Uint64 // messages that could not be saved at once

	mu      sync.Mutex
	pending int           // messages that are not done
	bytes   int           // of their payloads
	room    chan struct{} // closed: there is room
	ready   []*item       // in the order of Submit
	held    []*item
	stopped bool
	full    error // why the last transaction failed; nil: it did not
}

func newCommitter(r Readings, logger *slog.Logger) *committer {
	c := &committer{readings: r, logger: logger, wake: make(chan struct{}, 1), room: make(chan struct{})}
	close(c.room)
	return c
}

func (c *committer) isFull() bool { return c.pending >= maxPending || c.bytes >= maxPendingBytes }

// enter waits for room for one more message.
func (c *committer) enter(ctx context.Context, size int) error {
	for {
		c.mu.Lock()
		room, stopped := c.room, c.stopped
		if !stopped && !c.isFull() {
			c.pending++
			c.bytes += size
			if c.isFull() {
				c.room = make(chan struct{})
			}
			c.mu.Unlock()
			return nil
		}
		c.mu.Unlock()
		if stopped {
			return errStopped
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// finish makes room and passes the outcome on.
func (c *committer) finish(t *item, err error) {
	c.mu.Lock()
	before := c.isFull()
	c.pending--
	c.bytes -= t.size
	if before && !c.isFull() {
		close(c.room)
	}
	c.mu.Unlock()
	t.done(err)
}

// add takes a message that has been judged; the caller has entered.
func (c *committer) add(t *item) {
	if len(t.readings) == 0 && len(t.waits) == 0 {
		c.finish(t, nil)
		return
	}
	c.mu.Lock()
	if c.stopped {
		c.mu.Unlock()
		c.finish(t, errStopped)
		return
	}
	held := len(t.waits) > 0
	if held {
		c.held = append(c.held, t)
	} else {
		c.ready = append(c.ready, t)
	}
	c.mu.Unlock()
	if held {
		t.done(devices.ErrHeld)
		return
	}
	c.notify()
}

func (c *committer) notify() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run saves until ctx ends, and then once more.
func (c *committer) run(ctx context.Context) error {
	var holding sync.WaitGroup
	defer holding.Wait()
	holding.Go(func() {
		for retry.Sleep(ctx, time.Second) {
			c.release(ctx)
		}
	})
	backoff := retry.Policy{First: time.Second, Longest: 5 * time.Second}.New()
	for {
		select {
		case <-ctx.Done():
			c.stop(ctx)
			return nil
		case <-c.wake:
		}
		for batch := c.take(); len(batch) > 0; batch = c.take() {
			if c.save(ctx, batch) {
				backoff.Reset()
			} else if !backoff.Wait(ctx) {
				break
			}
		}
	}
}

// stop saves what has come, and gives up the rest: senders send it again.
func (c *committer) stop(ctx context.Context) {
	for batch := c.take(); len(batch) > 0 && c.save(ctx, batch); {
		batch = c.take()
	}
	c.mu.Lock()
	c.stopped = true
	rest := append(c.ready, c.held...)
	c.ready, c.held = nil, nil
	if c.isFull() {
		close(c.room) // those that wait see that it has stopped
		c.pending, c.bytes = 0, 0
	}
	c.mu.Unlock()
	for _, t := range rest {
		t.done(errStopped)
	}
}

// take returns the next messages to save.
func (c *committer) take() []*item {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.ready), maxBatch)
	batch := c.ready[:n:n]
	if c.ready = c.ready[n:]; len(c.ready) == 0 {
		c.ready = nil // release the memory of a burst
	}
	return batch
}

// save saves the readings of a batch. When that fails, the messages are tried one by one, so that one that
// can never be saved does not stop the others. It returns false when nothing can be saved now; the messages
// are ready again, but those whose connection has ended.
func (c *committer) save(ctx context.Context, batch []*item) bool {
	err := c.write(ctx, batch)
	if err == nil {
		for _, t := range batch {
			c.finish(t, nil)
		}
		return true
	}
	if len(batch) == 1 {
		return c.failed(batch, nil, err)
	}
	var bad []*item
	for i, t := range batch {
		if e := c.write(ctx, batch[i:i+1]); e != nil {
			bad = append(bad, t)
			if len(bad) == i+1 && i == 2 { // it is not the message
				return c.failed(append(bad, batch[i+1:]...), nil, e)
			}
			continue
		}
		c.finish(t, nil)
	}
	if len(bad) == len(batch) {
		return c.failed(bad, nil, err)
	}
	return c.failed(nil, bad, err)
}

func (c *committer) write(ctx context.Context, batch []*item) error {
	var all []devices.Reading
	for _, t := range batch {
		all = append(all, t.readings...)
	}
	var err error
	if len(all) > 0 {
		err = c.readings.SaveReadings(context.WithoutCancel(ctx), all)
		c.mu.Lock()
		c.full = err
		c.mu.Unlock()
	}
	return err
}

// failed makes messages ready again and holds those that failed although others were saved.
func (c *committer) failed(again, bad []*item, err error) (saved bool) {
	c.logger.Warn("readings could not be saved; they are tried again and not acknowledged", "messages", len(again)+len(bad), "error", err)
	c.count(again...)
	c.count(bad...)
	var back, hold, over []*item
	for _, t := range again {
		if t.once || t.durable && t.ctx.Err() != nil {
			over = append(over, t)
		} else {
			back = append(back, t)
		}
	}
	for _, t := range bad {
		if t.once {
			over = append(over, t)
			continue
		}
		t.failures++
		t.after = time.Now().Add(min(time.Second<<min(t.failures, 5), 30*time.Second))
		hold = append(hold, t)
	}
	c.mu.Lock()
	c.ready = append(back, c.ready...)
	c.held = append(c.held, hold...)
	c.mu.Unlock()
	for _, t := range hold {
		t.done(devices.ErrHeld)
	}
	for _, t := range over {
		c.finish(t, err)
	}
	return len(again) == 0
}

// count counts messages that could not be saved, each once.
func (c *committer) count(all ...*item) {
	for _, t := range all {
		if !t.counted {
			t.counted = true
			c.notSaved.Add(1)
		}
	}
}

// release looks at the messages that are held, in their order. A sensor whose alerts cannot be saved is
// asked once.
func (c *committer) release(ctx context.Context) {
	c.mu.Lock()
	held := c.held
	c.held = nil
	c.mu.Unlock()
	asked := map[*Inbox]error{}
	var still, ready, over []*item
	for _, t := range held {
		t.waits = waiting(ctx, t.waits, asked)
		switch {
		case len(t.waits) == 0 && !time.Now().Before(t.after):
			ready = append(ready, t)
		case t.durable && t.ctx.Err() != nil:
			over = append(over, t) // it comes again
		default:
			still = append(still, t)
		}
	}
	c.mu.Lock()
	c.held = append(still, c.held...)
	c.ready = append(c.ready, ready...)
	stopped := c.stopped
	if stopped {
		over = append(append(over, c.held...), c.ready...)
		c.held, c.ready = nil, nil
	}
	c.mu.Unlock()
	for _, t := range over {
		c.finish(t, context.Cause(t.ctx))
	}
	if len(ready) > 0 && !stopped {
		c.notify()
	}
}

// waiting returns the sensors whose alerts still cannot be saved.
func waiting(ctx context.Context, all []*Inbox, asked map[*Inbox]error) []*Inbox {
	var still []*Inbox
	for _, inbox := range all {
		err, known := asked[inbox]
		if !known {
			err = inbox.pass(ctx, judgement{done: make(chan error, 1)})
			asked[inbox] = err
		}
		if err != nil {
			still = append(still, inbox)
		}
	}
	return still
}

// problems returns why readings cannot be saved.
func (c *committer) problems() []devices.Cause {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full == nil {
		return nil
	}
	return []devices.Cause{devices.NewCause("readings_not_stored").BecauseOf(c.full)}
}
