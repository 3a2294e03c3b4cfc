package app

import (
	"context"
	"fmt"
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

	firmwareconfig "gridpost/firmware-config"
)

// sensors takes what sensors publish, keeps it, and judges it. Its rules are touched by run's
// goroutine only.
type sensors struct {
	edge     *edge
	decoder  *decode.Decoder
	engines  map[string]*rules.Engine
	docs     map[string]firmwareconfig.Sensor
	heard    map[string]time.Time // when each sensor last spoke, by arrival
	started  time.Time
	requests chan request

	subscribers []*mqtt.Subscriber
	broker      atomic.Pointer[broker.Broker]
	notKept     atomic.Uint64 // messages that could not be kept, and were not acknowledged

	mu     sync.Mutex
	causes map[string]string // by broker: why it is not heard; empty: it is
	full   string            // why readings cannot be kept; empty: they can
}

// request is a message's readings on their way to run.
type request struct {
	readings []devices.Reading
	received time.Time
	fresh    bool       // it was said just now, not kept by a broker from before
	done     chan error // room for one
}

// maxBatch bounds the messages that are kept in one transaction.
const maxBatch = 500

func newSensors(e *edge, open []detection.Incident, now time.Time) (*sensors, []detection.Incident, error) {
	s := &sensors{
		edge: e, engines: map[string]*rules.Engine{}, docs: map[string]firmwareconfig.Sensor{},
		heard: map[string]time.Time{}, started: now, requests: make(chan request), causes: map[string]string{},
	}
	var mappings []decode.Mapping
	var closed []detection.Incident
	for _, doc := range e.o.Document.Sensors {
		engine, err := rules.NewEngine(doc.Name, doc.Rules, newID)
		if err != nil {
			return nil, nil, err
		}
		closed = append(closed, engine.Restore(open, now)...)
		s.engines[doc.Name], s.docs[doc.Name] = engine, doc
		mappings = append(mappings, decode.Mapping{
			Device: doc.Name, Topic: doc.Topic, Value: doc.Value, Time: doc.Time, Unit: doc.Unit, Scale: doc.Scale,
		})
	}
	var err error
	if s.decoder, err = decode.New(decode.Options{Mappings: mappings, Logger: e.o.Logger}); err != nil {
		return nil, nil, err
	}
	return s, closed, s.subscribe()
}

// subscribe makes a subscriber for each broker elsewhere.
func (s *sensors) subscribe() error {
	doc := s.edge.o.Document
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
			Server:  mqtt.Server{URL: b.URL, ClientID: "gridpost-" + doc.Edge, Username: b.Username, Password: b.Password, CA: b.CA},
			Filters: filters,
			Handle:  s.handle,
			OnState: func(_ bool, cause string) { s.note(key, cause) },
			Logger:  s.edge.o.Logger,
		})
		if err != nil {
			return fmt.Errorf("mqtt.brokers[%d]: %w", i, err)
		}
		s.subscribers = append(s.subscribers, sub)
	}
	return nil
}

func (s *sensors) note(key, cause string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.causes[key] = cause
}

// hear starts what brings messages in.
func (s *sensors) hear(st *stage) {
	for _, sub := range s.subscribers {
		st.Go(sub.Run)
	}
	if s.edge.o.Document.MQTT.Listen != "" {
		st.Go(s.runBroker)
	}
}

// runBroker runs the embedded broker. A port that is taken is said and tried again: the rest
// of the edge does not depend on it.
func (s *sensors) runBroker(ctx context.Context) error {
	doc := s.edge.o.Document.MQTT
	var users []broker.User
	for _, u := range doc.Users {
		users = append(users, broker.User{Name: u.Name, Password: u.Password, Topics: u.Topics})
	}
	for {
		b, err := broker.New(broker.Options{Listen: doc.Listen, Users: users, Handle: s.handle, Logger: s.edge.o.Logger})
		if err == nil {
			s.note("listen", "")
			s.broker.Store(b)
			if s.edge.o.Listening != nil {
				s.edge.o.Listening(b.Addr())
			}
			return b.Run(ctx)
		}
		s.note("listen", err.Error())
		s.edge.o.Logger.Error("the embedded broker cannot start; it is tried again", "error", err)
		if !sleep(ctx, 5*time.Second) {
			return nil
		}
	}
}

// handle keeps a message's readings and returns nil when they are on the disk, or when there
// is nothing in it to keep.
func (s *sensors) handle(ctx context.Context, m devices.Message) error {
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

// current drops the readings of a retained message that may be of any age: those that carry
// no time of their own and will be said again soon. What a switch said last still holds.
func (s *sensors) current(readings []devices.Reading, m devices.Message) []devices.Reading {
	var out []devices.Reading
	for _, r := range readings {
		if !r.Time.Equal(m.Received) || s.docs[r.Device].Every == 0 {
			out = append(out, r)
		}
	}
	return out
}

// run owns the sensors' rules. It takes messages together as they come and keeps them in one
// transaction, so that a slow disk makes batches and no queue.
func (s *sensors) run(ctx context.Context) error {
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

func (s *sensors) take(ctx context.Context, batch []request) {
	var all []devices.Reading
	for _, r := range batch {
		all = append(all, r.readings...)
	}
	err := s.edge.store.SaveReadings(context.WithoutCancel(ctx), all)
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
			s.notKept.Add(1)
		}
		r.done <- answer
	}
}

func (s *sensors) judge(ctx context.Context, r request) error {
	var alerts []detection.Incident
	for _, reading := range r.readings {
		if r.fresh {
			s.heard[reading.Device] = r.received
			s.edge.board.set(reading.Device, devices.Online, "")
		}
		alerts = append(alerts, s.engines[reading.Device].Reading(reading)...)
	}
	return s.edge.sink.save(ctx, alerts)
}

// tick lets time pass for the rules and for the sensors' states.
func (s *sensors) tick(ctx context.Context, now time.Time) {
	for name, engine := range s.engines {
		_ = s.edge.sink.save(ctx, engine.Tick(now)) // why not is in the edge's health
		every := s.docs[name].Every
		if every == 0 {
			continue // nobody can say when it should have spoken
		}
		last, ever := s.heard[name]
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
		s.edge.board.set(name, devices.Offline, cause)
	}
}

// brokers returns what is wrong with the ways to the sensors, in words.
func (s *sensors) brokers() []string {
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

// problems returns what is wrong with keeping and hearing readings, in words, worst first.
func (s *sensors) problems() []string {
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
