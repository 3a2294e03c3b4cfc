package broker

import (
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"
)

// connectWithin is how long a connection may take to introduce itself.
const connectWithin = 10 * time.Second

// listener hands connections to mochi. Unlike mochi's own it bounds their number, gives up on
// those that never introduce themselves, and has ended all of them when Close returns.
type listener struct {
	socket net.Listener
	slots  chan struct{}
	wg     sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
}

func newListener(socket net.Listener, limit int) *listener {
	return &listener{socket: socket, slots: make(chan struct{}, limit), open: map[net.Conn]bool{}}
}

func (l *listener) Init(*slog.Logger) error { return nil }
func (l *listener) ID() string              { return "sensors" }
func (l *listener) Address() string         { return l.socket.Addr().String() }
func (l *listener) Protocol() string        { return "tcp" }

// Serve accepts until Close. A connection beyond the limit is closed at once.
func (l *listener) Serve(establish listeners.EstablishFn) {
	for {
		conn, err := l.socket.Accept()
		if err != nil {
			if l.isClosed() {
				return
			}
			// Out of file descriptors, most likely: others will end.
			time.Sleep(100 * time.Millisecond)
			continue
		}
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
