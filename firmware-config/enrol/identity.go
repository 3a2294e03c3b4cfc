// Package enrol is the edge's side of becoming known to a hub: a one-time token, a key that is
// made on the box and never leaves it, and a certificate that is renewed in time.
//
// The hub is known by the fingerprint of its authority, from the token on; no other authority
// is ever believed. A lost answer costs nothing: the same key asks again. The package must not
// import edge or hub; it has the few words of the hub's HTTP interface itself.
package enrol

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// ErrNotEnrolled says that a data directory holds no identity.
var ErrNotEnrolled = errors.New("this edge is not enrolled at a hub; ask for a token (`hub edge add NAME`) and run `edge enrol URL TOKEN`")

// The names inside a data directory.
const (
	dirIdentity = "identity"
	dirNext     = "identity.new"    // complete, waiting to take identity's place
	dirLast     = "identity.old"    // what it replaced, kept until the next change
	filePending = "pending-key.pem" // key of an enrolment or renewal that has not been answered yet
)

// Identity is an edge's key, certificate and pinned authority. Its methods are safe for
// concurrent use.
type Identity struct {
	dir string // the data directory

	mu   sync.Mutex
	held credentials
}

type credentials struct {
	edge        string
	url         string
	certificate tls.Certificate
	authority   *x509.Certificate
}

// about is the content of edge.json.
type about struct {
	Edge string    `json:"edge"`
	URL  string    `json:"url"` // of the hub's edge port
	Time time.Time `json:"time"`
}

// Load reads the identity of a data directory. It returns ErrNotEnrolled when there is none.
func Load(dir string) (*Identity, error) {
	// A power cut between the two renames of install leaves only the new one, and one during
	// the very first enrolment perhaps half of it.
	if _, err := os.Stat(filepath.Join(dir, dirIdentity)); errors.Is(err, os.ErrNotExist) {
		next := filepath.Join(dir, dirNext)
		if _, err := read(next); err != nil {
			return nil, ErrNotEnrolled
		}
		if err := os.Rename(next, filepath.Join(dir, dirIdentity)); err != nil {
			return nil, fmt.Errorf("reading the edge's identity: %w", err)
		}
	}
	held, err := read(filepath.Join(dir, dirIdentity))
	if err != nil {
		return nil, fmt.Errorf("reading the edge's identity: %w", err)
	}
	return &Identity{dir: dir, held: held}, nil
}

// Edge returns the name that the hub gave.
func (id *Identity) Edge() string { return id.current().edge }

// URL returns the address of the hub that issued the identity.
func (id *Identity) URL() string { return id.current().url }

// Expires returns the end of the certificate's life.
func (id *Identity) Expires() time.Time { return id.current().certificate.Leaf.NotAfter }

// RenewAt returns when the certificate has two thirds of its life behind it.
func (id *Identity) RenewAt() time.Time {
	leaf := id.current().certificate.Leaf
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 2 / 3)
}

func (id *Identity) current() credentials {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.held
}

func read(dir string) (credentials, error) {
	var a about
	raw, err := os.ReadFile(filepath.Join(dir, "edge.json"))
	if err != nil {
		return credentials{}, err
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return credentials{}, fmt.Errorf("edge.json: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		return credentials{}, err
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return credentials{}, fmt.Errorf("cert.pem: %w", err)
		}
	}
	raw, err = os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return credentials{}, err
	}
	authority, err := parseCertificate(raw)
	if err != nil {
		return credentials{}, fmt.Errorf("ca.pem: %w", err)
	}
	return credentials{edge: a.Edge, url: a.URL, certificate: pair, authority: authority}, nil
}

// install writes an identity beside the present one and then takes its place: whenever the
// power goes, one whole identity is there.
func install(dir string, a about, keyPEM, certPEM, caPEM []byte) error {
	next := filepath.Join(dir, dirNext)
	if err := os.RemoveAll(next); err != nil {
		return err
	}
	if err := os.MkdirAll(next, 0o700); err != nil {
		return err
	}
	info, err := json.Marshal(a)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"key.pem": keyPEM, "cert.pem": certPEM, "ca.pem": caPEM, "edge.json": info} {
		if err := writeSynced(filepath.Join(next, name), content); err != nil {
			return err
		}
	}
	if err := syncDir(next); err != nil {
		return err
	}
	last, present := filepath.Join(dir, dirLast), filepath.Join(dir, dirIdentity)
	if err := os.RemoveAll(last); err != nil {
		return err
	}
	if err := os.Rename(present, last); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(next, present); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, filePending)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// pendingKey returns the key of an unanswered request, or makes and keeps a new one.
func pendingKey(dir string) (*ecdsa.PrivateKey, []byte, error) {
	path := filepath.Join(dir, filePending)
	if raw, err := os.ReadFile(path); err == nil {
		if block, _ := pem.Decode(raw); block != nil {
			if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
				return key, raw, nil
			}
		}
		// Half a file after a power cut: nobody has seen that key, so a new one is as good.
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("coding the key: %w", err)
	}
	raw := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	if err := writeSynced(path, raw); err != nil {
		return nil, nil, fmt.Errorf("keeping the key: %w", err)
	}
	return key, raw, nil
}

// parseCertificate reads exactly one PEM certificate.
func parseCertificate(raw []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(raw)
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) != 0 {
		return nil, errors.New("expected one PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
