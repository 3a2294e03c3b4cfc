// Package sensor receives what sensors publish, saves the readings, and judges them by the sensors'
// rules.
package sensor

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules"
	"gridpost/devices"
	"gridpost/devices/broker"
	"gridpost/devices/decode"
	"gridpost/devices/mqtt"
	"gridpost/devices/retry"
	"gridpost/edge/internal/incidents"

	firmwareconfig "gridpost/firmware-config"
)

// Alerts saves alerts durably.
type Alerts interface {
	// Save returns nil when the alerts are on the disk; otherwise they are retried later.
	Save(ctx context.Context, alerts []detection.Incident) error
}

// Readings saves readings durably.
type Readings interface {
	SaveReadings(ctx context.Context, readings []devices.Reading) error
}

// Options are what Sensors need.
type Options struct {
	Document *firmwareconfig.Document
	Alerts   Alerts
	Readings Readings

	// OnState is called when a sensor goes online or offline, with the cause. It must not block.
	OnState func(device string, state devices.State, cause string)

	// Listening is called with the address of the embedded broker each time it has been bound.
	// It may be nil.
	Listening func(address string)

	Logger *slog.Logger
}

// Sensors are all sensors of an edge. Only Run's goroutine uses their rules.
type Sensors struct {
	o        Options
	decoder  *decode.Decoder
	engines  map[string]*rules.Engine
	docs     map[string]firmwareconfig.Sensor
	last     map[string]time.Time // when each sensor's last message arrived
	started  time.Time
	requests chan request

	subscribers []*mqtt.Subscriber
	broker      atomic.Pointer[broker.Broker]
	notSaved    atomic.Uint64 // messages that could not be saved, and were not acknowledged

	mu     sync.Mutex
	causes map[string]string // by broker: why it cannot be used; empty: it can
	full   string            // why readings cannot be saved; empty: they can
}

// request is a message's readings on their way to Run.
type request struct {
	readings []devices.Reading
	received time.Time
	fresh    bool       // published just now, not retained by a broker
	done     chan error // room for one
}

// maxBatch bounds the messages that are saved in one transaction.
const maxBatch = 500

// New returns the sensors of a document, and the alerts that close the open incidents of rules that
// they no longer have.
func New(o Options, open []detection.Incident, now time.Time) (*Sensors, []detection.Incident, error) {
	s := &Sensors{
		o: o, engines: map[string]*rules.Engine{}, docs: map[string]firmwareconfig.Sensor{},
		last: map[string]time.Time{}, started: now, requests: make(chan request), causes: map[string]string{},
	}
	var mappings []decode.Mapping
	var closed []detection.Incident
	for _, doc := range o.Document.Sensors {
		engine, err := rules.NewEngine(doc.Name, doc.Rules, incidents.NewID)
		if err != nil {
			return nil, nil, err
		}
		closed = append(closed, engine.Restore(open, now)...)
		s.engines[doc.Name], s.docs[doc.Name] = engine, doc
		mappings = append(mappings, decode.Mapping{
			Device: doc.Name, Topic: doc.Topic, Value: doc.Value, Time: doc.Time, Unit: doc.Unit, Scale: doc.Scale,
		})
	}
	s.decoder = decode.New(decode.Options{Mappings: mappings, Logger: o.Logger})
	return s, closed, s.subscribe()
}

// subscribe makes a subscriber for each outside broker.
func (s *Sensors) subscribe() error {
	doc := s.o.Document
	var filters []string
	for _, sensor := range doc.Sensors {
		filters = append(filters, sensor.Topic)
	}
	if len(filters) == 0 {
		return nil
	}
	for i, b := range doc.MQTT.Brokers {
		key := fmt.Sprintf("broker %d", i)
		sub, err := mqtt.NewSubscriber(mqtt.Options{
			// The same name after each start: the broker keeps what comes meanwhile under it.
			Server:  mqtt.Server{Address: b.URL, ClientID: "gridpost-" + doc.Edge, Username: b.Username, Password: b.Password, CA: b.CA},
			Filters: filters,
			Handle:  s.handle,
			OnState: func(_ bool, cause devices.Cause) { s.note(key, cause.Text) },
			Logger:  s.o.Logger,
		})
		if err != nil {
			return fmt.Errorf("mqtt.brokers[%d]: %w", i, err)
		}
		s.subscribers = append(s.subscribers, sub)
	}
	return nil
}

func (s *Sensors) note(key, cause string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.causes[key] = cause
}

// Inputs returns what receives messages, to be run beside Run.
func (s *Sensors) Inputs() []func(context.Context) error {
	var out []func(context.Context) error
	for _, sub := range s.subscribers {
		out = append(out, sub.Run)
	}
	if s.o.Document.MQTT.Listen != "" {
		out = append(out, s.runBroker)
	}
	return out
}

// runBroker runs the embedded broker. A port that is taken is a problem and is retried: the rest of
// the edge does not depend on it.
func (s *Sensors) runBroker(ctx context.Context) error {
	doc := s.o.Document.MQTT
	var users []broker.User
	for _, u := range doc.Users {
		users = append(users, broker.User{Name: u.Name, Password: u.Password, Topics: u.Topics})
	}
	for {
		b, err := broker.New(broker.Options{Listen: doc.Listen, Users: users, Handle: s.handle, Logger: s.o.Logger})
		if err == nil {
			s.note("listen", "")
			s.broker.Store(b)
			if s.o.Listening != nil {
				s.o.Listening(b.Addr())
			}
			return b.Run(ctx)
		}
		s.note("listen", err.Error())
		s.o.Logger.Error("the embedded broker cannot start; it is retried", "error", err)
		if !retry.Sleep(ctx, 5*time.Second) {
			return nil
		}
	}
}

