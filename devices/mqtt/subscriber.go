// Package mqtt subscribes to the topics of sensors at a broker, and publishes for simulated sensors.
//
// A message is acknowledged after it has been stored, and not before: the broker keeps what this process
// has not stored. Many messages may be on their way at once; their acknowledgements go out in the order of
// the messages. Nothing that the broker would send again ends the connection: what is too long or invalid
// is acknowledged, dropped and counted.
//
// It is the only package that imports paho, which is used without its own reconnecting: a
// connection that is lost is followed by a new client on the same broker session. Messages do not go
// through paho; see conn. The package must import nothing of Gridpost but devices.
package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"gridpost/devices"
	"gridpost/devices/retry"
)

const (
	dialTimeout = 15 * time.Second // also of CONNACK, SUBACK, PUBACK and of each write
	keepAlive   = 30 * time.Second
	steadyAfter = 30 * time.Second // a connection that lasted so long resets the back-off
)

// newReconnect returns the waits between connections.
func newReconnect() *retry.Backoff {
	return retry.Policy{First: 500 * time.Millisecond, Longest: 30 * time.Second}.New()
}

// Another client with the same client ID shows by connections that the broker ends soon after they have been
// made. After so many in a row, connections are made so rarely that both clients work most of the time.
const takeovers = 3

func newTakeoverWait() *retry.Backoff {
	return retry.Policy{First: time.Minute, Longest: 5 * time.Minute}.New()
}

// Memory keeps the filters that the broker may have of this client, over restarts: what left the site
// document while the edge did not run must be unsubscribed from all the same.
type Memory interface {
	Load() ([]string, error)
	Save(filters []string) error
}

// Options are what a Subscriber needs.
type Options struct {
	Server  Server
	Source  string   // in devices.Message.Source
	Filters []string // MQTT topic filters; none: the session at the broker is removed, if there may be one
	Long    []string // filters of topics on which messages of up to devices.MaxLongMessage are expected

	// Handle stores messages. It is called from one goroutine at a time, in the broker's order.
	Handle devices.Store

	// OnState is called from Run's goroutine when the broker becomes usable or stops being
	// so, with the cause. It may be nil.
	OnState func(online bool, cause devices.Cause)

	// OnRefused is called from Run's goroutine with the filters that the broker refuses, sorted, when all have
	// been asked for and when they change. It may be nil.
	OnRefused func(filters []string)

	Memory Memory // may be nil

	// Passing says that the broker keeps nothing for this client once the connection has ended: no subscriptions,
	// and no messages.
	Passing bool

	Logger *slog.Logger
}

// Subscriber subscribes to a set of topics for as long as Run runs.
type Subscriber struct {
	o      Options
	recent *devices.Recent

	// Only Run's goroutine uses these.
	online    bool // the state that OnState was last called with; reported: it was called
	cause     devices.Cause
	reported  bool
	filters   *filters
	deaf      []string // that OnRefused was last called with; asked: it was called
	asked     bool
	takeovers int // connections in a row that the broker ended soon

	messages, dropped, tooLong, malformed, sessions atomic.Uint64
}

// Stats are the counters of a Subscriber.
type Stats struct {
	Messages  uint64 // stored
	Dropped   uint64 // QoS 0, not stored
	TooLong   uint64 // acknowledged and dropped
	Malformed uint64 // acknowledged as far as possible, and dropped
	Sessions  uint64 // connections that came to subscribe
}

// Messages that went wrong are a problem for an hour after the last one.
const (
	recentFor  = time.Hour
	recentMost = 8
)

