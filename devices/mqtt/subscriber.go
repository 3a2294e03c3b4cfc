// Package mqtt hears sensors at a broker, and lets simulated sensors speak.
//
// A message is acknowledged after its handler has returned without error, and not before: the
// broker keeps what this process has not kept. While the handler fails, the same message is
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
	"math/rand/v2"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"gridpost/devices"
)

const (
	dialTimeout  = 15 * time.Second // also of CONNACK, SUBACK and PUBACK
	keepAlive    = 30 * time.Second
	minBackoff   = 500 * time.Millisecond
	maxBackoff   = 30 * time.Second
	steadyAfter  = 30 * time.Second // a connection that held so long starts the back-off anew
	handlerPause = time.Second      // first wait after a handler's error
)

// Options are what a Subscriber needs.
type Options struct {
	Server  Server
	Filters []string // MQTT topic filters

	// Handle keeps a message; when it returns nil the message is acknowledged. It is called
	// from Run's goroutine, one message at a time, in the broker's order.
	Handle func(ctx context.Context, m devices.Message) error

	// OnState is called from Run's goroutine when the broker becomes usable or stops being
	// so, with a cause in words. It may be nil.
	OnState func(online bool, cause string)

	Logger *slog.Logger
}

// Subscriber hears a set of topics for as long as Run runs.
type Subscriber struct {
	o  Options
	at endpoint

	online bool
	cause  string
	told   bool

	messages, dropped, tooLong, sessions atomic.Uint64
}

// Stats counts what a Subscriber has met.
type Stats struct {
	Messages uint64 // handled and acknowledged
	Dropped  uint64 // QoS 0, lost because the queue was full
	TooLong  uint64 // longer than devices.MaxMessage, acknowledged and thrown away
	Sessions uint64 // connections that came to subscribe
}

// NewSubscriber checks o.
func NewSubscriber(o Options) (*Subscriber, error) {
	at, err := o.Server.check()
	if err != nil {
		return nil, err
	}
	if o.Server.ClientID == "" || o.Handle == nil || len(o.Filters) == 0 {
		return nil, errors.New("a subscriber needs a client ID, topics and a handler")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Subscriber{o: o, at: at}, nil
}

// Stats may be called at any time, from any goroutine.
func (s *Subscriber) Stats() Stats {
	return Stats{s.messages.Load(), s.dropped.Load(), s.tooLong.Load(), s.sessions.Load()}
}

// Run hears the topics until ctx ends, through any number of connections, and returns nil.
func (s *Subscriber) Run(ctx context.Context) error {
	backoff := minBackoff
	for {
		began := time.Now()
		err := s.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		s.tell(false, s.at.words(err))
		if time.Since(began) > steadyAfter {
			backoff = minBackoff
		}
		if !pause(ctx, rand.N(backoff)+50*time.Millisecond) {
			return nil
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// tell passes a change of state on; the same state with another cause is a change.
func (s *Subscriber) tell(online bool, cause string) {
	if s.told && s.online == online && s.cause == cause {
		return
	}
	s.told, s.online, s.cause = true, online, cause
	if online {
		s.o.Logger.Info("hearing sensors", "broker", s.at.host, "topics", len(s.o.Filters))
	} else {
		s.o.Logger.Warn("not hearing sensors", "broker", s.at.host, "cause", cause)
	}
	if s.o.OnState != nil {
		s.o.OnState(online, cause)
	}
}

// session is one connection, from dialling to its end. It always returns an error.
func (s *Subscriber) session(ctx context.Context) error {
	q := newQueue()
	lost := make(chan error, 1)
	dialing := &failure{}
	opts := options(ctx, s.at, lost, dialing)
	opts.SetCleanSession(false) // the broker keeps what comes while this edge is away
	opts.SetAutoAckDisabled(true)
	// The handler below never waits, so order costs nothing: a door's "closed" must not
	// overtake its "open". It also takes what the broker sends before it has seen SUBSCRIBE.
	opts.SetOrderMatters(true)
	opts.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { s.take(q, m) })

	c := paho.NewClient(opts)
	defer c.Disconnect(0)
	if err := await(ctx, lost, c.Connect()); err != nil {
		return dialing.or(err)
	}
	if err := s.subscribe(ctx, c, lost); err != nil {
		return err
	}
	s.sessions.Add(1)
	s.tell(true, "")
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-lost:
			return fmt.Errorf("connection lost: %w", err)
		case <-q.overflow:
			return errors.New("more messages wait to be stored than can be held; starting again from the last one stored")
		case <-q.ready:
			if err := s.drain(ctx, q, lost); err != nil {
				return err
			}
		}
	}
}

// take queues a message; it is called by paho and must not block.
func (s *Subscriber) take(q *queue, m paho.Message) {
	if len(m.Payload()) > devices.MaxMessage {
		if s.tooLong.Add(1) == 1 {
			s.o.Logger.Warn("a message is too long and is thrown away; further ones are only counted",
				"broker", s.at.host, "topic", m.Topic(), "bytes", len(m.Payload()), "limit", devices.MaxMessage)
		}
		q.push(queued{ack: m.Ack, skip: true})
		return
	}
	ok := q.push(queued{ack: m.Ack, message: devices.Message{
		Topic: m.Topic(), Payload: m.Payload(), Retained: m.Retained(), Durable: m.Qos() > 0, Received: time.Now(),
	}})
	if !ok && s.dropped.Add(1) == 1 {
		s.o.Logger.Warn("messages come faster than they can be stored; those of QoS 0 are dropped and counted", "broker", s.at.host)
	}
}

// drain handles everything that is queued. It returns an error when the connection is not
// worth keeping.
func (s *Subscriber) drain(ctx context.Context, q *queue, lost chan error) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-lost: // acknowledging is over; the broker sends again what is left here
			return fmt.Errorf("connection lost: %w", err)
		default:
		}
		e, ok := q.pop()
		if !ok {
			return nil
		}
		for wait := handlerPause; !e.skip; wait = min(2*wait, maxBackoff) {
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
			select {
			case <-ctx.Done():
				return ctx.Err()
			case err := <-lost: // the broker sends it again
				return fmt.Errorf("connection lost: %w", err)
			case <-time.After(wait):
			}
		}
		e.ack()
	}
}

