package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"
)

type serverCertificate struct {
	cert    *tls.Certificate
	renewAt time.Time
}

// TLS returns how the edge port speaks. A client certificate of another authority ends the
// handshake; none at all does not, because an edge that enrols has none. An expired one does
// not either: a box that was away for longer than its certificate lives may renew it (see Peer).
func (a *Authority) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:       tls.VersionTLS13,
		ClientAuth:       tls.RequestClientCert,
		NextProtos:       []string{"h2", "http/1.1"},
		GetCertificate:   func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.serverCert() },
		VerifyConnection: a.verify,
	}
}

func (a *Authority) verify(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return nil
	}
	leaf := cs.PeerCertificates[0]
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		CurrentTime: leaf.NotBefore.Add(backdate), // expiry is Peer's affair
	}); err != nil {
		return fmt.Errorf("checking a client certificate: %w", err)
	}
	return nil
}

// Peer is the edge at the other end of a connection, by its certificate.
type Peer struct {
	Edge    string
	Serial  string // hexadecimal
	Expired bool   // good for nothing but its renewal
}

// Peer returns who is at the other end; ok is false if it showed no certificate.
func (a *Authority) Peer(cs *tls.ConnectionState) (p Peer, ok bool) {
	if cs == nil || len(cs.PeerCertificates) == 0 {
		return Peer{}, false
	}
	leaf := cs.PeerCertificates[0]
	return Peer{
		Edge: leaf.Subject.CommonName, Serial: leaf.SerialNumber.Text(16), Expired: a.now().After(leaf.NotAfter),
	}, true
}

// serverCert returns the edge port's certificate, which lives in memory only, and makes
// another one in time.
func (a *Authority) serverCert() (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if a.server.cert != nil && now.Before(a.server.renewAt) {
		return a.server.cert, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the edge port's key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, fmt.Errorf("making the edge port's certificate: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: ServerName}, DNSNames: []string{ServerName},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(serverLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("making the edge port's certificate: %w", err)
	}
	// The authority goes with it: an edge that enrols knows only its fingerprint.
	a.server = serverCertificate{
		cert:    &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key},
		renewAt: now.Add(serverLife * 2 / 3),
	}
	return a.server.cert, nil
}
