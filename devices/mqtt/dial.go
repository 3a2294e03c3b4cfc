package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"gridpost/devices"
)

// Server is a broker and how to enter it.
type Server struct {
	URL      string // mqtt://host:port or mqtts://host:port
	ClientID string // unique at the broker, and the same after each start
	Username string
	Password string
	CA       string // path of a PEM file; empty: the system's authorities
}

// endpoint is a checked Server.
type endpoint struct {
	Server
	host string // host:port, for words and logs; never the URL
	tls  *tls.Config
}

func (s Server) check() (endpoint, error) {
	u, err := url.Parse(s.URL)
	if err != nil || u.Hostname() == "" {
		return endpoint{}, errors.New("the broker's address: expected mqtt://host:port or mqtts://host:port")
	}
	e := endpoint{Server: s}
	port := u.Port()
	switch u.Scheme {
	case "mqtt", "tcp":
		if port == "" {
			port = "1883"
		}
	case "mqtts", "ssl", "tls":
		if port == "" {
			port = "8883"
		}
		e.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
	default:
		return endpoint{}, fmt.Errorf("the broker's address: expected mqtt:// or mqtts://, not %s://", u.Scheme)
	}
	e.host = net.JoinHostPort(u.Hostname(), port)
	if s.CA != "" {
		raw, err := os.ReadFile(s.CA)
		if err != nil {
			return endpoint{}, fmt.Errorf("reading the broker's authority: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(raw) {
			return endpoint{}, fmt.Errorf("reading the broker's authority: %s holds no PEM certificate", s.CA)
		}
		if e.tls == nil {
			return endpoint{}, errors.New("the broker's authority: only mqtts:// uses one")
		}
		e.tls.RootCAs = pool
	}
	return e, nil
}

// dial connects and bounds what the broker may send.
func (e endpoint) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d := &net.Dialer{KeepAlive: 15 * time.Second}
	var conn net.Conn
	var err error
	if e.tls != nil {
		conn, err = (&tls.Dialer{NetDialer: d, Config: e.tls}).DialContext(ctx, "tcp", e.host)
	} else {
		conn, err = d.DialContext(ctx, "tcp", e.host)
	}
	if err != nil {
		return nil, err
	}
	return &boundedConn{Conn: conn}, nil
}

// maxPacket bounds an incoming packet in bytes: a payload, its topic and headers.
const maxPacket = devices.MaxMessage + 65535 + 16

var errTooLong = fmt.Errorf("the broker sends a packet of more than %d bytes", maxPacket)

// boundedConn follows the framing of MQTT 3.1.1 (section 2.2.3) and fails a read before a
// packet that is too long, because the client would reserve its whole length at once.
type boundedConn struct {
	net.Conn
	frame frame
}

func (c *boundedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if e := c.frame.scan(p[:n]); e != nil {
		return 0, e
	}
	return n, err
}

// frame is where in a packet a stream of bytes stands.
type frame struct {
	left   int // bytes of the packet's body still to come
	length int
	shift  int
	header bool // the length is being read
}

func (f *frame) scan(p []byte) error {
	for len(p) > 0 {
		if f.left > 0 {
			n := min(f.left, len(p))
			f.left -= n
			p = p[n:]
			continue
		}
		b := p[0]
		p = p[1:]
		if !f.header { // the byte of type and flags
			f.header, f.length, f.shift = true, 0, 0
			continue
		}
		f.length |= int(b&0x7f) << f.shift
		f.shift += 7
		if f.length > maxPacket || f.shift > 28 {
			return errTooLong
		}
		if b&0x80 == 0 {
			f.header, f.left = false, f.length
		}
	}
	return nil
}

// words says for a person why a broker cannot be used.
func (e endpoint) words(err error) string {
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var timeout net.Error
	switch {
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword), errors.Is(err, packets.ErrorRefusedNotAuthorised):
		return fmt.Sprintf("the broker at %s refuses the user name or password", e.host)
	case errors.Is(err, packets.ErrorRefusedIDRejected):
		return fmt.Sprintf("the broker at %s refuses the client's name", e.host)
	case errors.Is(err, packets.ErrorRefusedServerUnavailable):
		return fmt.Sprintf("the broker at %s says that it is unavailable", e.host)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nothing answers at %s (connection refused)", e.host)
	case errors.As(err, &dns):
		return fmt.Sprintf("the name of the broker %s is not known", e.host)
	case errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &host):
		return fmt.Sprintf("the certificate of the broker at %s cannot be trusted: %v", e.host, err)
	case errors.Is(err, io.EOF):
		return fmt.Sprintf("the broker at %s closed the connection", e.host)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("nothing answers at %s (timed out)", e.host)
	}
	return fmt.Sprintf("the broker at %s: %s", e.host, strings.TrimSpace(err.Error()))
}

// failure keeps the error of dialling, which paho would turn into text.
type failure struct {
	mu  sync.Mutex
	err error
}

// or returns the error of dialling, or else err.
func (f *failure) or(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	return err
}

func (e endpoint) opener(ctx context.Context, f *failure) func(*url.URL, paho.ClientOptions) (net.Conn, error) {
	return func(*url.URL, paho.ClientOptions) (net.Conn, error) {
		conn, err := e.dial(ctx)
		f.mu.Lock()
		f.err = err
		f.mu.Unlock()
		return conn, err
	}
}
