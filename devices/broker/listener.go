package broker

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"

	"gridpost/devices/retry"
)

// connectWithin is how long a connection may take to log in.
const connectWithin = 10 * time.Second

// maxSilent bounds the connections of one address that have not logged in, so that one machine cannot hold
// all of them.
const maxSilent = 32

// gate bounds the connections of all listeners. It is safe for concurrent use.
type gate struct {
	limit int

	mu     sync.Mutex
	open   int
	silent map[string]int // by address, of those that have not logged in
}

func newGate(limit int) *gate { return &gate{limit: limit, silent: map[string]int{}} }

// enter reports whether one more connection may come from an address.
func (g *gate) enter(from string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open >= g.limit || g.silent[from] >= maxSilent {
		return false
	}
	g.open++
	g.silent[from]++
	return true
}

// spoke notes that a connection has logged in or ended; it is called once for each.
func (g *gate) spoke(from string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.silent[from]--; g.silent[from] == 0 {
		delete(g.silent, from)
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
}

// listener passes connections to mochi. Unlike mochi's own it bounds their number, closes those that
// do not log in, and has ended all of them when Close returns.
type listener struct {
	id     string
	socket net.Listener
	gate   *gate
	tls    *tls.Config // nil: not encrypted
	limit  func(topic string) int
	wg     sync.WaitGroup
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
}

func newListener(id string, socket net.Listener, g *gate, cfg *tls.Config, limit func(string) int) *listener {
	l := &listener{id: id, socket: socket, gate: g, tls: cfg, limit: limit, open: map[net.Conn]bool{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

func (l *listener) Init(*slog.Logger) error { return nil }
func (l *listener) ID() string              { return l.id }
func (l *listener) Address() string         { return l.socket.Addr().String() }
func (l *listener) Protocol() string        { return "tcp" }

// Serve accepts until Close. A connection beyond a bound is closed at once.
func (l *listener) Serve(establish listeners.EstablishFn) {
	backoff := retry.Policy{First: 50 * time.Millisecond, Longest: time.Second}.New()
	for {
		raw, err := l.socket.Accept()
		if err != nil {
			// Out of file descriptors, most likely: other connections will end.
			if l.isClosed() || !backoff.Wait(l.ctx) {
				return
			}
			continue
		}
		backoff.Reset()
		from := address(raw)
		if !l.gate.enter(from) {
			_ = raw.Close()
			continue
		}
		if !l.add(raw) {
			_ = raw.Close()
			return
		}
		go func() {
			defer l.wg.Done()
			defer l.remove(raw)
			c := l.wrap(raw, from)
			defer c.loggedIn()       // or ended
			_ = establish(l.ID(), c) // the hooks have seen its error
		}()
	}
}

// wrap returns the connection for mochi.
func (l *listener) wrap(raw net.Conn, from string) *conn {
	_ = raw.SetDeadline(time.Now().Add(connectWithin)) // mochi sets its own after CONNECT
	inner := raw
	if l.tls != nil {
		inner = tls.Server(raw, l.tls)
	}
	return newConn(inner, l.limit, func() { l.gate.spoke(from) })
}

func (l *listener) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

func (l *listener) add(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.open[conn] = true
	l.wg.Add(1)
	return true
}

func (l *listener) remove(conn net.Conn) {
	_ = conn.Close()
	l.mu.Lock()
	delete(l.open, conn)
	l.mu.Unlock()
	l.gate.leave()
}

// Close ends all connections and waits for their goroutines.
func (l *listener) Close(closeClients listeners.CloseFn) {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	if first {
		closeClients(l.ID())
	}
	_ = l.socket.Close()
	l.mu.Lock()
	for conn := range l.open {
		_ = conn.Close()
	}
	l.mu.Unlock()
	l.wg.Wait()
}
