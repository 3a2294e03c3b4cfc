// Package broker is the small MQTT broker inside an edge, for sensors that have none.
//
// Nobody gets in but the users that are named, and they may do nothing but publish to the
// topics named for them. A message is acknowledged after its handler has kept it; when it
// cannot be kept, the sender gets no acknowledgement and loses its connection, so that it
// sends again. Nothing is retained and nothing can be subscribed to: the edge itself is the
// only one who listens.
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

// User may publish to the topics named.
type User struct {
	Name     string
	Password string
	Topics   []string // MQTT topic filters
}

// Options are what a Broker needs.
type Options struct {
	Listen string // host:port; port 0 takes a free one
	Users  []User

	// Handle keeps a message. It is called concurrently, once for each message, from
	// goroutines that belong to Run; those of one client come in order. It may block: that
	// holds up only the client that sent the message. ctx ends with Run's.
	Handle func(ctx context.Context, m devices.Message) error

	MaxClients int // connections at a time; 0: 500
	Logger     *slog.Logger
}

// Broker is bound to its port from New on, and serves while Run runs.
type Broker struct {
	o        Options
	listener *listener

	messages, refusedLogins, refusedTopics, notKept, malformed atomic.Uint64
}

// Stats counts what a Broker has met.
type Stats struct {
	Messages      uint64 // kept
	NotStored     uint64 // not kept and not acknowledged
	RefusedLogins uint64
	RefusedTopics uint64
	Malformed     uint64 // connections that ended for what they sent
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

// Close gives the port back when Run has never been called.
func (b *Broker) Close() error { return b.listener.socket.Close() }

// Stats may be called at any time, from any goroutine.
func (b *Broker) Stats() Stats {
	return Stats{b.messages.Load(), b.notKept.Load(), b.refusedLogins.Load(), b.refusedTopics.Load(), b.malformed.Load()}
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
	caps.RetainAvailable = 1   // a sensor that retains is served; the flag is taken off in OnPublish
	caps.SharedSubAvailable = 0
	server := mochi.New(&mochi.Options{
		Capabilities: caps,
		// mochi logs whole packets at Warn, passwords and payloads included; what matters is
		// counted and logged here instead.
		Logger: slog.New(slog.DiscardHandler),
	})
	if err := server.AddHook(&hook{b: b, ctx: ctx, said: map[string]bool{}}, nil); err != nil {
		return errors.Join(fmt.Errorf("starting the broker: %w", err), b.Close())
	}
	if err := server.AddListener(b.listener); err != nil {
		return errors.Join(fmt.Errorf("starting the broker: %w", err), b.Close())
	}
	if err := server.Serve(); err != nil {
		return errors.Join(fmt.Errorf("starting the broker: %w", err), server.Close())
	}
	b.o.Logger.Info("the broker listens for sensors", "address", b.Addr(), "users", len(b.o.Users))
	<-ctx.Done()
	if err := server.Close(); err != nil {
		return fmt.Errorf("stopping the broker: %w", err)
	}
	return nil
}

// hook decides who gets in, what may be published, and when it is acknowledged.
type hook struct {
	mochi.HookBase
	b   *Broker
	ctx context.Context // mochi's callbacks carry none; this is Run's

	mu   sync.Mutex
	said map[string]bool // complaints that were logged; bounded by maxSaid
}

const maxSaid = 1000

func (h *hook) ID() string { return "gridpost" }

func (h *hook) Provides(b byte) bool {
	switch b {
	case mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnConnect, mochi.OnPublish, mochi.OnDisconnect:
		return true
	}
	return false
}

// OnConnect takes the will away: it would be published without asking OnACLCheck.
func (h *hook) OnConnect(cl *mochi.Client, _ packets.Packet) error {
	cl.Properties.Will = mochi.Will{}
	return nil
}

func (h *hook) OnConnectAuthenticate(cl *mochi.Client, pk packets.Packet) bool {
	// Hashes have one length, so the comparison tells nothing by the time it takes.
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
		h.once("topic/"+user+"/"+topic, "a sensor was refused a topic that is not named for it", "user", user, "topic", topic)
	} else {
		h.once("subscribe/"+user, "a client was refused to subscribe: this broker only takes readings in", "user", user, "topic", topic)
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

// OnPublish keeps a message before mochi acknowledges it.
func (h *hook) OnPublish(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline {
		return pk, nil // $SYS topics, of the broker itself
	}
	pk.FixedHeader.Retain = false
	if len(pk.Payload) > devices.MaxMessage {
		h.b.malformed.Add(1)
		h.once("long/"+string(cl.Properties.Username), "a message is too long and is thrown away",
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
	h.b.notKept.Add(1)
	if pk.FixedHeader.Qos > 0 {
		// Clients send again only on a new connection (MQTT 3.1.1, section 4.4).
		cl.Stop(errNotStored)
	}
	return pk, packets.ErrRejectPacket
}

var errNotStored = errors.New("the message could not be kept")

func (h *hook) OnDisconnect(cl *mochi.Client, err error, _ bool) {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || cl.StopCause() != nil && errors.Is(cl.StopCause(), errNotStored) {
		return
	}
	var code packets.Code
	if errors.As(err, &code) && code != packets.ErrServerShuttingDown && code != packets.ErrNotAuthorized {
		h.b.malformed.Add(1)
		h.once("malformed/"+string(cl.Properties.Username), "a sensor's connection ended for what it sent",
			"user", string(cl.Properties.Username), "from", cl.Net.Remote, "error", code.Reason)
	}
}

// once logs a complaint the first time; later ones are only counted.
func (h *hook) once(key, message string, args ...any) {
	h.mu.Lock()
	said := h.said[key] || len(h.said) >= maxSaid
	h.said[key] = true
	if len(h.said) > maxSaid {
		delete(h.said, key)
	}
	h.mu.Unlock()
	if !said {
		h.b.o.Logger.Warn(message+"; further ones are only counted", args...)
	}
}