// handle saves a message's readings and returns nil when they are on the disk, or when it has none.
func (s *Sensors) handle(ctx context.Context, m devices.Message) error {
	readings := s.decoder.Decode(m)
	if m.Retained {
		readings = s.current(readings, m)
	}
	if len(readings) == 0 {
		return nil
	}
	r := request{readings: readings, received: m.Received, fresh: !m.Retained, done: make(chan error, 1)}
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// current drops the readings of a retained message that may be of any age: those that carry no
// time of their own and will be published again soon. The last value of a switch still holds.
func (s *Sensors) current(readings []devices.Reading, m devices.Message) []devices.Reading {
	var out []devices.Reading
	for _, r := range readings {
		if !r.Time.Equal(m.Received) || s.docs[r.Device].Every == 0 {
			out = append(out, r)
		}
	}
	return out
}

// Run owns the sensors' rules, until ctx ends. It saves the messages that wait in one transaction, so
// that a slow disk makes batches and no queue.
func (s *Sensors) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	s.tick(ctx, time.Now())
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			s.tick(ctx, now)
		case first := <-s.requests:
			batch := []request{first}
			for more := true; more && len(batch) < maxBatch; {
				select {
				case r := <-s.requests:
					batch = append(batch, r)
				default:
					more = false
				}
			}
			s.take(ctx, batch)
		}
	}
}

func (s *Sensors) take(ctx context.Context, batch []request) {
	var all []devices.Reading
	for _, r := range batch {
		all = append(all, r.readings...)
	}
	err := s.o.Readings.SaveReadings(context.WithoutCancel(ctx), all)
	s.mu.Lock()
	s.full = ""
	if err != nil {
		s.full = err.Error()
	}
	s.mu.Unlock()
	for _, r := range batch {
		answer := err
		if err == nil {
			answer = s.judge(ctx, r)
		}
		if answer != nil {
			s.notSaved.Add(1)
		}
		r.done <- answer
	}
}

func (s *Sensors) judge(ctx context.Context, r request) error {
	var alerts []detection.Incident
	for _, reading := range r.readings {
		if r.fresh {
			s.last[reading.Device] = r.received
			s.o.OnState(reading.Device, devices.Online, "")
		}
		alerts = append(alerts, s.engines[reading.Device].Reading(reading)...)
	}
	return s.o.Alerts.Save(ctx, alerts)
}

// tick lets time pass for the rules and for the sensors' states.
func (s *Sensors) tick(ctx context.Context, now time.Time) {
	for name, engine := range s.engines {
		_ = s.o.Alerts.Save(ctx, engine.Tick(now)) // why not is in the edge's health
		every := s.docs[name].Every
		if every == 0 {
			continue // when it should publish is not known
		}
		last, ever := s.last[name]
		if !ever {
			last = s.started
		}
		silent := now.Sub(last)
		if silent < 3*every {
			continue
		}
		cause := fmt.Sprintf("no reading for more than %s, expected every %s", short(3*every), short(every))
		if !ever {
			cause = fmt.Sprintf("no reading since the edge started, expected every %s", short(every))
		}
		if broken := s.brokers(); len(broken) > 0 {
			cause += "; " + broken[0]
		}
		s.o.OnState(name, devices.Offline, cause)
	}
}

// brokers returns why brokers cannot be used.
func (s *Sensors) brokers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for i := range s.subscribers {
		if cause := s.causes[fmt.Sprintf("broker %d", i)]; cause != "" {
			out = append(out, cause)
		}
	}
	if cause := s.causes["listen"]; cause != "" {
		out = append(out, cause)
	}
	return out
}

// Problems returns why readings cannot be saved or received, worst first.
func (s *Sensors) Problems() []string {
	s.mu.Lock()
	full := s.full
	s.mu.Unlock()
	var out []string
	if full != "" {
		out = append(out, "readings cannot be kept and are not acknowledged: "+full)
	}
	return append(out, s.brokers()...)
}

// short writes a duration without its zero parts: 90s as 1m30s, 60s as 1m.
func short(d time.Duration) string {
	text := d.String()
	if d >= time.Minute && d%time.Minute == 0 {
		text = strings.TrimSuffix(text, "0s")
	}
	if d >= time.Hour && d%time.Hour == 0 {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Count adds the sensors' counters to n.
func (s *Sensors) Count(n map[string]uint64) {
	d := s.decoder.Stats()
	n["edge_readings_total"] = d.Readings
	n["edge_messages_refused_total"] = d.Refused
	n["edge_messages_unmatched_total"] = d.Unmatched
	n["edge_messages_not_kept_total"] = s.notSaved.Load()
	for _, sub := range s.subscribers {
		n["edge_messages_dropped_total"] += sub.Stats().Dropped
	}
	if b := s.broker.Load(); b != nil {
		st := b.Stats()
		n["edge_broker_refused_logins_total"] = st.RefusedLogins
		n["edge_broker_refused_topics_total"] = st.RefusedTopics
	}
}
