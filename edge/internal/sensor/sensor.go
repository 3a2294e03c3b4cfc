// Package sensor turns messages of sensors into readings, saves them, and judges them by the rules of
// each sensor.
package sensor

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules"
	"gridpost/devices"
	"gridpost/edge/internal/incidents"

	firmwareconfig "gridpost/firmware-config"
)

// Alerts saves alerts durably.
type Alerts interface {
	// Save returns nil when all alerts of the device that it was ever given are on the disk;
	// otherwise they are retried later.
	Save(ctx context.Context, device string, alerts []detection.Incident) error
}

// Options are what a Sensor needs.
type Options struct {
	Config firmwareconfig.Sensor
	Inbox  *Inbox // of this sensor at the Intake
	Alerts Alerts

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

	started time.Time
	last    time.Time // when the last message arrived; zero: none has

	mu    sync.Mutex
	stats Stats
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
	s := &Sensor{o: o, engine: engine}
	if o.Last != nil {
		s.engine = o.Last.engine
		if s.closed, err = s.engine.Reconfigure(o.Config.Rules, time.Now()); err != nil {
			return nil, err
		}
		s.last = o.Last.last
		s.o.Last = nil
	}
	s.closed = append(s.closed, s.engine.Restore(o.Open, time.Now())...)
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

// judge judges a message's readings. It returns nil when all alerts of the sensor are on the disk.
func (s *Sensor) judge(ctx context.Context, j judgement) error {
	var alerts []detection.Incident
	for _, reading := range j.readings {
		alerts = append(alerts, s.engine.Reading(reading)...)
	}
	if j.fresh {
		s.last = j.received
		s.o.OnState(devices.Online, devices.Cause{})
	}
	s.mu.Lock()
	s.stats.Readings += uint64(len(j.readings))
	s.stats.Last = j.readings[len(j.readings)-1]
	s.mu.Unlock()
	return s.o.Alerts.Save(ctx, s.o.Config.Name, alerts)
}

// tick lets time pass for the rules and for the sensor's state.
func (s *Sensor) tick(ctx context.Context, now time.Time) {
	if alerts := s.engine.Tick(now); len(alerts) > 0 {
		_ = s.o.Alerts.Save(ctx, s.o.Config.Name, alerts) // its failure is a problem of the edge
	}
	every := s.o.Config.Every
	if every == 0 {
		return // when it should publish is not known
	}
	since, code := s.last, "sensor_silent"
	if s.last.IsZero() {
		since, code = s.started, "sensor_never_read"
	}
	if now.Sub(since) < 3*every {
		return
	}
	cause := devices.NewCause(code, "every_seconds", devices.Seconds(every))
	if code == "sensor_silent" {
		cause = cause.With("seconds", devices.Seconds(3*every))
	}
	s.o.OnState(devices.Offline, cause.Because(s.o.Broker()))
}
