package compat

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"time"

	"gridpost/devices/address"
)

// fingerprintOf returns the fingerprint of a certificate in the form of address.ParseFingerprint.
func fingerprintOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// handshake makes a TLS connection. Cameras are years behind with TLS, so everything that still protects against a
// listener is allowed; whom it talks to is decided by the certificate.
func handshake(ctx context.Context, raw net.Conn, host, fingerprint string) (net.Conn, error) {
	var suites []uint16
	for _, s := range tls.CipherSuites() {
		suites = append(suites, s.ID)
	}
	suites = append(suites, tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA)
	conn := tls.Client(raw, &tls.Config{
		ServerName:         host,
		MinVersion:         tls.VersionTLS10,
		CipherSuites:       suites,
		InsecureSkipVerify: true, // VerifyConnection decides
		VerifyConnection:   func(state tls.ConnectionState) error { return verify(state, host, fingerprint) },
	})
	err := conn.HandshakeContext(ctx)
	var header tls.RecordHeaderError
	if errors.As(err, &header) {
		return nil, ErrNoTLS
	} else if err != nil {
		return nil, fmt.Errorf("connecting by TLS: %w", err)
	}
	return conn, nil
}

// probeTimeout bounds speaksTLS.
const probeTimeout = time.Second

// speaksTLS reports whether a TLS server is at an address. Most of them close the connection without a word when they
// get anything else.
func speaksTLS(ctx context.Context, remote net.Addr) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, remote.Network(), remote.String())
	if err != nil {
		return false
	}
	defer func() { _ = raw.Close() }()                                                                                 // nothing was sent that matters
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, ServerName: "camera"}) // nothing but the handshake
	return conn.HandshakeContext(ctx) == nil
}

// verify checks the camera's certificate: against the fingerprint, or as a browser does if there is none.
func verify(state tls.ConnectionState, host, fingerprint string) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the camera has sent no certificate")
	}
	leaf := state.PeerCertificates[0]
	seen := fingerprintOf(leaf)
	if fingerprint != "" {
		if seen != fingerprint {
			return &CertificateError{Fingerprint: address.FormatFingerprint(seen), Changed: true}
		}
		return nil
	}
	intermediates := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Intermediates: intermediates}); err != nil {
		return &CertificateError{Fingerprint: address.FormatFingerprint(seen), Err: err}
	}
	return nil
}
