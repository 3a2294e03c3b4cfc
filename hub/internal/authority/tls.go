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

// TLS returns the TLS configuration of the edge port. A client certificate of another authority ends
// the handshake. No certificate is accepted, because an edge has none when it enrols. An expired one is
// accepted, because an edge that was offline when its certificate expired may renew it (see Peer).
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
		CurrentTime: leaf.NotBefore.Add(backdate), // any time at which it is valid: Peer checks the expiry
	}); err != nil {
		return fmt.Errorf("checking a client certificate: %w", err)
	}
	return nil
}

// Peer is the edge at the other end of a connection, by its certificate.
type Peer struct {
	Edge    string
	Serial  string // hexadecimal
	Expired bool   // the certificate may at most be used to renew it

	// Renewable says that the certificate is valid, or expired less than RenewGrace ago.
	Renewable bool
}

// Peer returns the edge at the other end of a connection; ok is false if it sent no certificate.
func (a *Authority) Peer(cs *tls.ConnectionState) (p Peer, ok bool) {
	if cs == nil || len(cs.PeerCertificates) == 0 {
		return Peer{}, false
	}
	leaf, now := cs.PeerCertificates[0], a.now()
	return Peer{
		Edge: leaf.Subject.CommonName, Serial: leaf.SerialNumber.Text(16),
		Expired: now.After(leaf.NotAfter), Renewable: !now.After(leaf.NotAfter.Add(RenewGrace)),
	}, true
}

// serverCert returns the edge port's certificate, which is held in memory only. It issues a new one
// after two thirds of the validity period.
func (a *Authority) serverCert() (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if a.server.cert != nil && now.Before(a.server.renewAt) {
		return a.server.cert, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("creating the edge port's key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, fmt.Errorf("creating the edge port's certificate: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: ServerName}, DNSNames: []string{ServerName},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(serverLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("creating the edge port's certificate: %w", err)
	}
	// The chain includes the authority's certificate, because an edge that enrols knows only its fingerprint.
	a.server = serverCertificate{
		cert:    &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key},
		renewAt: now.Add(serverLife * 2 / 3),
	}
	return a.server.cert, nil
}
