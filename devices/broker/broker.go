// Package broker is the small MQTT broker inside an edge, for sensors that have none.
//
// Only the configured users may connect, and they may only publish to their configured topics. A
// message is acknowledged after it has been stored. What a user may not publish, or what is too long, is
// acknowledged, dropped and counted: clients of MQTT 3.1.1 know no refusal, and would send it again for ever;
// those of MQTT 5 get the reason. Messages are not retained and clients cannot subscribe: the edge itself is
// the only subscriber. The will of a client is a message like others.
//
// It is the only package that imports mochi-mqtt, and must import nothing of Gridpost but devices.
package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"gridpost/devices"
)

// User may publish to its topics.
type User struct {
	Name     string
	Password string
	Topics   []string // MQTT topic filters
}

// Options are what a Broker needs.
type Options struct {
	Listen string // host:port; port 0 lets the system choose; empty: TLS only
	Users  []User

	TLSListen   string // host:port for TLS; empty: none
	Certificate string // path of a PEM file, read again when it changes
	Key         string // path of a PEM file

	Source string   // in devices.Message.Source
	Long   []string // filters of topics on which messages of up to devices.MaxLongMessage are expected

	// Handle stores messages. It is called concurrently, from goroutines that belong to Run; the
	// messages of one client come in order. It may block: that delays only the client that sent the message.
	Handle devices.Store

	MaxClients int // connections at a time; 0: 500
	Logger     *slog.Logger
}

// Broker is bound to its ports from New on, and serves while Run runs.
type Broker struct {
	o            Options
	listeners    []*listener
	certificates *certificates // nil: no TLS
	logins       *logins
	recent       *devices.Recent

	messages, refusedLogins, refusedTopics, notStored, malformed, tooLong atomic.Uint64
}

// Stats are the counters of a Broker.
type Stats struct {
	Messages      uint64 // stored
	NotStored     uint64 // not stored and not acknowledged
	RefusedLogins uint64
	RefusedTopics uint64 // messages and wills dropped, and subscriptions refused
	Malformed     uint64 // connections that were closed because of what they sent
	TooLong       uint64 // messages acknowledged and dropped
}

// What went wrong is a problem for an hour after the last time.
const (
	recentFor  = time.Hour
	recentMost = 16
)

// New checks o and binds the ports.
func New(o Options) (*Broker, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxClients == 0 {
		o.MaxClients = 500
	}
	if o.Handle == nil {
		return nil, errors.New("a broker needs a handler")
	}
	for _, u := range o.Users {
		if u.Name == "" || u.Password == "" {
			return nil, errors.New("a user of the broker needs a name and a password")
		}
		for _, f := range u.Topics {
			if err := devices.CheckFilter(f); err != nil {
				return nil, fmt.Errorf("the topics of the broker's user %s: %q: %w", u.Name, f, err)
			}
		}
	}
	b := &Broker{o: o, logins: newLogins(), recent: devices.NewRecent(recentFor, recentMost)}
	if err := b.bind(); err != nil {
		return nil, errors.Join(fmt.Errorf("listening for sensors: %w", err), b.Close())
	}
	return b, nil
}

func (b *Broker) bind() error {
	gate := newGate(b.o.MaxClients)
	if b.o.Listen != "" {
		l, err := net.Listen("tcp", b.o.Listen)
		if err != nil {
			return err
		}
		b.listeners = append(b.listeners, newListener("sensors", l, gate, nil, b.limit))
	}
	if b.o.TLSListen != "" {
		l, err := net.Listen("tcp", b.o.TLSListen)
		if err != nil {
			return err
		}
		b.certificates = &certificates{certificate: b.o.Certificate, key: b.o.Key}
		b.listeners = append(b.listeners, newListener("sensors-tls", l, gate, b.certificates.config(), b.limit))
	}
	if len(b.listeners) == 0 {
		return errors.New("no address is given")
	}
	return nil
}

