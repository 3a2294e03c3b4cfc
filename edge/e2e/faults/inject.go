package faults

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// all returns every kind of fault. Without disks that can be filled, those that need them are
// left out.
func all(disks bool) []fault {
	list := []fault{
		{"hub-kill", onHub, []string{"hub"}, restart(hubOf, (*node).kill)},
		{"hub-restart", onHub, []string{"hub"}, restart(hubOf, (*node).stop)},
		{"hub-stopped", onHub, []string{"hub"}, frozen(hubOf)},
		{"edge-kill", onEdge, []string{"process"}, restart(edgeOf, (*node).kill)},
		{"edge-restart", onEdge, []string{"process"}, restart(edgeOf, (*node).stop)},
		{"edge-stopped", onEdge, []string{"process"}, frozen(edgeOf)},
		{"edge-killed-repeatedly", onEdge, []string{"process"}, killRepeatedly},
		{"broker-kill", onOuter, []string{"broker"}, restart(brokerOf, (*node).kill)},
		{"broker-restart", onOuter, []string{"broker"}, restart(brokerOf, (*node).stop)},
		{"broker-stopped", onOuter, []string{"broker"}, frozen(brokerOf)},
		{"damage-incidents", onEdge, []string{"process", "disk"}, damage("incidents.db", overwrite)},
		{"damage-telemetry", onEdge, []string{"process", "disk"}, damage("telemetry.db", overwrite)},
		{"truncate-incidents", onEdge, []string{"process", "disk"}, damage("incidents.db", truncate)},
		{"truncate-telemetry", onEdge, []string{"process", "disk"}, damage("telemetry.db", truncate)},
		{"garbage-wal", onEdge, []string{"process", "disk"}, damage("*.db-wal", garbage)},
		{"garbage-wal-header", onEdge, []string{"process", "disk"}, damage("*.db-wal", garbageHeader)},
		{"wal-removed", onEdge, []string{"process", "disk"}, damage("*.db-wal", remove)},
		{"shm-removed", onEdge, []string{"process", "disk"}, damage("*.db-shm", remove)},
		{"shm-garbage", onEdge, []string{"process", "disk"}, damage("*.db-shm", garbage)},
		{"restore-older", onEdge, []string{"process", "disk"}, restoreOlder},
		{"hub-older", onHub, []string{"hub", "hub-disk"}, restoreHub},
		{"clone", onInner, []string{"process", "disk"}, clone},
		{"clock-ahead", onEdge, []string{"process"}, wrongClock(1)},
		{"clock-behind", onEdge, []string{"process"}, wrongClock(-1)},
		{"clock-jumps", onEdge, []string{"process"}, jumpingClock},
	}
	for m := Cut; m <= corrupt; m++ {
		list = append(list, fault{"line-" + m.String(), onEdge, []string{"line"}, faultyLine(m, func(s *site) *Line { return s.line })})
		// The broker's answers are its messages; and without TLS nobody can notice changed bits.
		if m != swallow && m != corrupt {
			list = append(list, fault{"mqtt-" + m.String(), onOuter, []string{"mqtt"}, faultyLine(m, func(s *site) *Line { return s.mqtt })})
		}
	}
	if disks {
		list = append(list,
			fault{"hub-disk-full", onHub, []string{"hub-disk"}, fullDisk(func(w *world, _ *site) *Disk { return w.hubDisk })},
			fault{"edge-disk-full", onEdge, []string{"disk"}, fullDisk(func(_ *world, s *site) *Disk { return s.disk })},
			fault{"edge-restart-disk-full", onEdge, []string{"process", "disk"}, restartFull(edgeOf, edgeDiskOf)},
			fault{"hub-restart-disk-full", onHub, []string{"hub", "hub-disk"}, restartFull(hubOf, hubDiskOf)},
		)
	}
	return list
}

func hubOf(w *world, _ *site) *node     { return w.hubNode }
func edgeOf(_ *world, s *site) *node    { return s.node }
func brokerOf(_ *world, s *site) *node  { return s.broker }
func hubDiskOf(w *world, _ *site) *Disk { return w.hubDisk }
func edgeDiskOf(_ *world, s *site) *Disk {
	return s.disk
}

