package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"syscall"
	"time"
)

// Bounds of dialling.
const (
	// dialEvery is how long a connection attempt is waited for before another one starts beside
	// it. The kernel repeats a lost SYN after 1, 3, 7 and 15 s: an attempt that began while the line
	// was down finds out late that it is back, a new one at once. Earlier attempts go on, because
	// on a full line an answer can take seconds.
	dialEvery    = 1500 * time.Millisecond
	dialTogether = 4                // attempts at a time
	dialTimeout  = 20 * time.Second // of each
)

// newTransport returns a transport of its own connections. Each kind of traffic has one, over
// HTTP/1.1, so that an alert never waits behind a reading: neither in HTTP/2's flow control
// nor in a TCP send buffer. bulk keeps the send buffer short; dial is nil but in tests.
func newTransport(config *tls.Config, bulk bool, dial dialFunc) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	d := &net.Dialer{
		Timeout:         dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4},
		Control: func(_, _ string, c syscall.RawConn) error {
			var option error
			err := c.Control(func(fd uintptr) { option = socketOptions(int(fd), bulk) })
			return errors.Join(err, option)
		},
	}
	if dial == nil {
		dial = racing(d.DialContext)
	}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dial,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    noProgress,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    4,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // an answer is small; what it inflates to must be too
		Protocols:              &protocols,
	}
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// racing returns a dial that starts another attempt every dialEvery and takes the first
// connection. It returns the first error when all attempts that were started have failed.
func racing(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // a connection that stands outlives it
		type result struct {
			conn net.Conn
			err  error
		}
		results := make(chan result, dialTogether)
		running, started := 0, 0
		start := func() {
			running++
			started++
			go func() {
				conn, err := dial(ctx, network, address)
				results <- result{conn, err}
			}()
		}
		defer func() {
			go func(n int) { // those that come too late; they end with ctx
				for range n {
					if r := <-results; r.conn != nil {
						_ = r.conn.Close()
					}
				}
			}(running)
		}()
		start()
		tick := time.NewTicker(dialEvery)
		defer tick.Stop()
		for {
			select {
			case r := <-results:
				running--
				if r.err == nil || running == 0 {
					return r.conn, r.err
				}
			case <-tick.C:
				if running < dialTogether {
					start()
				}
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
}
