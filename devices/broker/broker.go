// Package broker is the small MQTT broker inside an edge, for sensors that have none.
//
// Only the configured users may connect, and they may only publish to their configured topics. A
// message is acknowledged after its handler has stored it; when it cannot be stored, the sender gets
// no acknowledgement and its connection is closed, so that it sends the message again. Messages are
// not retained and clients cannot subscribe: the edge itself is the only subscriber.
//
// It is the only package that imports mochi-mqtt, and must import nothing of Gridpost but devices.
package broker

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
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
	Listen string // host:port; port 0 lets the system choose
	Users  []User

	// Handle stores a message. It is called concurrently, once for each message, from
	// goroutines that belong to Run; the messages of one client come in order. It may block: that
	// delays only the client that sent the message. ctx ends with Run's.
	Handle func(ctx context.Context, m devices.Message) error

	MaxClients int // connections at a time; 0: 500
	Logger     *slog.Logger
}

// Broker is bound to its port from New on, and serves while Run runs.
type Broker struct {
	o        Options
	listener *listener

	messages, refusedLogins, refusedTopics, notStored, malformed atomic.Uint64
}

// Stats are the counters of a Broker.
type Stats struct {
	Messages      uint64 // stored
	NotStored     uint64 // not stored and not acknowledged
	RefusedLogins uint64
	RefusedTopics uint64
	Malformed     uint64 // connections that were closed because of what they sent
}

// New checks o and binds the port.
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
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening for sensors: %w", err)
	}
	return &Broker{o: o, listener: newListener(l, o.MaxClients)}, nil
}

// Addr returns the address that the broker is bound to.
func (b *Broker) Addr() string { return b.listener.Address() }

// Close releases the port if Run is never called.
func (b *Broker) Close() error {
	b.listener.cancel()
	return b.listener.socket.Close()
}

// Stats may be called at any time, from any goroutine.
func (b *Broker) Stats() Stats {
	return Stats{b.messages.Load(), b.notStored.Load(), b.refusedLogins.Load(), b.refusedTopics.Load(), b.malformed.Load()}
}

// Run serves until ctx ends, and returns nil then. It may be called once.
func (b *Broker) Run(ctx context.Context) error {
	caps := mochi.NewDefaultServerCapabilities()
	caps.MaximumPacketSize = devices.MaxMessage + 65535 + 16
	caps.MaximumClientWritesPending = 64
	caps.ReceiveMaximum = 64
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
	if err := server.AddHook(&hook{b: b, ctx: ctx, logged: map[string]bool{}}, nil); err != nil {
		return errors.Join(fmt.Errorf("starting the broker: %w", err), b.Close())
	}
	if err := server.AddListener(b.listener); err != nil {
		return errors.Join(fmt.Errorf("starting the broker: %w", err), b.Close())
	}
	if err := server.Serve(); err != nil {
		return errors.Join(fmt.Errorf("starting the broker: %w", err), server.Close())
	}
	b.o.Logger.Info("the embedded broker listens", "address", b.Addr(), "users", len(b.o.Users))
	<-ctx.Done()
	if err := server.Close(); err != nil {
		return fmt.Errorf("stopping the broker: %w", err)
	}
	return nil
}

// hook decides who may connect, what may be published, and when it is acknowledged.
type hook struct {
	mochi.HookBase
	b   *Broker
	ctx context.Context // mochi's callbacks carry none; this is Run's

	mu     sync.Mutex
	logged map[string]bool // keys of what was logged; at most maxLogged, beyond which nothing new is logged
}

const maxLogged = 1000

func (h *hook) ID() string { return "gridpost" }

func (h *hook) Provides(b byte) bool {
	switch b {
	case mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnConnect, mochi.OnPublish, mochi.OnDisconnect:
		return true
	}
	return false
}

