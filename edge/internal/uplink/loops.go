package uplink

import (
	"context"
	"time"

	"gridpost/devices/retry"
	"gridpost/hub/api"
)

// Bounds of requests: bytes of events before compression, or of evidence.
const (
	firstBatch     = 32 << 10
	leastBatch     = 1 << 10
	mostAlerts     = api.MaxBatchBytes / 2
	mostTelemetry  = 512 << 10
	alertsTarget   = 3 * time.Second        // a request of alerts may take the line for long: nothing is more urgent
	bulkTarget     = time.Second            // an alert waits behind at most one such request of telemetry
	evidenceTarget = 300 * time.Millisecond // and one such piece of evidence, of which there may be hours
	safetyInterval = 30 * time.Second
	headStart      = time.Second // of the inventory before the first alerts of an epoch
)

// deliver sends a lane until ctx ends. idle waits for more and returns false when ctx ended.
func (u *Uplink) deliver(ctx context.Context, l loop, lane *lane, w waits, idle func() bool) {
	for {
		more, err := lane.send(ctx)
		if ctx.Err() != nil {
			return
		}
		if lane.name == api.LaneAlerts && (err != nil || !more) {
			u.gate.lift()
		}
		if err != nil {
			u.report(l, err)
			if lane.name == api.LaneAlerts && answered(err) {
				u.waiting.clear() // the line is not what keeps them
			}
			if !w.after(ctx, err, u.recovered[l]) {
				return
			}
			continue
		}
		w.reset()
		if more {
			u.report(l, nil)
			if lane.name == api.LaneAlerts {
				u.waiting.delivered()
			}
			continue
		}
		if !idle() {
			return
		}
	}
}

// sendAlerts delivers alerts as soon as they are there.
func (u *Uplink) sendAlerts(ctx context.Context) {
	lane := &lane{
		u: u, name: api.LaneAlerts, client: u.alerts, limit: api.MaxBatchEvents,
		pace:      pace{size: firstBatch, least: leastBatch, most: mostAlerts, target: alertsTarget},
		delivered: u.o.Store.AlertsDelivered,
		drop:      func(ctx context.Context, seq uint64) error { return u.o.Store.Drop(ctx, api.LaneAlerts, seq) },
		begin:     u.awaitInventory,
	}
	lane.fetch = func(ctx context.Context, limit, maxBytes int) ([]api.Event, error) {
		events, err := u.o.Store.Alerts(ctx, limit, maxBytes)
		if len(events) > 0 {
			u.gate.shut()
		}
		u.waiting.fetched(len(events))
		return events, err
	}
	// A signal cannot get lost, but alerts must not depend on that.
	safety := time.NewTicker(safetyInterval)
	defer safety.Stop()
	u.deliver(ctx, loopAlerts, lane, u.waits(longestAlerts), func() bool {
		u.report(loopAlerts, nil)
		select {
		case <-ctx.Done():
			return false
		case <-u.o.Store.AlertsWaiting():
		case <-safety.C:
		}
		return true
	})
}

// awaitInventory gives the inventory a head start before an epoch's first alerts, so that an
// incident finds its device at the hub. It is no condition: the wait is short.
func (u *Uplink) awaitInventory(ctx context.Context, _ string) error {
	if !u.o.States.hasInventory() {
		return nil
	}
	t := time.NewTimer(headStart)
	defer t.Stop()
	select {
	case <-u.session.inventoryDelivered():
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// sendStates delivers the newest states.
func (u *Uplink) sendStates(ctx context.Context) {
	var onTheWay []outgoing
	lane := &lane{
		u: u, name: api.LaneState, client: u.alerts, limit: api.MaxBatchEvents,
		pace: pace{size: firstBatch, least: leastBatch, most: mostAlerts, target: alertsTarget},
	}
	lane.begin = func(context.Context, string) error { u.o.States.announceAll(); return nil }
	lane.fetch = func(_ context.Context, limit, maxBytes int) (events []api.Event, err error) {
		events, onTheWay, err = u.o.States.pending(lane.highest+1, limit, maxBytes, u.o.Clock())
		if err != nil {
			u.o.Logger.Error("states cannot be announced until they change", "error", err)
		}
		return events, nil
	}
	lane.delivered = func(_ context.Context, committed uint64, _ []api.Refusal) error {
		// The request is applied as a whole, and its numbers have never been used before.
		u.o.States.delivered(onTheWay)
		u.session.announce(lane.epoch)
		return nil
	}
	lane.drop = func(context.Context, uint64) error { u.o.States.delivered(onTheWay); return nil }
	safety := time.NewTicker(safetyInterval)
	defer safety.Stop()
	u.deliver(ctx, loopState, lane, u.waits(longestOther), func() bool {
		epoch, _, changed := u.session.present()
		if epoch != lane.epoch {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-u.o.States.wake:
		case <-changed: // a new epoch: everything is announced again
		case <-safety.C:
		}
		return true
	})
}

// sendTelemetry delivers readings while no alerts wait.
func (u *Uplink) sendTelemetry(ctx context.Context) {
	lane := &lane{
		u: u, name: api.LaneTelemetry, client: u.bulk, limit: api.MaxBatchEvents,
		pace: pace{size: firstBatch, least: leastBatch, most: mostTelemetry, target: bulkTarget},
		delivered: func(ctx context.Context, committed uint64, _ []api.Refusal) error {
			return u.o.Store.TelemetryDelivered(ctx, committed)
		},
		drop: func(ctx context.Context, seq uint64) error { return u.o.Store.Drop(ctx, api.LaneTelemetry, seq) },
	}
	lane.fetch = func(ctx context.Context, limit, maxBytes int) ([]api.Event, error) {
		if !u.gate.pass(ctx) {
			return nil, ctx.Err()
		}
		return u.o.Store.Telemetry(ctx, limit, maxBytes)
	}
	u.deliver(ctx, loopTelemetry, lane, u.waits(longestOther), func() bool {
		u.report(loopTelemetry, nil)
		return retry.Sleep(ctx, u.o.Telemetry)
	})
}
