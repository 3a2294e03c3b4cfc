package sensor

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gridpost/devices"
	"gridpost/devices/decode"
	"gridpost/devices/format"

	firmwareconfig "gridpost/firmware-config"
)

// Readings saves readings durably.
type Readings interface {
	SaveReadings(ctx context.Context, readings []devices.Reading) error
}

// Intake receives the messages of all brokers. It survives changes of the set of sensors.
type Intake struct {
	logger *slog.Logger
	commit *committer

	mu      sync.Mutex
	sensors *sensors
	gone    decode.Stats // of earlier sets of sensors
}

// sensors is one set of sensors. It does not change.
type sensors struct {
	decoder *decode.Decoder
	every   map[string]time.Duration
	inboxes map[string]*Inbox
}

// Inbox passes the readings of one sensor from the Intake to the Sensor. It survives a restart of the
// sensor; meanwhile messages wait.
type Inbox struct {
	judgements chan judgement
	removed    chan struct{} // closed: the sensor is no longer in the set
}

// judgement is what one message says about one sensor: readings, whether it is connected, what is wrong.
type judgement struct {
	device       string
	readings     []devices.Reading   // none, and no availability: only whether the alerts of the sensor are saved
	availability format.Availability // empty: the message says nothing of it
	problem      devices.Cause       // the message was not understood, or something else is wrong with it; zero: nothing
	received     time.Time
	fresh        bool       // published just now, not retained by a broker
	done         chan error // room for one
}

// NewIntake returns an Intake without sensors.
func NewIntake(r Readings, logger *slog.Logger) *Intake {
	i := &Intake{logger: logger, commit: newCommitter(r, logger)}
	i.sensors = &sensors{decoder: decode.New(decode.Options{Logger: logger})}
	return i
}

// SetSensors replaces the set of sensors. Messages for those that are not in it any more are unmatched
// from now on.
func (i *Intake) SetSensors(docs []firmwareconfig.Sensor) {
	i.mu.Lock()
	defer i.mu.Unlock()
	old := i.sensors
	next := &sensors{every: map[string]time.Duration{}, inboxes: map[string]*Inbox{}}
	var mappings []decode.Mapping
	for _, doc := range docs {
		mappings = append(mappings, decode.Mapping{
			Device: doc.Name, Source: doc.Broker, Format: doc.Format, Topic: doc.Topic, Availability: doc.Availability,
			ValueMapping: doc.ValueMapping,
		})
		next.every[doc.Name] = doc.Every
		next.inboxes[doc.Name] = old.inboxes[doc.Name]
		if next.inboxes[doc.Name] == nil {
			next.inboxes[doc.Name] = &Inbox{judgements: make(chan judgement), removed: make(chan struct{})}
		}
	}
	for name, inbox := range old.inboxes {
		if next.inboxes[name] == nil {
			close(inbox.removed)
		}
	}
	next.decoder = decode.New(decode.Options{Mappings: mappings, Last: old.decoder, Logger: i.logger})
	i.gone = add(i.gone, old.decoder.Stats())
	i.sensors = next
}

// Inbox returns the inbox of a sensor of the set.
func (i *Intake) Inbox(name string) *Inbox { return i.current().inboxes[name] }

func (i *Intake) current() *sensors {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.sensors
}

// Handle judges and saves the readings of a message. It returns nil when they and the alerts that
// they caused are on the disk, or when the message has none. It tries once, and may be called concurrently.
func (i *Intake) Handle(ctx context.Context, m devices.Message) error {
	done := make(chan error, 1)
	i.submit(m, &item{ctx: ctx, once: true, done: func(err error) { done <- err }})
	return <-done
}

// Submit judges the readings of a message and saves them; it is a devices.Store. It may be called
// concurrently. It returns when they are judged, and calls done when they and the alerts that they caused
// are on the disk. What cannot be saved is tried again until ctx ends.
//
// Alerts come first: when one cannot be saved the reading is not saved either, and the message that
// comes again after a crash stores it once.
func (i *Intake) Submit(ctx context.Context, m devices.Message, done func(error)) {
	i.submit(m, &item{ctx: ctx, done: done})
}

func (i *Intake) submit(m devices.Message, t *item) {
	t.size, t.durable = len(m.Payload), m.Durable
	if err := i.commit.enter(t.ctx, t.size); err != nil {
		t.done(err)
		return
	}
	set := i.current()
	decoded := set.decoder.Decode(m)
	if m.Retained {
		decoded.Readings = set.fresh(decoded.Readings, m)
	}
	t.readings = decoded.Readings
	waits, err := set.judge(t.ctx, decoded, m)
	if err != nil {
		i.commit.count(t)
		if t.once || t.ctx.Err() != nil {
			i.commit.finish(t, err)
			return
		}
	}
	t.waits = waits
	i.commit.add(t)
}

// fresh drops the readings of a retained message that may be of any age: those that carry no time of
// their own and will be published again soon. The last value of a switch still holds.
func (s *sensors) fresh(readings []devices.Reading, m devices.Message) []devices.Reading {
	var out []devices.Reading
	for _, r := range readings {
		if !r.Time.Equal(m.Received) || s.every[r.Device] == 0 {
			out = append(out, r)
		}
	}
	return out
}

// judge passes what a message says to each sensor and waits. It returns the sensors whose alerts could not
// be saved.
func (s *sensors) judge(ctx context.Context, decoded decode.Decoded, m devices.Message) (waits []*Inbox, err error) {
	for _, j := range judgements(decoded, m) {
		inbox := s.inboxes[j.device]
		if e := inbox.pass(ctx, j); e != nil {
			waits, err = append(waits, inbox), e
		}
	}
	return waits, err
}

// judgements returns what a message says, by sensor.
func judgements(decoded decode.Decoded, m devices.Message) []judgement {
	var all []judgement
	of := func(device string) *judgement {
		for i := range all {
			if all[i].device == device {
				return &all[i]
			}
		}
		all = append(all, judgement{device: device, received: m.Received, fresh: !m.Retained, done: make(chan error, 1)})
		return &all[len(all)-1]
	}
	for _, r := range decoded.Readings {
		j := of(r.Device)
		j.readings = append(j.readings, r)
	}
	for _, st := range decoded.States {
		of(st.Device).availability = st.Availability
	}
	for _, p := range decoded.Problems {
		of(p.Device).problem = p.Cause
	}
	return all
}

// pass passes a judgement to the sensor and waits. A sensor that was removed has nothing to wait for.
func (in *Inbox) pass(ctx context.Context, j judgement) error {
	select {
	case in.judgements <- j:
		return <-j.done // the sensor answers whatever it has received
	case <-in.removed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run saves readings until ctx ends.
func (i *Intake) Run(ctx context.Context) error { return i.commit.run(ctx) }

// Problems returns why readings cannot be saved.
func (i *Intake) Problems() []devices.Cause { return i.commit.problems() }

// IntakeStats are the counters of an Intake.
type IntakeStats struct {
	decode.Stats
	NotSaved uint64 // messages that could not be saved, and were not acknowledged
}

// Stats may be called at any time, from any goroutine.
func (i *Intake) Stats() IntakeStats {
	i.mu.Lock()
	defer i.mu.Unlock()
	return IntakeStats{Stats: add(i.gone, i.sensors.decoder.Stats()), NotSaved: i.commit.notSaved.Load()}
}

func add(a, b decode.Stats) decode.Stats {
	a.Readings += b.Readings
	a.Refused += b.Refused
	a.Unmatched += b.Unmatched
	a.WrongClock += b.WrongClock
	return a
}
