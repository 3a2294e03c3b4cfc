// Package memnet is a network inside the process for tests: under testing/synctest hours pass on it in no time.
//
// Its connections are those of net.Pipe. The package must not import other packages of Gridpost.
package memnet

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Listener accepts connections from Dial. Its methods may be called from any goroutine.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Listen returns a listener.
func Listen() *Listener { return &Listener{conns: make(chan net.Conn), closed: make(chan struct{})} }

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that were accepted stay.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return &net.UnixAddr{Name: "memnet", Net: "unix"} }

// Dial connects to the listener; it blocks until the connection is accepted or ctx ends.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Network has listeners by the name of their host. Its hosts are added before anyone dials.
type Network map[string]*Listener

// Dial connects to the host of an address, whatever its port is; the error of one that the network lacks is a
// *net.DNSError.
func (n Network) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	l := n[host]
	if l == nil {
		return nil, &net.DNSError{Name: host, Err: "no such host"}
	}
	return l.Dial(ctx)
}

// Serve serves a host by HTTP for the rest of the test.
func (n Network) Serve(t testing.TB, host string, h http.Handler) {
	t.Helper()
	l := Listen()
	n[host] = l
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // always http.ErrServerClosed
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
}
