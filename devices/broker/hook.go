package broker

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"gridpost/devices"
	"gridpost/devices/mqttwire"
)

// hook decides who may connect, what may be published, and when it is acknowledged.
type hook struct {
	mochi.HookBase
	b   *Broker
	ctx context.Context // mochi's callbacks carry none; this is Run's

	// kept are the sessions of mochi, also those whose client is away: for an hour, and at most keptPerClient for each
	// client that may connect. Beyond it, those that end are forgotten; the client starts with a new one.
	kept *mochi.Clients

	mu       sync.Mutex
	sessions map[*mochi.Client]*session // of the connections that have logged in
	newest   map[string]*mochi.Client   // by client ID: who connected last
}

const keptPerClient = 4

func newHook(ctx context.Context, b *Broker, kept *mochi.Clients) *hook {
	return &hook{b: b, ctx: ctx, kept: kept, sessions: map[*mochi.Client]*session{}, newest: map[string]*mochi.Client{}}
}

func (h *hook) ID() string { return "gridpost" }

func (h *hook) Provides(b byte) bool {
	switch b {
	case mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnPublish, mochi.OnDisconnect,
		mochi.OnSessionEstablish, mochi.OnSessionEstablished, mochi.OnWill:
		return true
	}
	return false
}

// checkWill removes a will that the client, which has logged in, could not publish itself: mochi does not call
// OnACLCheck for it. The delay of MQTT 5 is left out.
func (h *hook) checkWill(cl *mochi.Client, user string) {
	w := &cl.Properties.Will
	if w.Flag == 0 {
		return
	}
	w.Retain, w.WillDelayInterval = false, 0
	if devices.CheckTopic(w.TopicName) != nil || !h.mayPublish(user, w.TopicName) {
		h.refuseTopic(user, w.TopicName)
		*w = mochi.Will{}
	} else if len(w.Payload) > h.b.limit(w.TopicName) {
		h.tooLong(user, w.TopicName, len(w.Payload))
		*w = mochi.Will{}
	}
}

func (h *hook) OnConnectAuthenticate(cl *mochi.Client, pk packets.Packet) bool {
	user, from := string(pk.Connect.Username), address(cl.Net.Conn)
	known := false
	// Hashes have one length, so the duration of the comparison reveals nothing.
	given := sha256.Sum256(pk.Connect.Password)
	allowed := false
	for _, u := range h.b.o.Users {
		want := sha256.Sum256([]byte(u.Password))
		same := subtle.ConstantTimeCompare(given[:], want[:]) == 1
		known = known || u.Name == user
		allowed = allowed || same && u.Name == user
	}
	blocked := h.b.logins.blocked(from, user)
	if !allowed || blocked > 0 {
		h.b.refusedLogins.Add(1)
		cause := devices.NewCause("sensor_login_refused", "user", shorten(user), "address", from)
		if blocked > 0 {
			cause = devices.NewCause("sensor_logins_blocked", "user", shorten(user), "address", from, "retry_in", devices.Seconds(blocked))
		} else if known {
			h.b.logins.fail(from, user)
		}
		key := "login/" + from
		if known { // names that a peer invents are of one kind
			key += "/" + user
		}
		h.b.trouble(key, cause)
		return false
	}
	h.b.logins.succeeded(from, user)
	// mochi ends the connection of another client with the same ID: users must not do that to each other.
	cl.ID = strconv.Itoa(len(user)) + "/" + user + "/" + cl.ID
	if c, ok := cl.Net.Conn.(*conn); ok {
		c.loggedIn()
	}
	h.checkWill(cl, user)
	return true
}

// OnSessionEstablish notes which client is the newest of its ID before mochi ends the older one.
func (h *hook) OnSessionEstablish(cl *mochi.Client, _ packets.Packet) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.newest) > keptPerClient*h.b.o.MaxClients {
		for id, old := range h.newest {
			if old.Closed() {
				delete(h.newest, id)
			}
		}
	}
	h.newest[cl.ID] = cl
}

// OnSessionEstablished begins the work for a connection; mochi calls OnDisconnect at its end.
func (h *hook) OnSessionEstablished(cl *mochi.Client, _ packets.Packet) {
	s := newSession(h.ctx, cl)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sessions[cl] = s
}

func (h *hook) session(cl *mochi.Client) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[cl]
}

