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
	"gridpost/devices/address"
)

// Server is a broker and how to log in to it.
type Server struct {
	Address  address.Broker
	ClientID string // unique at the broker, and the same after each start
	Username string
	Password string
	CA       string // path of a PEM file; empty: the system's authorities
}

// errCA is wrapped by the errors of ReadCA.
var errCA = errors.New("reading the broker's authority")

// ReadCA reads a file of certificates. It is read for each connection, so that a file that is
// missing, or replaced, concerns this broker only.
func ReadCA(path string) (*x509.CertPool, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCA, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("%w: %s holds no PEM certificate", errCA, path)
	}
	return pool, nil
}

// tlsConfig returns how to encrypt the connection, or nil when it is not encrypted.
func (s Server) tlsConfig() (*tls.Config, error) {
	if !s.Address.TLS {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.Address.Name}
	if s.CA == "" {
		return cfg, nil
	}
	var err error
	cfg.RootCAs, err = ReadCA(s.CA)
	return cfg, err
}

// dial connects and bounds what the broker may send.
func (s Server) dial(ctx context.Context, cfg *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d := &net.Dialer{KeepAlive: 15 * time.Second}
	var conn net.Conn
	var err error
	if cfg != nil {
		conn, err = (&tls.Dialer{NetDialer: d, Config: cfg}).DialContext(ctx, "tcp", s.Address.Host)
	} else {
		conn, err = d.DialContext(ctx, "tcp", s.Address.Host)
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

// cause says why a broker cannot be used.
func (s Server) cause(err error) devices.Cause {
	is := func(code string, params ...string) devices.Cause {
		return devices.NewCause(code, append(params, "broker", s.Address.Host)...)
	}
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var timeout net.Error
	var topics topicsRefused
	reason := strings.TrimSpace(err.Error())
	switch {
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword), errors.Is(err, packets.ErrorRefusedNotAuthorised):
		return is("broker_login_refused")
	case errors.Is(err, packets.ErrorRefusedIDRejected):
		return is("broker_client_refused")
	case errors.Is(err, packets.ErrorRefusedServerUnavailable):
		return is("broker_unavailable")
	case errors.As(err, &topics):
		return is("broker_topics_refused", "topics", string(topics))
	case errors.Is(err, errCA):
		return is("broker_authority_unreadable", "reason", reason)
	case errors.Is(err, syscall.ECONNREFUSED):
		return is("broker_connection_refused")
	case errors.As(err, &dns):
		return is("broker_name_unknown")
	case errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &name):
		return is("broker_certificate_untrusted", "reason", reason)
	case errors.Is(err, io.EOF):
		return is("broker_closed_connection")
	case errors.As(err, &timeout) && timeout.Timeout():
		return is("broker_timed_out")
	}
	return is("broker_failed", "reason", reason)
}

// failure holds the error of dialling, which paho would turn into text.
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

// opener returns how paho opens the connection.
func (s Server) opener(ctx context.Context, f *failure) (paho.OpenConnectionFunc, error) {
	cfg, err := s.tlsConfig()
	if err != nil {
		return nil, err
	}
	return func(*url.URL, paho.ClientOptions) (net.Conn, error) {
		conn, err := s.dial(ctx, cfg)
		f.mu.Lock()
		f.err = err
		f.mu.Unlock()
		return conn, err
	}, nil
}
