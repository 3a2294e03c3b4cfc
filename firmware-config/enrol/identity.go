// Package enrol is the edge's side of enrolment at a hub: a one-time token, a key that is made on
// the edge and never leaves it, and a certificate that is renewed in time.
//
// The hub is identified by the fingerprint of its certificate authority, which the token carries;
// the edge accepts no other authority. A lost answer costs nothing: the same key asks again.
//
// An edge's clock may be wrong by decades, and must not lock it out. The chain and the name of the
// hub's certificate are always verified against the pinned authority. Its validity period is
// enforced only while the edge's clock is trusted (package clock says when), with a tolerance of
// 5 minutes; otherwise the chain is verified at a time within the period. What that gives up is
// small: the pinned authority issues certificates to its hub alone. The period of the edge's own
// certificate is judged by the hub's clock. Renewal is due by the hub's clock too, once the hub
// has answered, and at most once an hour, across restarts: a clock that is 20 days or 20 years
// ahead does not renew again and again, and one that stands in 1970 does not miss its renewal.
//
// The package must not import edge or hub; it has its own types of the hub's HTTP interface.
package enrol

import (
	"bytes"
	"crypto"
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

	"gridpost/devices/clock"
	"gridpost/devices/durable"
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

	mu    sync.Mutex
	held  credentials
	clock *clock.Clock
}

type credentials struct {
	edge        string
	url         string
	certificate tls.Certificate
	authority   *x509.Certificate
	renewed     time.Time // by this machine's clock; zero: not renewed since the enrolment
}

// about is the content of edge.json.
type about struct {
	Edge string    `json:"edge"`
	URL  string    `json:"url"`  // of the hub's edge port
	Time time.Time `json:"time"` // of the installation, by this machine's clock

	Renewed time.Time `json:"renewed_at,omitzero"` // of the installation, if it was a renewal
}

// Load reads the identity of a data directory. It returns ErrNotEnrolled when there is none.
func Load(dir string) (*Identity, error) {
	// A power failure between the two renames of install leaves only the new one, and one during
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
	return &Identity{dir: dir, held: held, clock: clock.New(clock.Options{})}, nil
}

// UseClock replaces the clock by which the identity judges validity periods and renewals. Before it
// is called that is a clock to which no hub has answered.
func (id *Identity) UseClock(c *clock.Clock) {
	id.mu.Lock()
	defer id.mu.Unlock()
	id.clock = c
}

// Clock returns the clock by which the identity judges validity periods and renewals. Whoever
// sends requests to the hub tells it the hub's time by Observe.
func (id *Identity) Clock() *clock.Clock {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.clock
}

// Edge returns the name that the hub gave.
func (id *Identity) Edge() string { return id.current().edge }

// URL returns the address of the hub that issued the identity.
func (id *Identity) URL() string { return id.current().url }

// Expires returns the end of the certificate's validity, by the hub's clock.
func (id *Identity) Expires() time.Time { return id.current().certificate.Leaf.NotAfter }

// Signer returns the edge's key, and the certificate that names the edge as its owner. The key signs what the edge has recorded;
// it never leaves the edge.
func (id *Identity) Signer() (crypto.Signer, *x509.Certificate, error) {
	held := id.current()
	key, ok := held.certificate.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, nil, errors.New("the edge's key cannot sign")
	}
	return key, held.certificate.Leaf, nil
}

// RenewAt returns when two thirds of the certificate's validity are over, by the hub's clock. A
// caller that does not know the hub's time uses RenewIn.
func (id *Identity) RenewAt() time.Time {
	leaf := id.current().certificate.Leaf
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 2 / 3)
}

const (
	// renewInterval is the shortest time between two renewals.
	renewInterval = time.Hour

	// renewLook is how long to wait where nobody knows the time: until the hub answers, it cannot
	// renew a certificate either.
	renewLook = 2 * time.Second
)

// RenewIn returns how long to wait until the certificate is due for renewal; 0 or less: it is due.
// Ask again after a minute at most: clocks are set, and hubs answer.
func (id *Identity) RenewIn() time.Duration {
	k := id.Clock()
	now, known := k.Estimate()
	if !known {
		return renewLook
	}
	held := id.current()
	due := id.RenewAt()
	wait := due.Sub(now)
	// The clock that wrote the time of the last renewal is this machine's, right or wrong. If it has
	// been set back since, the time that has passed is not known and the interval is skipped.
	interval := min(renewInterval, due.Sub(held.certificate.Leaf.NotBefore))
	if since := k.Now().Sub(held.renewed); since >= 0 && since < interval {
		wait = max(wait, interval-since)
	}
	return wait
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
	return credentials{edge: a.Edge, url: a.URL, certificate: pair, authority: authority, renewed: a.Renewed}, nil
}

// install writes an identity beside the present one and then replaces it: whenever the power
// fails, one whole identity is there.
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
		if err := durable.Write(filepath.Join(next, name), content); err != nil {
			return err
		}
	}
	if err := durable.SyncDir(next); err != nil {
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
	if err := durable.SyncDir(dir); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, filePending)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// pendingKey returns the key of an unanswered request, or creates and saves a new one.
func pendingKey(dir string) (*ecdsa.PrivateKey, []byte, error) {
	path := filepath.Join(dir, filePending)
	if raw, err := os.ReadFile(path); err == nil {
		if block, _ := pem.Decode(raw); block != nil {
			if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
				return key, raw, nil
			}
		}
		// Half a file after a power failure: that key was never sent, so a new one is as good.
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("creating a key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the key: %w", err)
	}
	raw := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	if err := durable.Write(path, raw); err != nil {
		return nil, nil, fmt.Errorf("saving the key: %w", err)
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
