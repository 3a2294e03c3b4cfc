package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"gridpost/devices/address"
)

// Server is a broker and how to log in to it.
type Server struct {
	Address  address.Broker
	ClientID string // unique at the broker, and the same after each start
	Username string
	Password string
	CA       string // path of a PEM file; empty: the system's authorities

	// Paths of PEM files with the certificate by which the client proves who it is, and its key; empty: none.
	Certificate string
	Key         string

	// RootCAs are the authorities if CA is empty; nil: the system's.
	RootCAs *x509.CertPool

	// Control is called before each connection, as net.Dialer.Control is; nil: not.
	Control func(network, address string, c syscall.RawConn) error

	connect func(ctx context.Context) (net.Conn, error) // tests: instead of TCP
}

// Errors that ReadCA and ReadCertificate wrap.
var (
	errCA          = errors.New("reading the broker's authority")
	errCertificate = errors.New("reading the certificate for the broker")
)

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

// ReadCertificate reads a certificate and its key. Like the authority it is read for each connection, so
// that one that was renewed is used.
func ReadCertificate(certificate, key string) (tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return c, fmt.Errorf("%w: %w", errCertificate, err)
	}
	return c, nil
}

// tlsConfig returns how to encrypt the connection, or nil when it is not encrypted.
func (s Server) tlsConfig() (*tls.Config, error) {
	if !s.Address.TLS {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.Address.Name}
	if s.needsALPN() {
		cfg.NextProtos = []string{"x-amzn-mqtt-ca"}
	}
	var err error
	if s.Certificate != "" {
		cfg.Certificates = make([]tls.Certificate, 1)
		if cfg.Certificates[0], err = ReadCertificate(s.Certificate, s.Key); err != nil {
			return nil, err
		}
	}
	cfg.RootCAs = s.RootCAs
	if s.CA != "" {
		cfg.RootCAs, err = ReadCA(s.CA)
	}
	return cfg, err
}

// needsALPN reports whether the broker is AWS IoT at port 443, which tells MQTT from HTTPS by the protocol's
// name. See https://docs.aws.amazon.com/iot/latest/developerguide/protocols.html.
func (s Server) needsALPN() bool {
	aws := strings.HasSuffix(s.Address.Name, ".amazonaws.com") || strings.HasSuffix(s.Address.Name, ".amazonaws.com.cn")
	return aws && strings.HasSuffix(s.Address.Host, ":443")
}

// dial connects.
func (s Server) dial(ctx context.Context, cfg *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if s.connect != nil {
		return s.connect(ctx)
	}
	d := &net.Dialer{KeepAlive: 15 * time.Second, Control: s.Control}
	if cfg != nil {
		return (&tls.Dialer{NetDialer: d, Config: cfg}).DialContext(ctx, "tcp", s.Address.Host)
	}
	return d.DialContext(ctx, "tcp", s.Address.Host)
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

// opener returns how paho opens the connection. in gets the messages that come; nil: they are dropped.
func (s Server) opener(ctx context.Context, f *failure, in *inbox) (paho.OpenConnectionFunc, error) {
	cfg, err := s.tlsConfig()
	if err != nil {
		return nil, err
	}
	return func(*url.URL, paho.ClientOptions) (net.Conn, error) {
		raw, err := s.dial(ctx, cfg)
		f.mu.Lock()
		f.err = err
		f.mu.Unlock()
		if err != nil {
			return nil, err
		}
		c := newConn(raw, in)
		if in != nil {
			in.conn.Store(c)
		}
		return c, nil
	}, nil
}
