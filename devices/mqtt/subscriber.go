// Package mqtt subscribes to the topics of sensors at a broker, and publishes for simulated sensors.
//
// A message is acknowledged after its handler has returned without error, and not before: the
// broker stores what this process has not stored. While the handler fails, the same message is
// tried again and the broker holds back the rest.
//
// It is the only package that imports paho, which is used without its own reconnecting: a
// connection that is lost is followed by a new client on the same broker session. The package
// must import nothing of Gridpost but devices.
package mqtt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"gridpost/devices"
	"gridpost/devices/retry"
)

const (
	dialTimeout = 15 * time.Second // also of CONNACK, SUBACK and PUBACK
	keepAlive   = 30 * time.Second
	steadyAfter = 30 * time.Second // a connection that lasted so long resets the back-off
)

// newReconnect returns the waits between connections.
func newReconnect() *retry.Backoff {
	return retry.Policy{First: 500 * time.Millisecond, Longest: 30 * time.Second}.New()
}

// newRehandle returns the waits between attempts to handle a message.
func newRehandle() *retry.Backoff {
	return retry.Policy{First: time.Second, Longest: 30 * time.Second}.New()
}

// Options are what a Subscriber needs.
type Options struct {
	Server  Server
	Filters []string // MQTT topic filters

	// Handle stores a message; when it returns nil the message is acknowledged. It is called
	// from Run's goroutine, one message at a time, in the broker's order.
	Handle func(ctx context.Context, m devices.Message) error

	// OnState is called from Run's goroutine when the broker becomes usable or stops being
	// so, with the cause. It may be nil.
	OnState func(online bool, cause devices.Cause)

	Logger *slog.Logger
}

// Subscriber subscribes to a set of topics for as long as Run runs.
type Subscriber struct {
	o Options

	// The state that OnState was last called with; reported: it was called.
	online   bool
	cause    devices.Cause
	reported bool

	messages, dropped, tooLong, sessions atomic.Uint64
}

// Stats are the counters of a Subscriber.
type Stats struct {
	Messages uint64 // handled and acknowledged
	Dropped  uint64 // QoS 0, lost because the queue was full
	TooLong  uint64 // longer than devices.MaxMessage, acknowledged and dropped
	Sessions uint64 // connections that came to subscribe
}

// NewSubscriber checks o.
func NewSubscriber(o Options) (*Subscriber, error) {
	if o.Server.Address.Host == "" || o.Server.ClientID == "" || o.Handle == nil || len(o.Filters) == 0 {
		return nil, errors.New("a subscriber needs an address, a client ID, topics and a handler")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Subscriber{o: o}, nil
}

// Stats may be called at any time, from any goroutine.
func (s *Subscriber) Stats() Stats {
	return Stats{s.messages.Load(), s.dropped.Load(), s.tooLong.Load(), s.sessions.Load()}
}

// Run receives messages until ctx ends, through any number of connections, and returns nil.
func (s *Subscriber) Run(ctx context.Context) error {
	backoff := newReconnect()
	for {
		began := time.Now()
		err := s.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		s.report(false, s.o.Server.cause(err))
		if time.Since(began) > steadyAfter {
			backoff.Reset()
		}
		if !backoff.Wait(ctx) {
			return nil
		}
	}
}

// report passes a change of state on; the same state with another cause is a change.
func (s *Subscriber) report(online bool, cause devices.Cause) {
	if s.reported && s.online == online && s.cause.Equal(cause) {
		return
	}
	s.reported, s.online, s.cause = true, online, cause
	if online {
		s.o.Logger.Info("subscribed to sensors", "broker", s.o.Server.Address.Host, "topics", len(s.o.Filters))
	} else {
		s.o.Logger.Warn("no messages of sensors", "broker", s.o.Server.Address.Host, "cause", cause.Text)
	}
	if s.o.OnState != nil {
		s.o.OnState(online, cause)
	}
}

// session is one connection, from dialling to its end. It always returns an error.
func (s *Subscriber) session(ctx context.Context) error {
	q := newQueue()
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	dialing := &failure{}
	opts, err := options(ctx, s.o.Server, lost, dialing)
	if err != nil {
		return err
	}
	opts.SetCleanSession(false) // the broker keeps what comes while this edge is away
	opts.SetAutoAckDisabled(true)
	// The handler below never waits, so order costs nothing: a door's "closed" must not
	// overtake its "open". It also takes what the broker sends before it has seen SUBSCRIBE.
	opts.SetOrderMatters(true)
	opts.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { s.take(q, m) })

	c := paho.NewClient(opts)
	defer c.Disconnect(0)
	if err := await(ctx, c.Connect()); err != nil {
		return dialing.or(err)
	}
	if err := s.subscribe(ctx, c); err != nil {
		return err
	}
	s.sessions.Add(1)
	s.report(true, devices.Cause{})
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-q.overflow:
			return errors.New("more messages wait to be stored than can be held; starting again from the last one stored")
		case <-q.ready:
			if err := s.drain(ctx, q); err != nil {
				return err
			}
		}
	}
}

