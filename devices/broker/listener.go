package broker

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"

	"gridpost/devices/retry"
)

// connectWithin is how long a connection may take to send CONNECT.
const connectWithin = 10 * time.Second

// listener passes connections to mochi. Unlike mochi's own it bounds their number, closes those that
// never send CONNECT, and has ended all of them when Close returns.
type listener struct {
	socket net.Listener
	slots  chan struct{}
	wg     sync.WaitGroup
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
}

func newListener(socket net.Listener, limit int) *listener {
	l := &listener{socket: socket, slots: make(chan struct{}, limit), open: map[net.Conn]bool{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

func (l *listener) Init(*slog.Logger) error { return nil }
func (l *listener) ID() string              { return "sensors" }
func (l *listener) Address() string         { return l.socket.Addr().String() }
func (l *listener) Protocol() string        { return "tcp" }

// Serve accepts until Close. A connection beyond the limit is closed at once.
func (l *listener) Serve(establish listeners.EstablishFn) {
	backoff := retry.Policy{First: 50 * time.Millisecond, Longest: time.Second}.New()
	for {
		conn, err := l.socket.Accept()
		if err != nil {
			// Out of file descriptors, most likely: other connections will end.
			if l.isClosed() || !backoff.Wait(l.ctx) {
				return
			}
			continue
		}
		backoff.Reset()
		select {
		case l.slots <- struct{}{}:
		default:
			_ = conn.Close()
			continue
		}
		if !l.add(conn) {
			_ = conn.Close()
			return
		}
		go func() {
			defer l.wg.Done()
			defer l.remove(conn)
			_ = conn.SetDeadline(time.Now().Add(connectWithin)) // mochi sets its own after CONNECT
			_ = establish(l.ID(), conn)                         // the hooks have seen its error
		}()
	}
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
	<-l.slots
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
