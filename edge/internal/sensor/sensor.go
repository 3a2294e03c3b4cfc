// Package sensor turns messages of sensors into readings, saves them, and judges them by the rules of
// each sensor.
package sensor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules"
	"gridpost/devices"
	"gridpost/devices/format"
	"gridpost/edge/internal/incidents"

	firmwareconfig "gridpost/firmware-config"
)

// Alerts saves alerts durably.
type Alerts interface {
	// Save returns nil when all alerts of the device that it was ever given are on the disk;
	// otherwise they are retried later.
	Save(ctx context.Context, device string, alerts []detection.Incident) error
}

// Memory saves durably what is pending: conditions of rules that hold, but not for long enough yet.
type Memory interface {
	// SavePending replaces what is pending of the device.
	SavePending(ctx context.Context, device string, all []detection.Pending) error
}

// Options are what a Sensor needs.
type Options struct {
	Config firmwareconfig.Sensor
	Inbox  *Inbox // of this sensor at the Intake
	Alerts Alerts
	Memory Memory

	// Newest is the newest reading of the sensor that was stored before the edge started, or nil, and
	// Pending is what was pending then. Both are for a sensor without Last.
	Newest  *devices.Reading
	Pending []detection.Pending

	// Open are incidents of the sensor that are open. It takes them over, and closes those of rules
	// that it does not have.
	Open []detection.Incident

	// Last is the sensor as it ran before its configuration changed; nil: it did not run. Rules that
	// have not changed go on where they stand.
	Last *Sensor

	// OnState is called when the sensor goes online or offline, with the cause. It must not block.
	OnState func(state devices.State, cause devices.Cause)

	// Broker returns why messages may not arrive, or no cause.
	Broker func() devices.Cause

	Logger *slog.Logger
}

// Sensor judges the readings of one sensor. Only Run's goroutine uses its rules.
type Sensor struct {
	o      Options
	engine *rules.Engine
	closed []detection.Incident // to be saved at the start
	saved  []detection.Pending  // as Memory has it
	dirty  bool                 // Memory may have something else than the rules

	forgetful bool // the last save failed, which was logged

	started time.Time
	last    time.Time // when the last message arrived; zero: none has
	offline bool      // the sensor said so, by its will or otherwise, and has not been heard of since

	mu      sync.Mutex
	stats   Stats
	trouble trouble // only Run's goroutine changes it
}

// Stats are the counters of a Sensor.
type Stats struct {
	Readings uint64          // judged since it was made
	Last     devices.Reading // zero: none yet
}

// New returns a Sensor. When its rules cannot be used it has none, and the error says why; its
// readings are saved all the same.
func New(o Options) (*Sensor, error) {
	engine, err := rules.NewEngine(o.Config.Name, o.Config.Rules, incidents.NewID)
	if err != nil {
		none, errNone := rules.NewEngine(o.Config.Name, nil, incidents.NewID)
		if errNone != nil {
			return nil, errNone
		}
		return &Sensor{o: o, engine: none}, err
	}
	// What was pending is saved again, with the time that it has held by now.
	s := &Sensor{o: o, engine: engine, saved: o.Pending, dirty: len(o.Pending) > 0}
	if o.Last != nil {
		s.engine = o.Last.engine
		if s.closed, err = s.engine.Reconfigure(o.Config.Rules, time.Now()); err != nil {
			return nil, err
		}
		s.last, s.offline, s.trouble = o.Last.last, o.Last.offline, o.Last.trouble
		s.saved, s.dirty = o.Last.saved, o.Last.dirty || len(o.Last.saved) > 0
		s.o.Last = nil
	}
	s.closed = append(s.closed, s.engine.Restore(o.Open, time.Now())...)
	if o.Last == nil {
		s.engine.Resume(o.Newest, o.Pending)
	}
	return s, nil
}

// Open returns the incidents that are open, after Run has returned or before it is called.
func (s *Sensor) Open() []detection.Incident { return s.engine.Open() }

// Stats may be called at any time, from any goroutine.
func (s *Sensor) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Problems returns what is wrong with what the sensor sends, although it is heard of. It may be called
// at any time, from any goroutine.
func (s *Sensor) Problems() []devices.Cause {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble.shown.IsZero() {
		return nil
	}
	return []devices.Cause{s.trouble.shown.With("device", s.o.Config.Name)}
}

// Run owns the sensor's rules until ctx ends.
func (s *Sensor) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	s.started = time.Now()
	_ = s.o.Alerts.Save(ctx, s.o.Config.Name, s.closed) // its failure is a problem of the edge
	s.tick(ctx, s.started)
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			s.tick(ctx, now)
		case j := <-s.o.Inbox.judgements:
			j.done <- s.judge(ctx, j)
		}
	}
}