// take queues a message; it is called by paho and must not block.
func (s *Subscriber) take(q *queue, m paho.Message) {
	if len(m.Payload()) > devices.MaxMessage {
		if s.tooLong.Add(1) == 1 {
			s.o.Logger.Warn("a message is too long and is dropped; further ones are only counted",
				"broker", s.o.Server.Address.Host, "topic", m.Topic(), "bytes", len(m.Payload()), "limit", devices.MaxMessage)
		}
		q.push(queued{ack: m.Ack, skip: true})
		return
	}
	ok := q.push(queued{ack: m.Ack, message: devices.Message{
		Topic: m.Topic(), Payload: m.Payload(), Retained: m.Retained(), Durable: m.Qos() > 0, Received: time.Now(),
	}})
	if !ok && s.dropped.Add(1) == 1 {
		s.o.Logger.Warn("messages come faster than they can be stored; those of QoS 0 are dropped and counted", "broker", s.o.Server.Address.Host)
	}
}

// drain handles everything that is queued. It returns an error when ctx ends, which is when the
// connection is lost: nothing can be acknowledged any more, and the broker sends the rest again.
func (s *Subscriber) drain(ctx context.Context, q *queue) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e, ok := q.pop()
		if !ok {
			return nil
		}
		for backoff := newRehandle(); !e.skip; {
			err := s.o.Handle(ctx, e.message)
			if err == nil {
				s.messages.Add(1)
				break
			}
			if !e.message.Durable {
				s.dropped.Add(1)
				break
			}
			s.o.Logger.Warn("a message could not be stored; it is tried again and not acknowledged", "topic", e.message.Topic, "error", err)
			if !backoff.Wait(ctx) {
				return context.Cause(ctx)
			}
		}
		e.ack()
	}
}

// subscribe asks for all topics in one packet and looks at each answer: a broker that knows
// the session may still have lost its subscriptions.
func (s *Subscriber) subscribe(ctx context.Context, c paho.Client) error {
	filters := make(map[string]byte, len(s.o.Filters))
	for _, f := range s.o.Filters {
		filters[f] = 1
	}
	t := c.SubscribeMultiple(filters, nil)
	if err := await(ctx, t); err != nil {
		return fmt.Errorf("subscribing: %w", err)
	}
	st, ok := t.(*paho.SubscribeToken)
	if !ok {
		return errors.New("subscribing: no answer to read")
	}
	var refused []string
	for filter, code := range st.Result() {
		if code > 2 { // MQTT 3.1.1, section 3.9.3: 0x80 is failure
			refused = append(refused, filter)
		}
	}
	if len(refused) > 0 {
		sort.Strings(refused)
		return topicsRefused(strings.Join(refused, ", "))
	}
	return nil
}

// topicsRefused lists the topics that a broker does not let this edge subscribe to.
type topicsRefused string

// Error implements error.
func (t topicsRefused) Error() string { return "it refuses the topics " + string(t) }

// options are what subscriber and publisher have in common. lost is called with the reason when a
// connection that was established ends.
func options(ctx context.Context, at Server, lost context.CancelCauseFunc, dialing *failure) (*paho.ClientOptions, error) {
	open, err := at.opener(ctx, dialing)
	if err != nil {
		return nil, err
	}
	opts := paho.NewClientOptions()
	// The connection is opened by the function below. The address here only has to parse as a URL,
	// which that of an IPv6 zone does not.
	opts.AddBroker("tcp://broker")
	opts.SetClientID(at.ClientID).SetUsername(at.Username).SetPassword(at.Password)
	opts.SetProtocolVersion(4)
	opts.SetAutoReconnect(false).SetConnectRetry(false).SetResumeSubs(false)
	opts.SetKeepAlive(keepAlive).SetPingTimeout(10 * time.Second)
	opts.SetConnectTimeout(dialTimeout).SetWriteTimeout(dialTimeout)
	opts.SetConnectionLostHandler(func(_ paho.Client, err error) { lost(fmt.Errorf("connection lost: %w", err)) })
	opts.SetCustomOpenConnectionFn(open)
	return opts, nil
}

// await waits for a token or for the end of ctx, whichever comes first.
func await(ctx context.Context, t paho.Token) error {
	timeout := time.NewTimer(dialTimeout + time.Second)
	defer timeout.Stop()
	select {
	case <-t.Done():
		return t.Error()
	case <-timeout.C:
		return errors.New("no answer within 16 s")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
