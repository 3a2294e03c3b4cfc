package supervisor

import (
	"os"
	"time"

	"gridpost/detection"
	"gridpost/detection/looks"
	"gridpost/detection/wire"
)

// lookClient is a camera's place at an Inference, for the time of one worker. It has one look at most at a
// time: it is told by grants, answers by submit or none, and gets the outcome from results.
type lookClient struct {
	n      *Inference
	slot   int
	file   *os.File // of the slot
	urgent func() bool

	// Both have room for one. The newest replaces one that was not received. They are sent to while n.mu
	// is held, so that there is room after that.
	grants  chan wire.Look
	results chan lookResult

	// Guarded by n.mu.
	look      uint64 // ID of the look that has been granted and not ended; 0: none
	granted   time.Time
	submitted bool // its frame is in the slot
}

// lookResult is the outcome of a look.
type lookResult struct {
	id         uint64
	detections []detection.Detection
}

// join gives a camera a slot until leave. urgent says whether it has open incidents.
func (n *Inference) join(urgent func() bool) (*lookClient, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, os.ErrClosed
	}
	for i, c := range n.clients {
		if c != nil {
			continue
		}
		if n.slots[i] == nil {
			f, err := newSlot()
			if err != nil {
				return nil, err
			}
			n.slots[i] = f
		}
		c = &lookClient{n: n, slot: i, file: n.slots[i], urgent: urgent, grants: make(chan wire.Look, 1), results: make(chan lookResult, 1)}
		n.clients[i] = c
		n.queue.Add(i, time.Now())
		return c, nil
	}
	return nil, errNoSlot
}

// leave gives the slot back. The camera's worker must have ended. A nil client has none.
func (c *lookClient) leave() {
	if c == nil {
		return
	}
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	c.n.queue.Remove(c.slot)
	c.look = 0
	if f := c.n.slots[c.slot]; f != nil {
		if err := clearSlot(f); err != nil {
			// The frames in it must not be seen by another camera's worker: the slot stays taken.
			c.n.o.Logger.Error("a slot of the object model cannot be used any more", "error", err)
			return
		}
	}
	c.n.clients[c.slot] = nil
	c.n.wake()
}

// want notes that the worker has a new frame. It reports false if there is no model, nor will be soon.
func (c *lookClient) want(moving bool) bool {
	w := looks.Want{Moving: moving, Urgent: c.urgent()}
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if !c.n.usable() {
		return false
	}
	if c.n.model != nil {
		c.n.queue.Want(c.slot, w)
		c.n.wake()
	}
	return true
}

// grant grants a look. n.mu must be held.
func (c *lookClient) grant(id uint64, now time.Time, m *wire.Model) {
	c.look, c.granted, c.submitted = id, now, false
	select { // a look that was given up may still be there
	case <-c.grants:
	default:
	}
	c.grants <- wire.Look{ID: id, Width: m.Width, Height: m.Height, Stretch: m.Stretch}
}

// submit runs the model on the frame of w x h pixels in the slot. It reports false if the look has been
// given up.
func (c *lookClient) submit(id uint64, w, h int) bool {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if c.look != id || c.submitted {
		return false
	}
	c.submitted = true
	c.n.submitted = append(c.n.submitted, submission{id: id, slot: c.slot, w: w, h: h})
	c.n.wake()
	return true
}

// none ends a look because the worker has no new frame.
func (c *lookClient) none(id uint64) {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if c.look == id && !c.submitted {
		c.n.giveUp(c)
		c.n.wake()
	}
}

// giveUp ends a look whose frame has not come. n.mu must be held.
func (n *Inference) giveUp(c *lookClient) {
	c.look = 0
	n.queue.Done(c.slot, 0)
	n.queue.Refund()
	n.stats.Missed++
}