// judge judges what a message says. It returns nil when all alerts of the sensor are on the disk, and
// all conditions that began: the message may be the only one that says so.
func (s *Sensor) judge(ctx context.Context, j judgement) error {
	var alerts []detection.Incident
	live := 0
	for _, reading := range j.readings {
		alerts = append(alerts, s.engine.Reading(reading, j.received)...)
		if reading.Historical {
			continue // the sensor has reported a newer one
		}
		live++
		s.mu.Lock()
		s.stats.Last = reading
		s.mu.Unlock()
	}
	heard := len(j.readings) > 0 || !j.problem.IsZero()
	if heard {
		s.mu.Lock()
		s.trouble.note(j.problem, time.Now())
		s.mu.Unlock()
	}
	if j.fresh && heard {
		if len(j.readings) == 0 { // it is not silent, although it is not understood
			alerts = append(alerts, s.engine.Activity(j.received)...)
		}
		s.last, s.offline = j.received, false
		s.o.OnState(devices.Online, s.trouble.shown)
	}
	s.connected(j.availability)
	if j.fresh && j.availability == format.Online {
		alerts = append(alerts, s.engine.Activity(j.received)...)
	}
	s.mu.Lock()
	s.stats.Readings += uint64(live)
	s.mu.Unlock()
	return errors.Join(s.o.Alerts.Save(ctx, s.o.Config.Name, alerts), s.remember(ctx, false))
}

// remember saves what is pending if a condition has begun since it was saved last. That one has ended is
// saved only if all is true: a message that ends a condition is stored, so that nothing resumes it.
func (s *Sensor) remember(ctx context.Context, all bool) error {
	pending := s.engine.Pending()
	began := slices.ContainsFunc(pending, func(p detection.Pending) bool { return !slices.ContainsFunc(s.saved, same(p)) })
	if s.dirty = s.dirty || began || len(pending) != len(s.saved); !s.dirty || !began && !all {
		return nil
	}
	if err := s.o.Memory.SavePending(context.WithoutCancel(ctx), s.o.Config.Name, pending); err != nil {
		return fmt.Errorf("saving what is pending of %s: %w", s.o.Config.Name, err)
	}
	s.saved, s.dirty = pending, false
	return nil
}

// same reports whether two conditions are one at different times.
func same(p detection.Pending) func(detection.Pending) bool {
	return func(q detection.Pending) bool {
		return p.Rule == q.Rule && p.Limit == q.Limit && p.First.Equal(q.First)
	}
}

// connected notes what the sensor says about its connection. A retained word counts too: it is its
// broker's latest.
func (s *Sensor) connected(a format.Availability) {
	switch a {
	case format.Online:
		s.offline = false
		s.o.OnState(devices.Online, s.trouble.shown)
	case format.Offline:
		s.offline = true
		s.o.OnState(devices.Offline, devices.NewCause("sensor_reported_offline"))
	}
}

// tick lets time pass for the rules and for the sensor's state. While the sensor is offline, time alone
// opens no incident by its last value.
func (s *Sensor) tick(ctx context.Context, now time.Time) {
	silent := s.silent(now)
	s.engine.SetOffline(s.offline || silent)
	if alerts := s.engine.Tick(now); len(alerts) > 0 {
		_ = s.o.Alerts.Save(ctx, s.o.Config.Name, alerts) // its failure is a problem of the edge
	}
	if err := s.remember(ctx, true); err != nil && !s.forgetful {
		s.o.Logger.Error("a restart would forget since when rules' conditions hold; it is retried every second", "device", s.o.Config.Name, "error", err)
		s.forgetful = true
	} else if err == nil {
		s.forgetful = false
	}
	if s.offline {
		return // it has said why it is silent
	}
	s.mu.Lock()
	news := s.trouble.show(now)
	s.mu.Unlock()
	if news && !silent && !s.last.IsZero() {
		s.o.OnState(devices.Online, s.trouble.shown)
	}
	if !silent {
		return
	}
	every, code := s.o.Config.Every, "sensor_silent"
	if s.last.IsZero() {
		code = "sensor_never_read"
	}
	cause := devices.NewCause(code, "every_seconds", devices.Seconds(every))
	if code == "sensor_silent" {
		cause = cause.With("seconds", devices.Seconds(3*every))
	}
	s.o.OnState(devices.Offline, cause.Because(s.o.Broker()))
}

// silent reports whether nothing has come for longer than the sensor's interval allows.
func (s *Sensor) silent(now time.Time) bool {
	every := s.o.Config.Every
	if every == 0 {
		return false // when it should publish is not known
	}
	since := s.last
	if since.IsZero() {
		since = s.started
	}
	return now.Sub(since) >= 3*every
}
