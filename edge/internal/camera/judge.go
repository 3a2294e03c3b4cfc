package camera

import (
	"context"
	"time"

	"gridpost/detection"
	"gridpost/detection/health"
	"gridpost/detection/wire"
	"gridpost/devices/clock"
	"gridpost/streams"
)

// queueResult takes a result from the supervisor, whose goroutine must not wait for the disk.
func (c *Camera) queueResult(r wire.Result) {
	if !r.Analysed && r.Sample == nil {
		return
	}
	select {
	case c.results <- r:
	default:
		c.droppedResults.Add(1)
	}
}

// judge owns the camera's tracker and rules.
func (c *Camera) judge(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	c.urgency.Store(int32(urgencyOf(c.engine.Open())))
	c.save(ctx, c.closed, nil)
	c.tick(ctx, time.Now())
	for {
		select {
		case <-ctx.Done():
			c.saveMemory(ctx)
			return nil
		case <-c.accepted:
			c.acceptView(ctx)
		case <-c.changed:
			c.changeRules(ctx)
		case r := <-c.results:
			c.judgeResult(ctx, &r)
		case now := <-tick.C:
			c.tick(ctx, now)
		}
	}
}

// judgeResult judges what a worker has found in a frame.
func (c *Camera) judgeResult(ctx context.Context, r *wire.Result) {
	if r.Analysed {
		c.save(ctx, c.engine.Frame(r.Frame, c.tracker.Update(r.Frame)), r)
	}
	if r.Sample == nil {
		return
	}
	alerts := c.engine.Sample(r.Frame.Time, r.Sample)
	if !r.Sample.Decoded() {
		r = nil // there is no snapshot to be had
	}
	c.save(ctx, alerts, r)
}

// tick lets time pass for the rules.
func (c *Camera) tick(ctx context.Context, now time.Time) {
	st := c.stream.Stats()
	if last := st.Last; now.Sub(last) < 2*time.Second {
		// Frames end a camera's silence, whether a worker analyses them or not.
		c.save(ctx, c.engine.Activity(last), nil)
		c.judgeClock(st)
	} else {
		c.engine.SetClock(health.Unknown, 0)
	}
	c.save(ctx, c.engine.Tick(now), nil)
	if c.memoryDue(now) {
		c.saveMemory(ctx)
	}
}

// judgeClock compares the camera's clock with this machine's, if that can be relied on.
func (c *Camera) judgeClock(st streams.Stats) {
	if !clock.Synchronized() {
		c.engine.SetClock(health.Unknown, 0)
		return
	}
	c.engine.SetClock(health.JudgeClock(st.Captured, st.Last))
}

// save saves alerts, and requests a snapshot and a clip for those that open an incident at a frame.
func (c *Camera) save(ctx context.Context, alerts []detection.Incident, r *wire.Result) {
	if len(alerts) == 0 {
		return
	}
	c.urgency.Store(int32(urgencyOf(c.engine.Open())))
	saved := c.o.Alerts.Save(ctx, c.name, alerts) == nil // its failure is a problem of the edge
	for _, inc := range alerts {
		if inc.State == detection.Closed {
			c.endClip(inc.ID)
		}
	}
	if r == nil {
		return
	}
	for _, inc := range alerts {
		if inc.Version != 1 || inc.State != detection.Open {
			continue
		}
		if !saved { // the hub refuses evidence of an incident that it does not have
			c.missedSnapshot(inc.ID, "its incident could not be saved yet")
			continue
		}
		c.startClip(inc)
		select {
		case c.snapshots <- snapshotRequest{incident: inc, session: r.Frame.Session, pts: r.Frame.PTS, at: r.Frame.Time}:
		default:
			c.missedSnapshot(inc.ID, "too many incidents opened at once")
		}
	}
}
