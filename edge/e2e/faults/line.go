package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Mode is what a Line does with the bytes that pass through it.
type Mode int

// The modes.
const (
	Pass     Mode = iota
	Cut           // existing connections are reset, new ones are reset at once
	slow          // every chunk is delayed
	halfOpen      // existing connections stand still; new ones are accepted and never answered
	midReset      // each connection is reset after some more bytes in either direction
	swallow       // requests pass, answers are discarded
	throttle      // few bytes per second
	corrupt       // single bits are changed
)

func (m Mode) String() string {
	return [...]string{"pass", "cut", "slow", "half-open", "reset-mid-body", "swallow", "throttle", "corrupt"}[m]
}

const (
	chunk         = 4 << 10
	slowBy        = 150 * time.Millisecond
	throttledRate = 8 << 10 // bytes per second and direction
	handshake     = 6 << 10 // bytes from the server that pass before answers of a new connection are discarded
	midBytes      = 20 << 10
)

// Line is a TCP proxy between a client and its server that can be made faulty. Use NewLine;
// Close ends it and all its connections. It is safe for concurrent use.
type Line struct {
	listener net.Listener
	target   string
	mode     atomic.Int64
	tap      func() (fromClient, fromServer func([]byte)) // sees the bytes of one connection; may be nil
	wait     sync.WaitGroup

	mu    sync.Mutex
	pairs map[*pair]bool
	end   bool
}

// pair is one connection through a Line.
type pair struct {
	client, server *net.TCPConn
	done           chan struct{} // closed when the pair is closed
	once           sync.Once
	answered       atomic.Int64 // bytes from the server that were passed on
	dead           atomic.Bool  // nothing passes any more, whatever the mode is
}

// NewLine starts a proxy to target. tap, if not nil, is called for each new connection and returns
// what is to see its bytes.
func NewLine(target string, tap func() (fromClient, fromServer func([]byte))) (*Line, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting a proxy: %w", err)
	}
	line := &Line{listener: l, target: target, tap: tap, pairs: map[*pair]bool{}}
	line.wait.Go(line.accept)
	return line, nil
}

// Address returns host:port where clients connect.
func (l *Line) Address() string { return l.listener.Addr().String() }

// Close ends the proxy and waits for its goroutines.
func (l *Line) Close() {
	l.mu.Lock()
	l.end = true
	l.mu.Unlock()
	_ = l.listener.Close() // ends accept
	l.each(func(p *pair) { p.reset() })
	l.wait.Wait()
}

// Set changes the mode. Returning to Pass resets connections that stood still if resetDead is
// set; otherwise they stay as they are, like those whose state a router has lost.
func (l *Line) Set(m Mode, resetDead bool) {
	before := Mode(l.mode.Swap(int64(m)))
	switch {
	case m == Cut:
		l.each(func(p *pair) { p.reset() })
	case m == halfOpen:
		l.each(func(p *pair) { p.dead.Store(true) })
	case before == swallow, before == halfOpen && resetDead, before == corrupt:
		l.each(func(p *pair) { p.reset() })
	}
}

func (l *Line) each(f func(*pair)) {
	l.mu.Lock()
	all := make([]*pair, 0, len(l.pairs))
	for p := range l.pairs {
		all = append(all, p)
	}
	l.mu.Unlock()
	for _, p := range all {
		f(p)
	}
}

func (l *Line) current() Mode { return Mode(l.mode.Load()) }

func (l *Line) accept() {
	for {
		c, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors; the listener recovers
			continue
		}
		client := c.(*net.TCPConn) // a TCP listener makes nothing else
		if l.current() == Cut {
			abort(client)
			continue
		}
		l.wait.Go(func() { l.serve(client) })
	}
}

func (l *Line) serve(client *net.TCPConn) {
	p := &pair{client: client, done: make(chan struct{})}
	if l.current() != halfOpen {
		server, err := net.DialTimeout("tcp", l.target, 5*time.Second)
		if err != nil {
			abort(client)
			return
		}
		p.server = server.(*net.TCPConn)
	} else {
		p.dead.Store(true)
	}
	l.mu.Lock()
	if l.end {
		l.mu.Unlock()
		p.reset()
		return
	}
	l.pairs[p] = true
	l.mu.Unlock()
	defer func() {
		p.reset()
		l.mu.Lock()
		delete(l.pairs, p)
		l.mu.Unlock()
	}()
	if p.server == nil {
		<-p.done
		return
	}
	fromClient, fromServer := func([]byte) {}, func([]byte) {}
	if l.tap != nil {
		fromClient, fromServer = l.tap()
	}
	var both sync.WaitGroup
	both.Go(func() { l.pump(p, p.server, p.client, false, fromClient) })
	both.Go(func() { l.pump(p, p.client, p.server, true, fromServer) })
	both.Wait()
}

// pump copies bytes in one direction until the connection ends. see gets what was passed on.
func (l *Line) pump(p *pair, to, from *net.TCPConn, answers bool, see func([]byte)) {
	defer p.reset()
	buffer := make([]byte, chunk)
	left := int64(-1) // bytes until a reset; negative: not decided
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			b := buffer[:n]
			m := l.current()
			if p.dead.Load() {
				<-p.done
				return
			}
			switch m {
			case slow:
				p.sleep(slowBy)
			case throttle:
				p.sleep(time.Duration(n) * time.Second / throttledRate)
			case midReset:
				if left < 0 {
					left = rand.Int64N(midBytes)
				}
				if left -= int64(n); left < 0 {
					b = b[:max(0, n+int(left))]
					_, _ = to.Write(b) // the connection ends in any case
					return
				}
			case swallow:
				if answers && p.answered.Load() > handshake {
					continue
				}
			case corrupt:
				b[rand.IntN(n)] ^= 1 << rand.IntN(8)
			case Pass, Cut, halfOpen:
			}
			if m != midReset {
				left = -1
			}
			if answers {
				p.answered.Add(int64(n))
			}
			if _, err := to.Write(b); err != nil {
				return
			}
			see(b)
		}
		if err != nil {
			return
		}
	}
}

// sleep waits, or until the connection ends.
func (p *pair) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.done:
	}
}

func (p *pair) reset() {
	p.once.Do(func() {
		close(p.done)
		abort(p.client)
		if p.server != nil {
			abort(p.server)
		}
	})
}

// abort closes a connection with a reset instead of an orderly end.
func abort(c *net.TCPConn) {
	_ = c.SetLinger(0) // it may have ended already
	_ = c.Close()
}