// NewSubscriber checks o.
func NewSubscriber(o Options) (*Subscriber, error) {
	if o.Server.Address.Host == "" || o.Server.ClientID == "" || o.Handle == nil || len(o.Filters) == 0 && o.Memory == nil {
		return nil, errors.New("a subscriber needs an address, a client ID, topics and a handler")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnState == nil {
		o.OnState = func(bool, devices.Cause) {}
	}
	if o.OnRefused == nil {
		o.OnRefused = func([]string) {}
	}
	return &Subscriber{o: o, recent: devices.NewRecent(recentFor, recentMost), filters: newFilters(o.Filters)}, nil
}

// Stats may be called at any time, from any goroutine.
func (s *Subscriber) Stats() Stats {
	return Stats{s.messages.Load(), s.dropped.Load(), s.tooLong.Load(), s.malformed.Load(), s.sessions.Load()}
}

// Problems returns what was wrong with messages lately. It may be called from any goroutine.
func (s *Subscriber) Problems() []devices.Cause { return s.recent.Causes() }

// trouble notes what was wrong with a message, and logs the first of its kind.
func (s *Subscriber) trouble(key string, cause devices.Cause) {
	if s.recent.Add(key, cause) {
		s.o.Logger.Warn("a message is dropped; further ones are only counted", "cause", cause.Text)
	}
}

// name is how messages name the broker.
func (s *Subscriber) name() string { return s.o.Server.Address.Host }

// Run receives messages until ctx ends, through any number of connections, and returns nil.
func (s *Subscriber) Run(ctx context.Context) error {
	backoff, takeover := newReconnect(), newTakeoverWait()
	for {
		began := time.Now()
		var err error
		if len(s.o.Filters) > 0 {
			err = s.session(ctx)
		} else if err = s.forget(ctx); err == nil {
			<-ctx.Done()
		}
		if ctx.Err() != nil {
			return nil
		}
		steady := time.Since(began) > steadyAfter
		if steady {
			backoff.Reset()
			takeover.Reset()
		}
		wait := backoff
		if s.takenOver(err, steady) {
			err, wait = errClientIDInUse, takeover
		}
		s.report(false, s.o.Server.cause(err))
		if !wait.Wait(ctx) {
			return nil
		}
	}
}

// errEnded is wrapped by the error of a session that came to subscribe.
var errEnded = errors.New("connection lost")

// takenOver notes how a session ended, and reports whether another client seems to have the same client ID.
func (s *Subscriber) takenOver(err error, steady bool) bool {
	byBroker := errors.Is(err, errEnded) && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE))
	if steady || !byBroker {
		s.takeovers = 0
		return false
	}
	s.takeovers++
	return s.takeovers >= takeovers
}

// report passes a change of state on; the same state with another cause is a change.
func (s *Subscriber) report(online bool, cause devices.Cause) {
	if s.reported && s.online == online && s.cause.Equal(cause) {
		return
	}
	s.reported, s.online, s.cause = true, online, cause
	if online {
		s.o.Logger.Info("subscribed to sensors", "broker", s.name(), "topics", len(s.o.Filters))
	} else {
		s.o.Logger.Warn("no messages of sensors", "broker", s.name(), "cause", cause.Text)
	}
	s.o.OnState(online, cause)
}

// session is one connection, from dialling to its end. It always returns an error.
func (s *Subscriber) session(parent context.Context) error {
	in := newInbox(s)
	ctx, lost := context.WithCancelCause(parent)
	defer lost(nil)
	dialing := &failure{}
	opts, err := options(ctx, s.o.Server, lost, dialing, in)
	if err != nil {
		return err
	}
	opts.SetCleanSession(s.o.Passing) // else the broker keeps what comes while this edge is away

	c := paho.NewClient(opts)
	defer c.Disconnect(0)
	connecting := c.Connect()
	if err := await(ctx, connecting); err != nil {
		return dialing.or(fmt.Errorf("%w: %w", errUnanswered, err))
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer lost(nil) // before waiting
	running.Go(func() { in.handle(ctx, lost) })
	running.Go(func() { in.acknowledge(ctx, lost) })

	if err := s.subscribe(ctx, &subscription{client: c, conn: in.conn.Load()}); err != nil {
		return err
	}
	s.sessions.Add(1)
	return fmt.Errorf("%w: %w", errEnded, s.stay(ctx, &subscription{client: c, conn: in.conn.Load()}))
}

// stay waits for the end of a connection, and asks for refused filters again from time to time.
func (s *Subscriber) stay(ctx context.Context, sub *subscription) error {
	steady := time.NewTimer(steadyAfter)
	defer steady.Stop()
	if s.takeovers < takeovers {
		s.report(true, devices.Cause{})
	}
	for {
		again := time.NewTimer(s.filters.wait(time.Now()))
		select {
		case <-ctx.Done():
			again.Stop()
			return context.Cause(ctx)
		case <-steady.C:
			s.report(true, devices.Cause{})
		case <-again.C:
			if err := s.subscribe(ctx, sub); err != nil {
				return err
			}
		}
		again.Stop()
	}
}

// forget removes the session that the broker may have of this client, with its queue: no sensor is at the
// broker any more.
func (s *Subscriber) forget(ctx context.Context) error {
	known, err := s.o.Memory.Load()
	if err != nil || len(known) == 0 {
		return err
	}
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	dialing := &failure{}
	opts, err := options(ctx, s.o.Server, lost, dialing, nil)
	if err != nil {
		return err
	}
	opts.SetCleanSession(true)
	c := paho.NewClient(opts)
	defer c.Disconnect(0)
	if err := await(ctx, c.Connect()); err != nil {
		return dialing.or(err)
	}
	return s.o.Memory.Save(nil)
}

// options are what subscriber and publisher have in common. lost is called with the reason when a
// connection that was established ends.
func options(ctx context.Context, at Server, lost context.CancelCauseFunc, dialing *failure, in *inbox) (*paho.ClientOptions, error) {
	open, err := at.opener(ctx, dialing, in)
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

// sorted returns a sorted copy without repetitions.
func sorted(all []string) []string {
	all = slices.Clone(all)
	slices.Sort(all)
	return slices.Compact(all)
}
