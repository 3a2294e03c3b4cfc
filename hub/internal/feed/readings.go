package feed

import (
	"context"
	"fmt"
	"time"
)

// maxDevices bounds the devices of one event round; the others follow in the next.
const maxDevices = 1000

// pace decides which devices have an event now: at most one for each device and interval.
type pace struct {
	interval time.Duration
	sent     map[Device]sent      // of the last interval
	waiting  map[Device]time.Time // devices with a newer reading, and when the hub received it
}

type sent struct{ at, received time.Time }

func newPace(interval time.Duration) *pace {
	return &pace{interval: interval, sent: map[Device]sent{}, waiting: map[Device]time.Time{}}
}

// add notes newer readings. Readings that it knows already change nothing.
func (p *pace) add(all []Received) {
	for _, r := range all {
		if last, ok := p.sent[r.Device]; !ok || r.At.After(last.received) {
			p.waiting[r.Device] = r.At
		}
	}
}

// take returns the devices whose event is due, limit at most, and forgets those that have been silent for
// long enough that their readings are not returned again.
func (p *pace) take(now time.Time, limit int) []Device {
	for d, s := range p.sent {
		if now.Sub(s.at) > 10*p.interval {
			delete(p.sent, d)
		}
	}
	var due []Device
	for d, received := range p.waiting {
		if len(due) == limit {
			break
		}
		if last, ok := p.sent[d]; ok && now.Sub(last.at) < p.interval {
			continue
		}
		due = append(due, d)
		p.sent[d] = sent{at: now, received: received}
		delete(p.waiting, d)
	}
	return due
}

// poll asks for new readings until ctx ends, and hands over the devices whose event is due. The
// telemetry may be slow; the tail itself does not wait for it.
func (t *Tail) poll(ctx context.Context, changed chan<- []Device) {
	if t.o.Devices == nil {
		return
	}
	tick := time.NewTicker(t.o.Poll)
	defer tick.Stop()
	p := newPace(t.o.Interval)
	failing := false
	for {
		all, err := t.o.Devices.Changed(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			t.o.Logger.Error("reading new readings for the live stream", "error", err)
		}
		failing = err != nil
		p.add(all)
		if due := p.take(time.Now(), maxDevices); len(due) > 0 {
			select {
			case changed <- due:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// readings appends an event for each device. They are read here, by the goroutine that also appends the
// durable entries, so that no event is older than a durable entry before it.
func (t *Tail) readings(ctx context.Context, of []Device) error {
	t.mu.Lock()
	idle := !t.running || t.stats.Readers == 0
	t.mu.Unlock()
	if idle {
		return nil
	}
	all, err := t.o.Devices.Present(ctx, of)
	if err != nil {
		return fmt.Errorf("reading %d devices: %w", len(of), err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range all {
		t.push(Entry{Kind: KindDevice, Site: d.Site, Text: fmt.Appendf(nil, "event: %s\ndata: %s\n\n", KindDevice, d.Data)})
	}
	t.stats.Readings += uint64(len(all))
	t.trim()
	close(t.wake)
	t.wake = make(chan struct{})
	return nil
}
