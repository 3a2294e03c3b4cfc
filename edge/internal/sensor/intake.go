package sensor

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gridpost/devices"
	"gridpost/devices/decode"

	firmwareconfig "gridpost/firmware-config"
)

// Readings saves readings durably.
type Readings interface {
	SaveReadings(ctx context.Context, readings []devices.Reading) error
}

// maxBatch bounds the messages whose readings are saved in one transaction.
const maxBatch = 500

// Intake receives the messages of all brokers. It survives changes of the set of sensors.
type Intake struct {
	readings Readings
	logger   *slog.Logger
	saves    chan save
	notSaved atomic.Uint64 // messages that could not be saved, and were not acknowledged

	mu      sync.Mutex
	sensors *sensors
	gone    decode.Stats // of earlier sets of sensors
	full    error        // why readings cannot be saved; nil: they can
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

// judgement is the readings of one sensor in one message.
type judgement struct {
	readings []devices.Reading // at least one
	received time.Time
	fresh    bool       // published just now, not retained by a broker
	done     chan error // room for one
}

// save is a message's readings on their way to Run.
type save struct {
	readings []devices.Reading
	done     chan error // room for one
}

// NewIntake returns an Intake without sensors.
func NewIntake(r Readings, logger *slog.Logger) *Intake {
	i := &Intake{readings: r, logger: logger, saves: make(chan save)}
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
			Device: doc.Name, Topic: doc.Topic, Value: doc.Value, Time: doc.Time, Unit: doc.Unit, Scale: doc.Scale,
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
	next.decoder = decode.New(decode.Options{Mappings: mappings, Logger: i.logger})
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
// they caused are on the disk, or when the message has none. It may be called concurrently.
//
// Alerts come first: when one cannot be saved the reading is not saved either, and the message that
// comes again stores it once.
func (i *Intake) Handle(ctx context.Context, m devices.Message) error {
	set := i.current()
	readings := set.decoder.Decode(m)
	if m.Retained {
		readings = set.fresh(readings, m)
	}
	if len(readings) == 0 {
		return nil
	}
	err := set.judge(ctx, readings, m)
	if err == nil {
		err = i.save(ctx, readings)
	}
	if err != nil {
		i.notSaved.Add(1)
	}
	return err
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

// judge passes each reading to its sensor and waits.
func (s *sensors) judge(ctx context.Context, readings []devices.Reading, m devices.Message) error {
	for _, r := range readings { // each is of another sensor
		inbox := s.inboxes[r.Device]
		j := judgement{readings: []devices.Reading{r}, received: m.Received, fresh: !m.Retained, done: make(chan error, 1)}
		select {
		case inbox.judgements <- j:
		case <-inbox.removed:
			continue
		case <-ctx.Done():
			return ctx.Err()
		}
		// The sensor answers whatever it has received.
		if err := <-j.done; err != nil {
			return err
		}
	}
	return nil
}

func (i *Intake) save(ctx context.Context, readings []devices.Reading) error {
	s := save{readings: readings, done: make(chan error, 1)}
	select {
	case i.saves <- s:
		return <-s.done
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run saves readings until ctx ends. It saves those of all messages that wait in one transaction, so
// that a slow disk makes batches and no queue.
func (i *Intake) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case first := <-i.saves:
			i.saveBatch(ctx, i.batch(first))
		}
	}
}

func (i *Intake) batch(first save) []save {
	batch := []save{first}
	for len(batch) < maxBatch {
		select {
		case s := <-i.saves:
			batch = append(batch, s)
		default:
			return batch
		}
	}
	return batch
}

func (i *Intake) saveBatch(ctx context.Context, batch []save) {
	var all []devices.Reading
	for _, s := range batch {
		all = append(all, s.readings...)
	}
	err := i.readings.SaveReadings(context.WithoutCancel(ctx), all)
	i.mu.Lock()
	i.full = err
	i.mu.Unlock()
	for _, s := range batch {
		s.done <- err
	}
}

// Problems returns why readings cannot be saved.
func (i *Intake) Problems() []devices.Cause {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.full == nil {
		return nil
	}
	return []devices.Cause{devices.NewCause("readings_not_stored").BecauseOf(i.full)}
}

// IntakeStats are the counters of an Intake.
type IntakeStats struct {
	decode.Stats
	NotSaved uint64 // messages that could not be saved, and were not acknowledged
}

// Stats may be called at any time, from any goroutine.
func (i *Intake) Stats() IntakeStats {
	i.mu.Lock()
	defer i.mu.Unlock()
	return IntakeStats{Stats: add(i.gone, i.sensors.decoder.Stats()), NotSaved: i.notSaved.Load()}
}

func add(a, b decode.Stats) decode.Stats {
	a.Readings += b.Readings
	a.Refused += b.Refused
	a.Unmatched += b.Unmatched
	a.WrongClock += b.WrongClock
	return a
}