// subscribe asks for all topics in one packet and looks at each answer: a broker that knows
// the session may still have lost its subscriptions.
func (s *Subscriber) subscribe(ctx context.Context, c paho.Client, lost chan error) error {
	filters := make(map[string]byte, len(s.o.Filters))
	for _, f := range s.o.Filters {
		filters[f] = 1
	}
	t := c.SubscribeMultiple(filters, nil)
	if err := await(ctx, lost, t); err != nil {
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
		return fmt.Errorf("it refuses the topics %s", strings.Join(refused, ", "))
	}
	return nil
}

// options are what subscriber and publisher have in common.
func options(ctx context.Context, at endpoint, lost chan error, dialing *failure) *paho.ClientOptions {
	opts := paho.NewClientOptions()
	opts.AddBroker("tcp://" + at.host)
	opts.SetClientID(at.ClientID).SetUsername(at.Username).SetPassword(at.Password)
	opts.SetProtocolVersion(4)
	opts.SetAutoReconnect(false).SetConnectRetry(false).SetResumeSubs(false)
	opts.SetKeepAlive(keepAlive).SetPingTimeout(10 * time.Second)
	opts.SetConnectTimeout(dialTimeout).SetWriteTimeout(dialTimeout)
	opts.SetConnectionLostHandler(func(_ paho.Client, err error) {
		select {
		case lost <- err:
		default:
		}
	})
	opts.SetCustomOpenConnectionFn(at.opener(ctx, dialing))
	return opts
}

// await waits for a token, the connection's end or ctx's, whichever comes first.
func await(ctx context.Context, lost chan error, t paho.Token) error {
	timeout := time.NewTimer(dialTimeout + time.Second)
	defer timeout.Stop()
	select {
	case <-t.Done():
		return t.Error()
	case err := <-lost:
		lost <- err // whoever looks next must see it too; the channel has room for one
		return fmt.Errorf("connection lost: %w", err)
	case <-timeout.C:
		return errors.New("no answer within 16 s")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
