// Package authority is the hub's own certificate authority: it says which edge is which.
//
// The authority's key never leaves the hub's data folder. Edges pin the authority's certificate
// when they enrol and get certificates for client use only; the edge port's own certificate
// is for server use only, so neither can pose as the other. Which certificates are still
// believed is the store's affair. The package must import nothing of Gridpost.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// ServerName is the name in the edge port's certificate, whatever the hub's address.
const ServerName = "hub.gridpost.internal"

// How long certificates live. An edge renews its own at two thirds of its life.
const (
	authorityLife = 20 * 365 * 24 * time.Hour
	serverLife    = 90 * 24 * time.Hour
	EdgeLife      = 30 * 24 * time.Hour

	// backdate forgives clocks that are a little behind the hub's.
	backdate = time.Hour
)

// ErrRequest says that a certificate request cannot be used.
var ErrRequest = errors.New("the certificate request is not usable")

// Authority signs certificates. Its methods may be called from any goroutine.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time

	mu     sync.Mutex
	server serverCertificate
}

// Open reads the authority in dir/ca, and makes one if there is none. Two processes that make it
// at the same time get the same one.
func Open(dir string, now func() time.Time) (*Authority, error) {
	if now == nil {
		now = time.Now
	}
	path := filepath.Join(dir, "ca", "authority.pem")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path, now()); err != nil {
			return nil, fmt.Errorf("making the certificate authority: %w", err)
		}
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the certificate authority: %w", err)
	}
	a := &Authority{now: now}
	if err := a.parse(text); err != nil {
		return nil, fmt.Errorf("reading the certificate authority in %s: %w", path, err)
	}
	return a, nil
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
		return errors.New("the file lacks a certificate or its key")
	}
	if public, ok := a.cert.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(&a.key.PublicKey) {
		return errors.New("the key is not the certificate's")
	}
	return nil
}

// create writes key and certificate as one file that appears whole or not at all, and never
// replaces another.
func create(path string, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Gridpost hub authority"},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})...)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "authority-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // a left-over is harmless
	_, err = tmp.Write(text)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func newSerial() (*big.Int, error) {
	// 127 bits: positive, and within the 20 octets of RFC 5280, section 4.1.2.2.
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

// PEM returns the authority's certificate.
func (a *Authority) PEM() string { return encode(a.cert.Raw) }

// Fingerprint returns the SHA-256 of the authority's certificate, in hex: what edges pin.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	return hex.EncodeToString(sum[:])
}

func encode(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// Request is a certificate request whose sender has shown to hold the key.
type Request struct {
	KeyHash []byte // SHA-256 of the public key
	key     *ecdsa.PublicKey
}

// ParseRequest reads a request in PEM form (RFC 2986). Its subject is not looked at: the hub
// says who it is for. The key must be of ECDSA on P-256.
func ParseRequest(text string) (Request, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return Request{}, fmt.Errorf("%w: it is not PEM of type CERTIFICATE REQUEST", ErrRequest)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return Request{}, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if err := csr.CheckSignature(); err != nil {
		return Request{}, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	key, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return Request{}, fmt.Errorf("%w: its key is not of ECDSA on P-256", ErrRequest)
	}
	sum := sha256.Sum256(csr.RawSubjectPublicKeyInfo)
	return Request{KeyHash: sum[:], key: key}, nil
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
