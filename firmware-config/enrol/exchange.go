package enrol

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"gridpost/devices/address"
	"gridpost/devices/clock"
	"gridpost/devices/problem"
)

// maxAnswer bounds a hub's answer in bytes.
const maxAnswer = 256 << 10

// The messages of the hub's interface; a test on the edge holds them equal to the hub's own.
type (
	request struct {
		Token string `json:"token,omitempty"`
		CSR   string `json:"csr"`
	}
	answer struct {
		Edge        string `json:"edge"`
		Certificate string `json:"certificate"`
		Authority   string `json:"authority"`
	}
)

// Enrol trades a token for an identity and installs it in dir, replacing the one that is there.
// It may be repeated with the same token until it succeeds.
func Enrol(ctx context.Context, dir, hubURL string, t Token) (*Identity, error) {
	return enrolBy(ctx, clock.New(clock.Options{}), dir, hubURL, t)
}

func enrolBy(ctx context.Context, k *clock.Clock, dir, hubURL string, t Token) (*Identity, error) {
	base, err := address.ParseHub(hubURL)
	if err != nil {
		return nil, fmt.Errorf("the hub's address: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating the data directory: %w", err)
	}
	key, keyPEM, err := pendingKey(dir)
	if err != nil {
		return nil, err
	}
	csr, err := newCSR(key, t.Name)
	if err != nil {
		return nil, err
	}
	c := client(pinned(t.SHA256, k))
	defer c.CloseIdleConnections()
	a, err := post(ctx, c, base+"/edge/v1/enrol", request{Token: t.Secret, CSR: csr})
	if err != nil {
		return nil, fmt.Errorf("enrolling at %s: %w", base, err)
	}
	held, err := accept(a, key, t.SHA256)
	if err != nil {
		return nil, fmt.Errorf("enrolling at %s: %w", base, err)
	}
	held.url = base
	return save(dir, k, held, a, keyPEM)
}

// Renew asks the hub at hubURL for a new certificate for a new key, authenticated by the
// present one, and puts it to use. c must be a client of this identity.
func (id *Identity) Renew(ctx context.Context, c *http.Client, hubURL string) error {
	base, err := address.ParseHub(hubURL)
	if err != nil {
		return fmt.Errorf("the hub's address: %w", err)
	}
	now := id.current()
	key, keyPEM, err := pendingKey(id.dir)
	if err != nil {
		return err
	}
	csr, err := newCSR(key, now.edge)
	if err != nil {
		return err
	}
	a, err := post(ctx, c, base+"/edge/v1/renew", request{CSR: csr})
	if err != nil {
		return fmt.Errorf("renewing the certificate: %w", err)
	}
	pin := sha256.Sum256(now.authority.Raw)
	held, err := accept(a, key, hex.EncodeToString(pin[:]))
	if err != nil {
		return fmt.Errorf("renewing the certificate: %w", err)
	}
	held.url, held.renewed = now.url, id.Clock().Now().UTC()
	renewed, err := save(id.dir, id.Clock(), held, a, keyPEM)
	if err != nil {
		return fmt.Errorf("renewing the certificate: %w", err)
	}
	id.mu.Lock()
	id.held = renewed.held
	id.mu.Unlock()
	return nil
}

func save(dir string, k *clock.Clock, held credentials, a answer, keyPEM []byte) (*Identity, error) {
	info := about{Edge: held.edge, URL: held.url, Time: k.Now().UTC(), Renewed: held.renewed}
	if err := install(dir, info, keyPEM, []byte(a.Certificate), []byte(a.Authority)); err != nil {
		return nil, fmt.Errorf("saving the identity: %w", err)
	}
	return &Identity{dir: dir, held: held, clock: k}, nil
}

// accept checks a hub's answer before anything of it is saved: the authority is the pinned one
// and the certificate is for our key, for our use, and from that authority.
func accept(a answer, key *ecdsa.PrivateKey, pin string) (credentials, error) {
	authority, err := parseCertificate([]byte(a.Authority))
	if err != nil {
		return credentials{}, fmt.Errorf("reading the hub's authority: %w", err)
	}
	if find([]*x509.Certificate{authority}, pin) == nil {
		return credentials{}, errors.New("the hub answered with another authority than the pinned one")
	}
	leaf, err := parseCertificate([]byte(a.Certificate))
	if err != nil {
		return credentials{}, fmt.Errorf("reading the certificate: %w", err)
	}
	if public, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(&key.PublicKey) {
		return credentials{}, errors.New("the hub answered with a certificate for another key")
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	at := leaf.NotBefore // the edge's clock may be wrong; the hub issues by its own
	if authority.NotBefore.After(at) {
		at = authority.NotBefore
	}
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		return credentials{}, fmt.Errorf("checking the certificate: %w", err)
	}
	if a.Edge == "" || leaf.Subject.CommonName != a.Edge {
		return credentials{}, errors.New("the certificate is not for the edge that the hub names")
	}
	return credentials{
		edge:        a.Edge,
		certificate: tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf},
		authority:   authority,
	}, nil
}

func newCSR(key *ecdsa.PrivateKey, name string) (string, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		return "", fmt.Errorf("making a certificate request: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}

func post(ctx context.Context, c *http.Client, to string, r request) (answer, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		return answer{}, refusal{problem.FromResponse(resp)}
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answer{}, fmt.Errorf("reading the answer: %w", err)
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return answer{}, fmt.Errorf("reading the answer: %w", err)
	}
	return a, nil
}

// refusal is the hub's answer to a request that it does not grant. It unwraps to a *problem.Error.
type refusal struct{ answer *problem.Error }

func (r refusal) Error() string {
	return fmt.Sprintf("the hub refuses (%d): %s", r.answer.Status, r.answer.Reason())
}

func (r refusal) Unwrap() error { return r.answer }