// OnACLCheck lets nobody subscribe. What may be published is decided by OnPublish: mochi would end the
// connection of a client of MQTT 3.1.1, which then sends the message again.
func (h *hook) OnACLCheck(cl *mochi.Client, topic string, write bool) bool {
	if write {
		return true
	}
	user := string(cl.Properties.Username)
	h.b.refusedTopics.Add(1)
	h.b.trouble("subscribe/"+user, devices.NewCause("sensor_subscribes", "user", shorten(user), "topic", shorten(topic)))
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

func (h *hook) refuseTopic(user, topic string) {
	h.b.refusedTopics.Add(1)
	h.b.trouble("topic/"+user+"/"+shorten(topic), devices.NewCause("message_topic_refused", "user", shorten(user), "topic", shorten(topic)))
}

func (h *hook) tooLong(user, topic string, size int) {
	h.b.tooLong.Add(1)
	h.b.trouble("long/"+user+"/"+shorten(topic), devices.NewCause("message_too_long", "broker", h.b.Addr(), "topic", shorten(topic),
		"bytes", strconv.Itoa(size), "limit", strconv.Itoa(h.b.limit(topic))))
}

// Reason codes of MQTT 5 (section 3.4.2.1).
const (
	notAuthorized    = 0x87
	topicNameInvalid = 0x90
	quotaExceeded    = 0x97
)

// OnPublish passes a message on to be stored. mochi acknowledges nothing: the session does, in order.
func (h *hook) OnPublish(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline {
		return pk, nil // $SYS topics, of the broker itself
	}
	s := h.session(cl)
	user := string(cl.Properties.Username)
	r, replaced := takeReplaced(cl, pk.TopicName)
	switch size := len(pk.Payload); {
	case replaced && r.tooLong:
		h.tooLong(user, r.topic, r.size)
		s.refuse(pk, quotaExceeded)
	case replaced:
		h.refuseTopic(user, r.topic)
		s.refuse(pk, topicNameInvalid)
	case !h.mayPublish(user, pk.TopicName):
		h.refuseTopic(user, pk.TopicName)
		s.refuse(pk, notAuthorized)
	case size > h.b.limit(pk.TopicName):
		h.tooLong(user, pk.TopicName, size)
		s.refuse(pk, quotaExceeded)
	default:
		s.store(h.b, pk)
	}
	return pk, packets.ErrRejectPacket
}

// OnWill passes the will of a client on whose connection has been lost. It is not called after DISCONNECT.
func (h *hook) OnWill(cl *mochi.Client, w mochi.Will) (mochi.Will, error) {
	h.mu.Lock()
	newest := h.newest[cl.ID] == cl
	h.mu.Unlock()
	// A client that has connected again is not gone, and when the broker stops it is the broker that is.
	if !newest || h.ctx.Err() != nil {
		return w, nil
	}
	m := devices.Message{Topic: w.TopicName, Payload: w.Payload, Durable: true, Received: time.Now(), Source: h.b.o.Source}
	h.b.o.Handle(h.ctx, m, func(err error) {
		switch {
		case err == nil:
			h.b.messages.Add(1)
		case !errors.Is(err, devices.ErrHeld):
			h.b.notStored.Add(1)
		}
	})
	return w, nil
}

func (h *hook) OnDisconnect(cl *mochi.Client, err error, _ bool) {
	h.mu.Lock()
	s := h.sessions[cl]
	delete(h.sessions, cl)
	if h.newest[cl.ID] == cl {
		delete(h.newest, cl.ID)
		if h.kept.Len() > keptPerClient*h.b.o.MaxClients {
			h.kept.Delete(cl.ID) // a newer one of the ID is added after OnSessionEstablish, which waits for h.mu
		}
	}
	h.mu.Unlock()
	if s != nil {
		s.end()
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return
	}
	var code packets.Code // below 0x80 it is no failure, such as DISCONNECT with the will of MQTT 5 (section 3.14.2.1)
	failed := errors.As(err, &code) && code.Code >= packets.ErrUnspecifiedError.Code &&
		code != packets.ErrServerShuttingDown && code != packets.ErrSessionTakenOver
	if failed || errors.Is(err, mqttwire.ErrFraming) {
		h.b.malformed.Add(1)
		h.b.trouble("malformed/"+string(cl.Properties.Username), devices.NewCause("sensor_not_understood",
			"user", shorten(string(cl.Properties.Username)), "address", address(cl.Net.Conn), "reason", err.Error()))
	}
}

// address returns the address of a peer without its port.
func address(c net.Conn) string {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		return c.RemoteAddr().String()
	}
	return host
}

// shorten cuts a text of a client to what fits a message.
func shorten(s string) string {
	const most = 200
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	if q := fmt.Sprintf("%q", s); q != `"`+s+`"` { // control characters
		return q
	}
	return s
}