// limit returns how many bytes a payload on a topic may have.
func (b *Broker) limit(topic string) int {
	for _, f := range b.o.Long {
		if devices.TopicMatches(f, topic) {
			return devices.MaxLongMessage
		}
	}
	return devices.MaxMessage
}

// Addr returns the address that the broker is bound to; the one without TLS if there are two.
func (b *Broker) Addr() string { return b.listeners[0].Address() }

// TLSAddr returns the address for TLS, or nothing.
func (b *Broker) TLSAddr() string {
	if b.certificates == nil {
		return ""
	}
	return b.listeners[len(b.listeners)-1].Address()
}

// Close releases the ports if Run is never called.
func (b *Broker) Close() error {
	var errs []error
	for _, l := range b.listeners {
		l.cancel()
		errs = append(errs, l.socket.Close())
	}
	return errors.Join(errs...)
}

// Stats may be called at any time, from any goroutine.
func (b *Broker) Stats() Stats {
	return Stats{b.messages.Load(), b.notStored.Load(), b.refusedLogins.Load(), b.refusedTopics.Load(), b.malformed.Load(), b.tooLong.Load()}
}

// Problems returns what went wrong lately. It may be called from any goroutine.
func (b *Broker) Problems() []devices.Cause {
	all := b.recent.Causes()
	if b.certificates != nil {
		if err := b.certificates.check(); err != nil {
			all = append([]devices.Cause{devices.NewCause("listener_certificate_unreadable", "reason", err.Error())}, all...)
		}
	}
	return all
}

// trouble notes what went wrong, and logs the first of its kind.
func (b *Broker) trouble(key string, cause devices.Cause) {
	if b.recent.Add(key, cause) {
		b.o.Logger.Warn("a sensor is refused; further times are only counted", "cause", cause.Text)
	}
}

// Run serves until ctx ends, and returns nil then. It may be called once.
func (b *Broker) Run(ctx context.Context) error {
	caps := mochi.NewDefaultServerCapabilities()
	caps.MaximumPacketSize = 0 // what is too long is read past below mochi, which would close the connection
	caps.MaximumClientWritesPending = 64
	caps.ReceiveMaximum = maxUnstored
	caps.MaximumInflight = 64
	caps.MaximumSessionExpiryInterval = 3600
	caps.TopicAliasMaximum = 0 // an alias would be resolved after the topic was allowed
	caps.RetainAvailable = 1   // a sensor may ask to retain; OnPublish removes the flag
	caps.SharedSubAvailable = 0
	server := mochi.New(&mochi.Options{
		Capabilities: caps,
		// mochi logs whole packets at Warn, passwords and payloads included; what matters is
		// counted and logged here instead.
		Logger: slog.New(slog.DiscardHandler),
	})
	if err := server.AddHook(newHook(ctx, b, server.Clients), nil); err != nil {
		return errors.Join(fmt.Errorf("starting the broker: %w", err), b.Close())
	}
	for _, l := range b.listeners {
		if err := server.AddListener(l); err != nil {
			return errors.Join(fmt.Errorf("starting the broker: %w", err), b.Close())
		}
	}
	if err := server.Serve(); err != nil {
		return errors.Join(fmt.Errorf("starting the broker: %w", err), server.Close())
	}
	b.o.Logger.Info("the embedded broker listens", "address", b.Addr(), "tls", b.TLSAddr(), "users", len(b.o.Users))
	<-ctx.Done()
	// Before mochi would do it: its own function takes a lock for reading twice, and deadlocks with a client that leaves
	// in between.
	server.Listeners.CloseAll(func(listener string) {
		for _, cl := range server.Clients.GetAll() {
			if cl.Net.Listener == listener {
				_ = server.DisconnectClient(cl, packets.ErrServerShuttingDown) // it returns the reason, or the client has gone
			}
		}
	})
	if err := server.Close(); err != nil {
		return fmt.Errorf("stopping the broker: %w", err)
	}
	return nil
}
