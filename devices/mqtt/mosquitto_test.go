package mqtt

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gridpost/devices"
)

// TestALongRetainedMessage comes again with each connection, as zigbee2mqtt/bridge/devices does under a
// wildcard, and is the first of all messages each time.
func TestALongRetainedMessage(t *testing.T) {
	m := newMosquitto(t, "allow_anonymous true")
	e := &recorder{}
	p, err := NewPublisher(m.server("gateway"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := p.Publish(ctx, "sensors/bridge/devices", []byte(strings.Repeat("x", 1<<20)), true); err != nil {
		t.Fatal(err)
	}
	say := publisher(t, m.server("sensor"))
	for i := range 3 {
		stop := listen(t, m.server("edge"), e)
		until(t, "online", e.is(online))
		say(fmt.Sprint(i))
		// The one before may come again: the connection can end before its acknowledgement has left.
		until(t, "a message behind it", e.is(func(e *recorder) bool { return slices.Contains(e.received, fmt.Sprint(i)) }))
		stop()
	}
}

// TestLongMessagesWhereTheyAreExpected: discovery reads them.
func TestLongMessagesWhereTheyAreExpected(t *testing.T) {
	m := newMosquitto(t, "allow_anonymous true")
	e := &recorder{}
	s, err := NewSubscriber(Options{Server: m.server("edge"), Filters: []string{"sensors/#"}, Long: []string{"sensors/+"}, Handle: e.handle, OnState: e.state})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	until(t, "online", e.is(online))
	say := publisher(t, m.server("sensor"))
	say(strings.Repeat("x", devices.MaxLongMessage))
	say(strings.Repeat("y", devices.MaxLongMessage+1))
	say("last")
	until(t, "the last", e.is(func(e *recorder) bool { return len(e.received) > 0 && e.received[len(e.received)-1] == "last" }))
	if len(e.received) != 2 || len(e.received[0]) != devices.MaxLongMessage || s.Stats().TooLong != 1 {
		t.Errorf("%d messages, %+v", len(e.received), s.Stats())
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// authority makes certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "site"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key = a.issue("ca", a.cert)
	return a
}

// issue writes NAME.pem and NAME.key.
func (a *authority) issue(name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "EC PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(filepath.Join(a.dir, path), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// TestClientCertificates: a broker that wants one, as AWS IoT and EMQX do.
func TestClientCertificates(t *testing.T) {
	a := newAuthority(t)
	leaf := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
	}
	a.issue("server", leaf(2, "broker"))
	a.issue("edge", leaf(3, "edge"))
	path := func(name string) string { return filepath.Join(a.dir, name) }
	m := newMosquitto(t, fmt.Sprintf("cafile %s\ncertfile %s\nkeyfile %s\nrequire_certificate true\nallow_anonymous true", path("ca.pem"), path("server.pem"), path("server.key")))
	at := m.server("edge")
	at.Address.TLS, at.CA = true, path("ca.pem")
	with := at
	with.Certificate, with.Key = path("edge.pem"), path("edge.key")
	missing := with
	missing.Key = path("missing.key")

	e := &recorder{}
	stop := listen(t, with, e)
	until(t, "online", e.is(online))
	stop()
	for server, code := range map[*Server]string{&at: "broker_refuses_certificate", &missing: "broker_certificate_unreadable"} {
		causes := make(chan devices.Cause, 100)
		s, err := NewSubscriber(Options{Server: *server, Filters: []string{"a"}, Handle: e.handle, OnState: func(_ bool, cause devices.Cause) { causes <- cause }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		if cause := <-causes; cause.Code != code {
			t.Errorf("cause %+v, expected %s", cause, code)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestALPNOfAWS(t *testing.T) {
	for host, want := range map[string]bool{
		"x.iot.eu-west-1.amazonaws.com:443": true, "x.iot.cn-north-1.amazonaws.com.cn:443": true, "x.iot.eu-west-1.amazonaws.com:8883": false, "broker.lan:443": false,
	} {
		s := Server{}
		s.Address.Host, s.Address.TLS = host, true
		s.Address.Name, _, _ = net.SplitHostPort(host)
		cfg, err := s.tlsConfig()
		if err != nil || (len(cfg.NextProtos) == 1) != want {
			t.Errorf("%s: %v, %v", host, cfg.NextProtos, err)
		}
	}
}