// OnConnect removes the will: it would be published without a call of OnACLCheck.
func (h *hook) OnConnect(cl *mochi.Client, _ packets.Packet) error {
	cl.Properties.Will = mochi.Will{}
	return nil
}

func (h *hook) OnConnectAuthenticate(cl *mochi.Client, pk packets.Packet) bool {
	// Hashes have one length, so the duration of the comparison reveals nothing.
	given := sha256.Sum256(pk.Connect.Password)
	allowed := false
	for _, u := range h.b.o.Users {
		want := sha256.Sum256([]byte(u.Password))
		same := subtle.ConstantTimeCompare(given[:], want[:]) == 1
		allowed = allowed || same && u.Name == string(pk.Connect.Username)
	}
	if !allowed {
		h.b.refusedLogins.Add(1)
		h.once("login/"+string(pk.Connect.Username), "a sensor was refused: unknown user or wrong password",
			"user", string(pk.Connect.Username), "from", cl.Net.Remote)
	}
	return allowed
}

func (h *hook) OnACLCheck(cl *mochi.Client, topic string, write bool) bool {
	user := string(cl.Properties.Username)
	if write && h.mayPublish(user, topic) {
		return true
	}
	h.b.refusedTopics.Add(1)
	if write {
		h.once("topic/"+user+"/"+topic, "a sensor may not publish to this topic", "user", user, "topic", topic)
	} else {
		h.once("subscribe/"+user, "a client may not subscribe: this broker only receives readings", "user", user, "topic", topic)
	}
	return false
}

func (h *hook) mayPublish(user, topic string) bool {
	for _, u := range h.b.o.Users {
		if u.Name != user {
			continue
		}
		for _, f := range u.Topics {
			if devices.TopicMatches(f, topic) {
				return true
			}
		}
	}
	return false
}

// OnPublish stores a message before mochi acknowledges it.
func (h *hook) OnPublish(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline {
		return pk, nil // $SYS topics, of the broker itself
	}
	pk.FixedHeader.Retain = false
	if len(pk.Payload) > devices.MaxMessage {
		h.b.malformed.Add(1)
		h.once("long/"+string(cl.Properties.Username), "a message is too long and is dropped",
			"user", string(cl.Properties.Username), "topic", pk.TopicName, "bytes", len(pk.Payload), "limit", devices.MaxMessage)
		return pk, nil // acknowledged: sending it again would not make it shorter
	}
	err := h.b.o.Handle(h.ctx, devices.Message{
		Topic: pk.TopicName, Payload: pk.Payload, Durable: pk.FixedHeader.Qos > 0, Received: time.Now(),
	})
	if err == nil {
		h.b.messages.Add(1)
		return pk, nil
	}
	h.b.notStored.Add(1)
	if pk.FixedHeader.Qos > 0 {
		// Clients send again only on a new connection (MQTT 3.1.1, section 4.4).
		cl.Stop(errNotStored)
	}
	return pk, packets.ErrRejectPacket
}

var errNotStored = errors.New("the message could not be stored")

func (h *hook) OnDisconnect(cl *mochi.Client, err error, _ bool) {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || cl.StopCause() != nil && errors.Is(cl.StopCause(), errNotStored) {
		return
	}
	var code packets.Code
	if errors.As(err, &code) && code != packets.ErrServerShuttingDown && code != packets.ErrNotAuthorized {
		h.b.malformed.Add(1)
		h.once("malformed/"+string(cl.Properties.Username), "a sensor's connection was closed because of what it sent",
			"user", string(cl.Properties.Username), "from", cl.Net.Remote, "error", code.Reason)
	}
}

// once logs a message for the first time; later ones with the same key are only counted.
func (h *hook) once(key, message string, args ...any) {
	h.mu.Lock()
	log := !h.logged[key] && len(h.logged) < maxLogged
	if log {
		h.logged[key] = true
	}
	h.mu.Unlock()
	if log {
		h.b.o.Logger.Warn(message+"; further ones are only counted", args...)
	}
}