type injector = func(context.Context, *world, *site, hold) error

// restart ends a program in some way and starts it again after a while.
func restart(of func(*world, *site) *node, end func(*node)) injector {
	return func(ctx context.Context, w *world, s *site, h hold) error {
		n := of(w, s)
		end(n)
		h.wait(ctx)
		return n.start()
	}
}

// killRepeatedly kills an edge several times while it starts.
func killRepeatedly(ctx context.Context, _ *world, s *site, h hold) error {
	for range 5 {
		s.node.kill()
		if err := s.node.start(); err != nil {
			return err
		}
		hold{h.Rand, time.Duration(h.IntN(300)) * time.Millisecond}.wait(ctx)
	}
	return nil
}

func frozen(of func(*world, *site) *node) injector {
	return func(ctx context.Context, w *world, s *site, h hold) error {
		n := of(w, s)
		if err := n.freeze(); err != nil {
			return err
		}
		h.wait(ctx)
		return n.thaw()
	}
}

func faultyLine(m Mode, of func(*site) *Line) injector {
	return func(ctx context.Context, _ *world, s *site, h hold) error {
		l := of(s)
		l.Set(m, false)
		h.wait(ctx)
		// A connection that stays dead is noticed by keep-alives only, after most of a minute.
		l.Set(Pass, h.IntN(4) != 0)
		return nil
	}
}

func fullDisk(of func(*world, *site) *Disk) injector {
	return func(ctx context.Context, w *world, s *site, h hold) error {
		d := of(w, s)
		err := d.Fill()
		h.wait(ctx)
		return errors.Join(err, d.Free())
	}
}

// restartFull stops a program, fills its disk, and starts it while there is no room.
func restartFull(of func(*world, *site) *node, disk func(*world, *site) *Disk) injector {
	return func(ctx context.Context, w *world, s *site, h hold) error {
		n, d := of(w, s), disk(w, s)
		if h.IntN(2) == 0 {
			n.stop()
		} else {
			n.kill()
		}
		if err := d.Fill(); err != nil {
			return errors.Join(err, d.Free(), n.start())
		}
		if err := n.start(); err != nil {
			return errors.Join(err, d.Free())
		}
		h.wait(ctx)
		if h.IntN(3) == 0 { // and once more, with what it did meanwhile
			n.stop()
			if err := n.start(); err != nil {
				return errors.Join(err, d.Free())
			}
			h.wait(ctx)
		}
		return d.Free()
	}
}

// wrongClock restarts an edge with a clock that is ahead or behind, and again with the right one.
func wrongClock(sign time.Duration) injector {
	return func(ctx context.Context, w *world, s *site, h hold) error {
		errors := []time.Duration{time.Minute, time.Hour, 20 * 24 * time.Hour, 400 * 24 * time.Hour, 3000 * 24 * time.Hour}
		return w.withClock(ctx, s, h, func(ctx context.Context) error {
			h.wait(ctx)
			return nil
		}, sign*errors[h.IntN(len(errors))])
	}
}

// jumpingClock lets the clock of a running edge jump.
func jumpingClock(ctx context.Context, w *world, s *site, h hold) error {
	return w.withClock(ctx, s, h, func(ctx context.Context) error {
		for range 3 {
			h.wait(ctx)
			if err := setClock(s.clock, time.Duration(h.IntN(1200)-600)*time.Hour); err != nil {
				return err
			}
		}
		h.wait(ctx)
		return nil
	}, 0)
}

// withClock runs the edge as a program whose clock can be set, while during runs.
func (w *world) withClock(ctx context.Context, s *site, h hold, during func(context.Context) error, first time.Duration) error {
	if w.skewed == "" {
		return fmt.Errorf("no program with another clock was built")
	}
	end := (*node).stop
	if h.IntN(2) == 0 {
		end = (*node).kill
	}
	end(s.node)
	if err := setClock(s.clock, first); err != nil {
		return errors.Join(err, s.node.start())
	}
	s.rig.Program, s.skewed = w.skewed, true
	if err := s.node.start(); err != nil {
		return err
	}
	err := during(ctx)
	end(s.node)
	s.rig.Program = ""
	return errors.Join(err, setClock(s.clock, 0), s.node.start())
}
