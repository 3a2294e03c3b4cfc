package enrol

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"gridpost/devices/clock"
)

// ServerName is the name in the certificate of every hub's edge port. It stands for "the hub
// whose authority was pinned", so a hub may change its address without a new certificate.
const ServerName = "hub.gridpost.internal"

// TLS returns how to dial the hub: the chain must end in the pinned authority, whatever the
// address. The client certificate is looked up for each handshake, so a renewed one is used
// without a new configuration. Safe for concurrent use.
func (id *Identity) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: ServerName,
		// The standard check is replaced, not dropped: VerifyConnection does the same against the
		// pinned authority, but knows when the clock cannot be trusted.
		InsecureSkipVerify: true, // see VerifyConnection
		VerifyConnection: func(cs tls.ConnectionState) error {
			return verify(cs.PeerCertificates, id.current().authority, id.Clock())
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			held := id.current()
			return &held.certificate, nil
		},
	}
}

// Client returns an HTTP client that authenticates as this edge. It has no overall timeout:
// requests carry a context, and server-sent events last. HTTP/1.1 gives every request a connection
// of its own, so that a stalled upload never delays an incident.
func (id *Identity) Client() *http.Client {
	return client(id.TLS())
}

func client(cfg *tls.Config) *http.Client {
	var p http.Protocols
	p.SetHTTP1(true)
	return &http.Client{Transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        cfg,
		TLSHandshakeTimeout:    15 * time.Second,
		ResponseHeaderTimeout:  60 * time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    4,
		MaxResponseHeaderBytes: 64 << 10,
		Protocols:              &p,
	}}
}

// pinned returns how to dial a hub of which only the fingerprint of its authority is known.
func pinned(fingerprint string, k *clock.Clock) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		ServerName:         ServerName,
		InsecureSkipVerify: true, // VerifyConnection checks the chain against the pin
		VerifyConnection: func(cs tls.ConnectionState) error {
			authority := find(cs.PeerCertificates, fingerprint)
			if authority == nil {
				return errors.New("this is not the hub that the token is for: its certificate authority has another fingerprint")
			}
			return verify(cs.PeerCertificates, authority, k)
		},
	}
}

// find returns the certificate of the chain whose hash is the fingerprint, or nil.
func find(chain []*x509.Certificate, fingerprint string) *x509.Certificate {
	for _, c := range chain {
		if sum := sha256.Sum256(c.Raw); strings.EqualFold(hex.EncodeToString(sum[:]), fingerprint) && c.IsCA {
			return c
		}
	}
	return nil
}

// verify checks a hub's chain and name against its authority (RFC 5280), at the time of k if that
// is trusted and at a time within the validity period otherwise.
func verify(chain []*x509.Certificate, authority *x509.Certificate, k *clock.Clock) error {
	if len(chain) == 0 {
		return errors.New("the hub presents no certificate")
	}
	leaf := chain[0]
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(authority)
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		DNSName:       ServerName,
		Roots:         roots,
		Intermediates: between,
		CurrentTime:   verifyAt(leaf, authority, k),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("the hub's certificate is not valid at this time: %w", err)
	}
	return fmt.Errorf("the hub's certificate is not from the authority that this edge was enrolled with: %w", err)
}

// verifyAt returns the time at which a hub's certificate is verified. A trusted clock may differ
// from the hub's by clock.Tolerance, an untrusted one by any time.
func verifyAt(leaf, authority *x509.Certificate, k *clock.Clock) time.Time {
	now := k.Now()
	from, until := leaf.NotBefore, leaf.NotAfter
	if authority.NotBefore.After(from) {
		from = authority.NotBefore
	}
	if authority.NotAfter.Before(until) {
		until = authority.NotAfter
	}
	nearest := now
	switch {
	case now.Before(from):
		nearest = from
	case now.After(until):
		nearest = until
	}
	if k.Trusted() && nearest.Sub(now).Abs() > clock.Tolerance {
		return now
	}
	return nearest
}
