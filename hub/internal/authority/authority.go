// Package authority is the hub's own certificate authority, which issues the certificates of edges.
//
// The authority's key never leaves the hub's data folder, or its database when several hubs share
// one. Edges pin the authority's certificate when they enrol and get certificates for client use
// only; the edge port's own certificate is for server use only, so that neither can be used in place of
// the other. The caller checks whether a certificate is revoked. The package must import nothing of
// Gridpost.
package authority

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// ServerName is the name in the edge port's certificate. It does not depend on the hub's address.
const ServerName = "hub.gridpost.internal"

// Validity periods of certificates. An edge renews its own after two thirds of the period.
const (
	authorityLife = 20 * 365 * 24 * time.Hour
	serverLife    = 90 * 24 * time.Hour
	EdgeLife      = 30 * 24 * time.Hour

	// RenewGrace is how long after its expiry an edge may still renew its certificate. An edge that was offline for
	// longer is enrolled again.
	RenewGrace = 90 * 24 * time.Hour

	// backdate is how far before the time of issue a certificate becomes valid, for edges whose clocks
	// are behind the hub's.
	backdate = time.Hour
)

// ErrRequest is the error of an invalid certificate request.
var ErrRequest = errors.New("the certificate request is invalid")

// Authority signs certificates. Its methods may be called from any goroutine.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time

	mu     sync.Mutex
	server serverCertificate
}

// Store stores the certificate and the key of an authority as one text in PEM format.
type Store interface {
	// Load returns the text, and nil if there is none.
	Load(ctx context.Context) ([]byte, error)

	// Create stores a text unless there is one already. Of several concurrent calls, one stores its text.
	Create(ctx context.Context, text []byte) error
}

// Open loads the authority from a store, and creates one if there is none. Two hubs that do so at the
// same time get the same authority.
func Open(ctx context.Context, s Store, now func() time.Time) (*Authority, error) {
	if now == nil {
		now = time.Now
	}
	text, err := s.Load(ctx)
	if err == nil && text == nil {
		if text, err = generate(now()); err != nil {
			return nil, fmt.Errorf("creating the certificate authority: %w", err)
		}
		if err = s.Create(ctx, text); err == nil {
			text, err = s.Load(ctx)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("loading the certificate authority: %w", err)
	}
	a := &Authority{now: now}
	if err := a.parse(text); err != nil {
		return nil, fmt.Errorf("reading the certificate authority: %w", err)
	}
	return a, nil
}

// Inspect returns the certificate of the authority in a store; nil if there is none yet. It makes none.
func Inspect(ctx context.Context, s Store) (*x509.Certificate, error) {
	text, err := s.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("loading the certificate authority: %w", err)
	}
	if text == nil {
		return nil, nil
	}
	a := &Authority{}
	if err := a.parse(text); err != nil {
		return nil, fmt.Errorf("reading the certificate authority: %w", err)
	}
	return a.cert, nil
}

func (a *Authority) parse(text []byte) error {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		var err error
		switch block.Type {
		case "CERTIFICATE":
			a.cert, err = x509.ParseCertificate(block.Bytes)
		case "EC PRIVATE KEY":
			a.key, err = x509.ParseECPrivateKey(block.Bytes)
		}
		if err != nil {
			return err
		}
	}
	if a.cert == nil || a.key == nil {
		return errors.New("a certificate or its key is missing")
	}
	if public, ok := a.cert.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(&a.key.PublicKey) {
		return errors.New("the key is not the certificate's")
	}
	return nil
}

// generate returns a new certificate with its key, in PEM format.
func generate(now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Gridpost hub authority"},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})...), nil
}

func newSerial() (*big.Int, error) {
	// 127 bits: positive, and within the 20 octets of RFC 5280, section 4.1.2.2.
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

// PEM returns the authority's certificate.
func (a *Authority) PEM() string { return encode(a.cert.Raw) }

// Fingerprint returns the SHA-256 of the authority's certificate in hexadecimal. Edges pin it.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	return hex.EncodeToString(sum[:])
}

// Seed derives a secret of 32 bytes from the authority's key, by HKDF with SHA-256 (RFC 5869). All hubs that share the
// authority derive the same one. Each purpose has its own, from which neither the key nor another one follows.
func (a *Authority) Seed(purpose string) ([]byte, error) {
	secret, err := a.key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("reading the authority's key: %w", err)
	}
	return hkdf.Key(sha256.New, secret, nil, purpose, 32)
}

func encode(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// Issued is a certificate for an edge.
type Issued struct {
	PEM      string
	Serial   string // hexadecimal, as Serial gives it
	NotAfter time.Time
}

// Issue signs a certificate for an edge, for client use only.
func (a *Authority) Issue(edge string, r Request) (Issued, error) {
	serial, err := newSerial()
	if err != nil {
		return Issued{}, fmt.Errorf("issuing a certificate for edge %s: %w", edge, err)
	}
	now := a.now()
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: edge},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(EdgeLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, r.key, a.key)
	if err != nil {
		return Issued{}, fmt.Errorf("issuing a certificate for edge %s: %w", edge, err)
	}
	return Issued{PEM: encode(der), Serial: serial.Text(16), NotAfter: t.NotAfter}, nil
}
